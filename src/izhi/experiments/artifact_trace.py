"""The trace of one test sample through an artifact's network."""

from __future__ import annotations

import numpy as np

from izhi.data import Dataset
from izhi.experiments import samples
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.fixed import Outcome
from izhi.neurons import simulation


def trace_sample(artifact: IntegerArtifact, dataset: Dataset, sample: int) -> Outcome:
    """Everything that the integer model computes for one test sample, encoded as in evaluation.

    Raises:
        SettingError: if the number is out of range.
    """
    spikes = samples.sample(artifact, dataset, sample).astype(np.uint8)
    return fixed.run(artifact.network, spikes, trace=True)


def neuron_trace(network: fixed.IntegerNetwork, trace: fixed.IntegerTrace, layer: int, neuron: int) -> simulation.Trace:
    """The trace of one neuron in values instead of integers, for ``plots.trace``; the first layer is 0."""
    own = network.layers[layer].neuron
    states = (trace.current, trace.v, trace.u, trace.spikes)
    current, v, u, spikes = (x[layer][:, 0, neuron].astype(np.float64) for x in states)
    first, *others = own.formats.values()
    unit = first.unit
    time = np.arange(len(v), dtype=np.float64)
    recovery = u * others[0].unit if others else None
    return simulation.Trace(time, current * unit, v * unit, recovery, spikes, "")
