"""Calibration: formats of a float network's states from the range of v and u over some samples."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from izhi.hardware.fixed import FixedPoint
from izhi.kernels import Spikes, SynapticInput
from izhi.network.layers import Layer
from izhi.network.network import Network, walk
from izhi.neurons import Neuron, NeuronState
from izhi.quantization.neurons import StateFormats, quantized_neuron

#: The share of states within a format's range; larger ones saturate.
COVERED = 0.9999
#: Factor by which a synapse's sums may grow while weights train further.
ROOM = 2.0
#: A finer format is chosen if its wrong spikes are at most the first share of those of a wider one. It is not tried
#: if wrong spikes are at most the second share of all, so that states keep room while the network trains further.
WORTH_IT, NEGLIGIBLE = 0.9, 5e-3


def ranges(network: Network, spikes: Spikes) -> list[tuple[float, float, float]]:
    """Magnitudes that nearly all states of each layer stay below: v, u and a synapse's sums; 0 without such a state."""
    magnitudes: list[tuple[float, float, float]] = []
    with torch.no_grad():
        for layer, inputs in walk(network, spikes):
            if not isinstance(layer, Layer):
                break
            drive, _ = layer.drive(inputs)
            state: NeuronState | None = None
            of_steps: list[Tensor] = []
            for t in range(len(drive.current)):
                _, state = layer.neuron.step(drive.step(t), state)
                u = getattr(state, "u", torch.zeros(1))
                trace = state.memory.synapse[0] if state.memory.synapse else torch.zeros(1)
                of_steps.append(torch.stack([_quantile(x) for x in (state.v, u, trace)]))
            magnitudes.append(tuple(torch.stack(of_steps).amax(0).tolist()))
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
        for (layer, inputs), (v, u, trace) in zip(walk(network, spikes), ranges(network, spikes), strict=False):
            assert isinstance(layer, Layer)
            minimum = _minimum(layer)
            sums = None if layer.connection.synapse is None else fitting(width, ROOM * trace or 1.0)
            wide = StateFormats(fitting(width, max(v, 1.01 * minimum)), fitting(width, u or 1.0), fraction, sums)
            drive, _ = layer.drive(inputs)
            chosen.append(_refine(layer.neuron, drive, layer(inputs)[0], wide, minimum))
    return chosen


def _minimum(layer: Layer) -> float:
    """The magnitude that v's format must include: of the threshold, and of v after a spike."""
    p = layer.neuron.coefficients()
    after = getattr(p, "v_reset", 0.0)
    return max(float(torch.as_tensor(p.threshold).max()), float(torch.as_tensor(after).abs().max()))


def _refine(
    neuron: Neuron, drive: SynapticInput, expected: Tensor, formats: StateFormats, minimum: float
) -> StateFormats:
    """The formats, or finer ones of v, then of u, with the fewest wrong spikes."""

    def wrong(formats: StateFormats) -> float:
        return float((quantized_neuron(neuron, formats)(drive)[0] - expected).abs().sum())

    least = wrong(formats)
    if least <= NEGLIGIBLE * float(expected.sum()):
        return formats
    start = neuron.initial_state(drive.current[0])
    for name in ("v", "u") if hasattr(start, "u") else ("v",):
        wide: FixedPoint = getattr(formats, name)
        for fraction in range(wide.fraction + 1, wide.width):
            number = FixedPoint(wide.width, fraction)
            if name == "v" and minimum > number.highest * number.unit:
                break
            finer = replace(formats, v=number) if name == "v" else replace(formats, u=number)
            error = wrong(finer)
            if error < WORTH_IT * least:
                formats, least = finer, error
    return formats


def usual_formats(network: Network, width: int) -> list[StateFormats]:
    """Formats for a network whose own a checkpoint then loads."""
    number = FixedPoint(width, max(width - 3, 0))
    return [
        StateFormats(number, number, trace=None if layer.connection.synapse is None else number)
        for layer in network.spiking
    ]
