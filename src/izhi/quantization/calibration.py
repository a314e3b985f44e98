"""Which numbers a float network's states need: formats from the range of v and u over some samples."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from izhi.hardware.fixed import FixedPoint
from izhi.kernels import Spikes, SynapticInput, ValueLIFCoefficients
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.traversal import walk
from izhi.neurons import Neuron, NeuronState
from izhi.quantization.neurons import StateFormats, quantized_neuron

#: The share of states that formats must hold; what lies beyond saturates.
COVERED = 0.9999
#: What a synapse's sums may grow by while weights are trained further.
ROOM = 2.0
#: Formats that hold less are taken for that share of the wrong spikes, or less; and not where wrong
#: spikes are that share of all, so that states keep room while the network is trained further.
WORTH_IT, NEGLIGIBLE = 0.9, 5e-3


def ranges(network: Network, spikes: Spikes) -> list[tuple[float, float, float]]:
    """The magnitudes below which nearly all states of each layer lie: v, u, a synapse's sums; 0 for what it lacks."""
    found = []
    with torch.no_grad():
        for layer, given in walk(network, spikes):
            if not isinstance(layer, Layer):
                break
            drive, _ = layer.drive(given)
            state: NeuronState | None = None
            seen: list[Tensor] = []
            for t in range(len(drive.current)):
                _, state = layer.neuron.step(drive.step(t), state)
                u = getattr(state, "u", torch.zeros(1))
                trace = state.memory.synapse[0] if state.memory.synapse else torch.zeros(1)
                seen.append(torch.stack([_largest(x) for x in (state.v, u, trace)]))
            v, u_, trace_ = torch.stack(seen).amax(0).tolist()
            found.append((v, u_, trace_))
    return found


def _largest(x: Tensor) -> Tensor:
    flat = x.detach().abs().flatten().float()
    return flat.kthvalue(max(1, math.ceil(COVERED * flat.numel()))).values


def fitting(width: int, magnitude: float) -> FixedPoint:
    """The format of that width that holds numbers of that magnitude with the most bits behind the point."""
    whole = math.ceil(math.log2(magnitude)) if magnitude > 0 else 0
    return FixedPoint(width, min(max(width - 1 - whole, 0), 30))


def formats(network: Network, spikes: Spikes, width: int, *, fraction: int = 14) -> list[StateFormats]:
    """Formats of each layer's states, of that width.

    They hold nearly all states that were seen, unless finer ones, in which the largest saturate, keep more
    of the layer's spikes as they are.

    Args:
        network: of float states.
        spikes: samples for it.
        width: bits of v, u and currents.
        fraction: bits behind the point of the neurons' coefficients.
    """
    found = []
    with torch.no_grad():
        for (layer, given), (v, u, trace) in zip(walk(network, spikes), ranges(network, spikes), strict=False):
            assert isinstance(layer, Layer)
            needed = _needed(layer)
            sums = None if layer.connection.synapse is None else fitting(width, ROOM * trace or 1.0)
            wide = StateFormats(fitting(width, max(v, 1.01 * needed)), fitting(width, u or 1.0), fraction, sums)
            drive, _ = layer.drive(given)
            found.append(_least_wrong(layer.neuron, drive, layer(given)[0], wide, needed))
    return found


def _needed(layer: Layer) -> float:
    """What has to be a number of v besides states: the threshold, and what a spike sets v to, by its magnitude."""
    p = layer.neuron.coefficients()
    threshold = float(torch.as_tensor(p.threshold).max())
    if isinstance(p, ValueLIFCoefficients):
        return max(threshold, float(torch.as_tensor(p.v_reset).abs().max()))
    return threshold


def _least_wrong(
    neuron: Neuron, drive: SynapticInput, wanted: Tensor, formats: StateFormats, needed: float
) -> StateFormats:
    """The formats, or finer ones of v, then of u, whose spikes are nearest to those wanted."""

    def wrong(formats: StateFormats) -> float:
        return float((quantized_neuron(neuron, formats)(drive)[0] - wanted).abs().sum())

    least = wrong(formats)
    if least <= NEGLIGIBLE * float(wanted.sum()):
        return formats
    start = neuron.initial_state(drive.current[0])
    for name in ("v", "u") if hasattr(start, "u") else ("v",):
        wide: FixedPoint = getattr(formats, name)
        for finer in range(wide.fraction + 1, wide.width):
            number = FixedPoint(wide.width, finer)
            if name == "v" and needed > number.highest * number.unit:
                break
            tried = replace(formats, v=number) if name == "v" else replace(formats, u=number)
            error = wrong(tried)
            if error < WORTH_IT * least:
                formats, least = tried, error
    return formats


def usual_formats(network: Network, width: int) -> list[StateFormats]:
    """Formats for a network whose own are still to be loaded."""
    number = FixedPoint(width, max(width - 3, 0))
    return [
        StateFormats(number, number, trace=None if layer.connection.synapse is None else number)
        for layer in network.spiking
    ]
