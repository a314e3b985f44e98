"""Calibration: formats of a float network's states from the range of v and u over some samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from izhi.equation.integers import integer_step
from izhi.hardware.fixed import FixedPoint
from izhi.hardware.fixed.bounds import MOST_BITS
from izhi.kernels import Spikes, SynapticInput
from izhi.kernels.torch_step import constants_function
from izhi.network.layers import Layer
from izhi.network.network import Network, walk
from izhi.neurons import Neuron
from izhi.neurons.neuron import NeuronLayer
from izhi.quantization.neurons import StateFormats, quantized_neuron

#: The share of states within a format's range; larger ones saturate.
COVERED = 0.9999
#: Factor by which a synapse's sums may grow while weights train further.
ROOM = 2.0
#: A finer format is chosen if its wrong spikes are at most the first share of those of a wider one. It is not tried
#: if wrong spikes are at most the second share of all, so that states keep room while the network trains further.
WORTH_IT, NEGLIGIBLE = 0.9, 5e-3


class Ranges(NamedTuple):
    """Magnitudes that nearly all states of a layer stay below.

    Attributes:
        states: of each state of the neuron.
        trace: of a synapse's sums; 0 without one.
    """

    states: tuple[float, ...]
    trace: float


def ranges(network: Network, spikes: Spikes) -> list[Ranges]:
    """Magnitudes that nearly all states of each layer stay below."""
    magnitudes: list[Ranges] = []
    with torch.no_grad():
        for layer, inputs in walk(network, spikes):
            if not isinstance(layer, Layer):
                break
            drive, _ = layer.drive(inputs)
            state: Any = None
            of_steps: list[Tensor] = []
            for t in range(len(drive.current)):
                _, state = layer.neuron.step(drive.step(t), state)
                *own, memory = state
                trace = memory.synapse[0] if memory.synapse else torch.zeros(1)
                of_steps.append(torch.stack([_quantile(x) for x in (*own, trace)]))
            *states, sums = torch.stack(of_steps).amax(0).tolist()
            magnitudes.append(Ranges(tuple(states), sums))
    return magnitudes


def _quantile(x: Tensor) -> Tensor:
    """The magnitude that the share ``COVERED`` of values does not exceed."""
    flat = x.detach().abs().flatten().float()
    return flat.kthvalue(max(1, math.ceil(COVERED * flat.numel()))).values


def fitting(width: int, magnitude: float) -> FixedPoint:
    """The format of a width with the most bits behind the point whose range includes a magnitude."""
    whole = math.ceil(math.log2(magnitude)) if magnitude > 0 else 0
    return FixedPoint(width, min(max(width - 1 - whole, 0), 30))


def formats(network: Network, spikes: Spikes, width: int, *, fraction: int = 14) -> list[StateFormats]:
    """Formats of each layer's states, of a width.

    They include nearly all states of the samples. A finer format, in which the largest states saturate, replaces one
    if it changes fewer of the layer's spikes.

    Args:
        network: of float states.
        spikes: samples, its input.
        width: bits of v, u and currents.
        fraction: bits behind the point of the neurons' coefficients.
    """
    chosen = []
    with torch.no_grad():
        for (layer, inputs), (states, trace) in zip(walk(network, spikes), ranges(network, spikes), strict=False):
            assert isinstance(layer, Layer)
            least = _least(layer, width, fraction)
            sums = None if layer.connection.synapse is None else fitting(width, ROOM * trace or 1.0)
            v, *others = (fitting(width, max(x, 1.01 * y) or 1.0) for x, y in zip(states, least, strict=True))
            u, *others = others or [fitting(width, 1.0)]
            wide = StateFormats(v, u, fraction, sums, tuple(others))
            drive, _ = layer.drive(inputs)
            chosen.append(_refine(layer.neuron, drive, layer(inputs)[0], wide, least))
    return chosen


def _least(layer: Layer, width: int, fraction: int) -> list[float]:
    """The magnitude that each state's format must include.

    It is that of what the state is compared with, and of what replaces it. What is added to its products has more bits
    behind the point than the state, and must fit an integer of the hardware.
    """
    neuron = cast(NeuronLayer[Any, Any], layer.neuron)
    equation, p = neuron.settings.equation, neuron.coefficients()
    step, k = integer_step(equation), neuron.settings.constants
    values = constants_function(equation)(tuple(p), k, torch.zeros(1), torch.zeros(()))
    least = dict.fromkeys(equation.states, 0.0)
    for constant, value in zip(step.constants, values, strict=False):
        magnitude = float(value.abs().max())
        if constant.role == "addend":
            magnitude *= 2.0 ** (width + fraction - MOST_BITS)
        if constant.role == "addend" or constant.name in step.compared | step.selected:
            least[constant.of] = max(least[constant.of], magnitude)
    return list(least.values())


def _refine(
    neuron: Neuron, drive: SynapticInput, expected: Tensor, formats: StateFormats, least: Sequence[float]
) -> StateFormats:
    """The formats, or finer ones of each state in turn, with the fewest wrong spikes."""

    def wrong(formats: StateFormats) -> float:
        return float((quantized_neuron(neuron, formats)(drive)[0] - expected).abs().sum())

    fewest = wrong(formats)
    if fewest <= NEGLIGIBLE * float(expected.sum()):
        return formats
    for place, magnitude in enumerate(least):
        wide = formats.states[place]
        for fraction in range(wide.fraction + 1, wide.width):
            number = FixedPoint(wide.width, fraction)
            if magnitude > number.highest * number.unit:
                break
            finer = formats.with_state(place, number)
            error = wrong(finer)
            if error < WORTH_IT * fewest:
                formats, fewest = finer, error
    return formats


def usual_formats(network: Network, width: int) -> list[StateFormats]:
    """Formats for a network whose own a checkpoint then loads."""
    number = FixedPoint(width, max(width - 3, 0))
    return [
        StateFormats(number, number, trace=None if layer.connection.synapse is None else number)
        for layer in network.spiking
    ]
