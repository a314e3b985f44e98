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
    current, spikes = (x[layer][:, 0, neuron].astype(np.float64) for x in (trace.current, trace.spikes))
    states = {
        name: trace.states[layer][:, k, 0, neuron] * form.unit for k, (name, form) in enumerate(own.formats.items())
    }
    (first, v), *others = states.items()
    time = np.arange(len(v), dtype=np.float64)
    return simulation.Trace(time, current * own.formats[first].unit, v, dict(others), spikes, "")
