"""Which numbers a float network's states need: formats from the range of v and u over some samples."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from izhi.fixed import FixedPoint
from izhi.kernels import Coefficients, Spikes
from izhi.network import Layer, Network
from izhi.neurons import Izhikevich
from izhi.quantization.neurons import StateFormats

#: The share of states that formats must hold; what lies beyond saturates.
COVERED = 0.9999


def ranges(network: Network, spikes: Spikes) -> list[tuple[float, float]]:
    """The magnitudes of v and u (0 for LIF) below which nearly all of each layer's states lie."""
    found = []
    with torch.no_grad():
        for module in network.layers:
            layer = cast(Layer, module)
            drive, _ = layer.drive(spikes)
            state: Any = None
            seen: list[Tensor] = []
            for t in range(len(drive.current)):
                _, state = layer.neuron.step(drive.step(t), state)
                u = state.u if isinstance(layer.neuron, Izhikevich) else torch.zeros(1)
                seen.append(torch.stack([_largest(state.v), _largest(u)]))
            highest = torch.stack(seen).amax(0)
            found.append((float(highest[0]), float(highest[1])))
            spikes, _ = layer(spikes)
    return found


def _largest(x: Tensor) -> Tensor:
    flat = x.detach().abs().flatten().float()
    return flat.kthvalue(max(1, math.ceil(COVERED * flat.numel()))).values


def fitting(width: int, magnitude: float) -> FixedPoint:
    """The format of that width that holds numbers of that magnitude with the most bits behind the point."""
    whole = math.ceil(math.log2(magnitude)) if magnitude > 0 else 0
    return FixedPoint(width, min(max(width - 1 - whole, 0), 30))


def formats(
    network: Network, spikes: Spikes, width: int, *, fraction: int = 14
) -> list[StateFormats]:
    """Formats of each layer's states, of that width."""
    found = []
    for module, (v, u) in zip(network.layers, ranges(network, spikes), strict=True):
        neuron = cast(Layer, module).neuron
        of_neuron = neuron.coefficients()
        threshold = of_neuron.threshold if isinstance(of_neuron, Coefficients) else of_neuron[1]
        # The threshold itself has to be a number of v.
        v = max(v, 1.01 * float(torch.as_tensor(threshold).detach().max()))
        found.append(StateFormats(fitting(width, v), fitting(width, u or 1.0), fraction))
    return found


def usual_formats(network: Network, width: int) -> list[StateFormats]:
    """Formats for a network whose own are still to be loaded."""
    number = FixedPoint(width, max(width - 3, 0))
    return [StateFormats(number, number) for _ in network.layers]
