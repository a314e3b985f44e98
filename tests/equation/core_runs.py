"""A simulated core beside the integer model: every spike and every state."""

from __future__ import annotations

from typing import Any

import numpy as np

from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core.compile import library
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices import CoreDevice
from izhi.hardware.fixed import IntegerNetwork, Outcome


def check_core(shape: Any, network: IntegerNetwork, spikes: Any) -> tuple[Outcome, Outcome]:
    """Assert that a core of a shape has the spikes and states of a network; its outcome, and that of the model."""
    steps, batch, _ = spikes.shape
    block = SimulatedCore(library(shape, shows_states=True), shape, check_every=1)
    core = CoreDevice("simulator", block, shape)
    core.load(IntegerArtifact(network, steps, ()))
    block.states()  # those of loading
    found, expected = core.run(spikes, sends_spikes=True), fixed.run(network, spikes, trace=True)
    states = block.states()
    for number, layer in enumerate(network.layers):
        assert np.array_equal(found.spikes[number], expected.spikes[number])
        own = states[states[:, 0] == number].reshape(batch, steps, layer.outputs, -1)
        count = len(layer.neuron.formats)
        assert np.array_equal(own[..., 2 : 2 + count].transpose(1, 3, 0, 2), expected.trace.states[number])
    return found, expected
