"""What happens inside an artifact's network while it runs one test sample."""

from __future__ import annotations

import numpy as np

from izhi.data import Dataset
from izhi.experiments import samples
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.fixed import Outcome
from izhi.neurons import simulation


def trace(artifact: IntegerArtifact, dataset: Dataset, sample: int) -> Outcome:
    """All that the integer model computes for one test sample, coded as in evaluation.

    Raises:
        SettingError: if there is no such sample.
    """
    spikes = samples.sample(artifact, dataset, sample).astype(np.uint8)
    return fixed.run(artifact.network, spikes, trace=True)


def values(network: fixed.Network, seen: fixed.Trace, layer: int, neuron: int) -> simulation.Trace:
    """What one neuron did, in values instead of integers, for ``plots.trace``; layer 0 is the first."""
    kind = network.layers[layer].neuron
    states = (seen.current, seen.v, seen.u, seen.spikes)
    current, v, u, spikes = (x[layer][:, 0, neuron].astype(np.float64) for x in states)
    unit = kind.v_format.unit
    time = np.arange(len(v), dtype=np.float64)
    recovery = u * kind.formats.u.unit if "u" in kind.states else None
    return simulation.Trace(time, current * unit, v * unit, recovery, spikes, "")
