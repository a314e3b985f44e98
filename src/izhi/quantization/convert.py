"""A float network as a quantised one that can be trained further, and that one in plain integers."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.network import BatchNorm
from izhi.network.connections import Connection
from izhi.network.layers import Layer, Network
from izhi.quantization.connections import QuantizedConnection, QuantizedReadout
from izhi.quantization.neurons import (
    QuantizedIzhikevich,
    QuantizedLIF,
    StateFormats,
    quantized_neuron,
)


def quantized(
    network: Network,
    bits: int | None,
    formats: Sequence[StateFormats] | None,
    *,
    own: Sequence[int | None] | None = None,
    per_neuron: bool = False,
) -> Network:
    """A network with the same weights in integers of some bits and states in those formats.

    It is trained like the float network, which it shares biases and learned coefficients with.

    Args:
        network: of float weights and states.
        bits: of a weight, 2 to 8; None to leave weights as they are.
        formats: of each layer's states; None to leave states as they are.
        own: bits of each layer's weights, in place of ``bits``.
        per_neuron: whether each neuron's weights have a scale of their own.

    Raises:
        SettingError: for what hardware does not have.
    """
    widths = list(own or [bits] * len(network.spiking))
    row: list[nn.Module] = []
    unit, number = 1.0, 0
    for place, module in enumerate(network.layers, start=1):
        if not isinstance(module, Layer):
            module, unit = _whole_numbers(module, unit, place) if bits is not None else (module, unit)
            row.append(module)
            continue
        neuron, connection = module.neuron, module.connection
        if formats is not None:
            neuron = quantized_neuron(neuron, formats[number])
        norm, width = module.norm, widths[number]
        if width is not None:
            if module.delay is not None:
                raise SettingError("delays are set, which hardware does not have; leave them out")
            if norm is not None:
                connection, norm = folded(connection, norm), None
            connection = QuantizedConnection(
                connection, width, per_neuron=per_neuron, integers=formats is not None, unit=unit
            )
        row.append(Layer(connection, neuron, module.delay, norm))
        unit, number = 1.0, number + 1
    readout = network.readout
    if readout is not None and bits is not None:
        readout = QuantizedReadout(readout, bits)
    return Network(row, readout, keep_every=network.keep_every, dropout=network.dropout, is_exact=True)


class SumPool(nn.Module):
    """Spikes of a window, counted: k² times their mean, which is a whole number.

    Args:
        pool: the mean over a window, ``nn.AvgPool1d`` or ``nn.AvgPool2d``, without padding.
    """

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.pool: Any = pool
        dimensions = 2 if isinstance(pool, nn.AvgPool2d) else 1
        self.size = math.prod(_both(pool.kernel_size, dimensions))

    def forward(self, x: Tensor) -> Tensor:
        """Counts (N, channels, *places) of spikes (N, channels, *places)."""
        counts: Tensor = (self.pool(x) * self.size).round()
        return counts


def _both(size: Any, dimensions: int) -> tuple[int, ...]:
    return (size,) * dimensions if isinstance(size, int) else tuple(size)


def _whole_numbers(module: nn.Module, unit: float, place: int) -> tuple[nn.Module, float]:
    """A module of a row on whole numbers of a unit, and the unit of what it gives.

    Raises:
        SettingError: for a module that integers do not have.
    """
    if isinstance(module, (nn.AvgPool1d, nn.AvgPool2d)):
        pool = SumPool(module)
        return pool, unit / pool.size
    if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten, nn.Unflatten, nn.Identity)):
        return module, unit
    raise SettingError(
        f"number {place} of the network is {type(module).__name__}, which integers do not have, expected convolutions,"
        " pooling, Flatten, Unflatten and linear layers"
    )


def folded(connection: Connection, norm: BatchNorm) -> Connection:
    """A connection whose weights and bias do what normalisation did in evaluation."""
    found = copy.deepcopy(connection)
    factor, lost = norm.folded()
    with torch.no_grad():
        found.weight.mul_(factor.view(-1, *[1] * (found.weight.dim() - 1)))
        bias = torch.zeros(len(factor)) if found.input.bias is None else found.input.bias
        found.input.bias = nn.Parameter(bias - lost)
    return found


def in_integers(network: Network) -> fixed.Network:
    """A quantised network as the integer model: the same spikes in every step of every layer."""
    with torch.no_grad():
        layers = tuple(_layer(cast(Layer, layer)) for layer in network.layers)
        readout = None
        if network.readout is not None:
            whole, bias, _ = cast(QuantizedReadout, network.readout).integers()
            ones = torch.ones(len(whole), dtype=torch.int64)
            readout = fixed.Readout(
                whole.long().numpy(),
                cast(QuantizedReadout, network.readout).bits,
                ones.numpy(),
                bias.long().numpy(),
            )
    return fixed.Network(layers, readout)


def _layer(layer: Layer) -> fixed.Layer:
    connection = cast(QuantizedConnection, layer.connection)
    neuron = cast(QuantizedIzhikevich | QuantizedLIF, layer.neuron)
    drive = connection(torch.zeros(1, 1, connection.inputs))
    whole, _ = connection.integers()
    n = connection.inputs
    constants, multiplier, shift = neuron.in_integers(drive)
    return fixed.Layer(
        whole[:, :n].long().numpy(), connection.bits, multiplier, shift, neuron.formats.v, constants,
        whole[:, n:].long().numpy() if connection.recurrent else None,
    )  # fmt: skip
