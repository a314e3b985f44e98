"""A float network as a quantised one that can be trained further, and that one in plain integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.hardware.fixed.arithmetic import Integers
from izhi.kernels import Spikes
from izhi.kernels.delay import whole_steps
from izhi.network.delays import SynapticDelay
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.network.normalization import folded
from izhi.network.sequence import each_step
from izhi.network.traversal import input_features
from izhi.quantization.connections import QuantizedConnection, QuantizedReadout
from izhi.quantization.neurons import (
    QuantizedIzhikevich,
    QuantizedLIF,
    StateFormats,
    quantized_neuron,
)
from izhi.quantization.requirements import check_levels, synaptic_delays, unsupported_module


def quantized(
    network: Network,
    bits: int | None,
    formats: Sequence[StateFormats] | None,
    *,
    own: Sequence[int | None] | None = None,
    per_neuron: bool = False,
    levels: int | None = None,
) -> Network:
    """A network with the same weights in integers of some bits and states in those formats.

    It is trained like the float network, which it shares biases and learned coefficients with.

    Args:
        network: of float weights and states.
        bits: of a weight, 2 to 8; None to leave weights as they are.
        formats: of each layer's states; None to leave states as they are.
        own: bits of each layer's weights, in place of ``bits``.
        per_neuron: whether each neuron's weights have a scale of their own.
        levels: L, where values from 0 to 1 come in: they become round(L·value). None for spikes, or numbers of them.

    Raises:
        SettingError: for what hardware does not have.
    """
    widths = list(own or [bits] * len(network.spiking))
    row: list[nn.Module] = []
    unit, number = 1.0, 0
    if levels is not None and bits is not None:
        row, unit = [Levels(levels)], 1 / levels
    for place, module in enumerate(network.layers, start=1):
        if not isinstance(module, Layer):
            module, unit = _whole_numbers(module, unit, place) if bits is not None else (module, unit)
            row.append(module)
            continue
        neuron, connection = module.neuron, module.connection
        norm, width, own_formats = module.norm, widths[number], None if formats is None else formats[number]
        if width is not None:
            if levels is not None and number == 0:
                check_levels(levels, width, connection.weight[0].numel())
            if isinstance(module.delay, SynapticDelay):
                raise synaptic_delays()
            if norm is not None:
                connection, norm = folded(connection, norm), None
            connection = QuantizedConnection(
                connection, width, per_neuron=per_neuron, integers=formats is not None, unit=unit
            )
            if own_formats is not None:
                own_formats = own_formats.of_sums(connection.largest_scale)
        if own_formats is not None:
            neuron = quantized_neuron(neuron, own_formats)
        row.append(Layer(connection, neuron, module.delay, norm))
        unit, number = 1.0, number + 1
    readout = network.readout
    if readout is not None and bits is not None:
        readout = QuantizedReadout(readout, bits, unit=unit)
    return Network(row, readout, keep_every=network.keep_every, dropout=network.dropout, is_exact=True)


#: Of a window, in torch's way: one number, or one for each direction.
Size: TypeAlias = int | tuple[int, ...]


class Levels(nn.Module):
    """Values from 0 to 1 as whole numbers, round(L·value)."""

    is_deterministic = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * self.levels)

    def extra_repr(self) -> str:
        return str(self.levels)


class SumPool(nn.Module):
    """Spikes of a window, counted: k² times their mean, which is a whole number.

    Args:
        pool: the mean over a window, ``nn.AvgPool1d`` or ``nn.AvgPool2d``, without padding.
    """

    def __init__(self, pool: nn.AvgPool1d | nn.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool
        sizes: tuple[int, ...] = _both(pool.kernel_size, 2 if isinstance(pool, nn.AvgPool2d) else 1)
        self.size = math.prod(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Counts (N, channels, *places) of spikes (N, channels, *places)."""
        counts: Tensor = (self.pool(x) * self.size).round()
        return counts


def _both(size: Size, dimensions: int) -> tuple[int, ...]:
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
    raise unsupported_module(place, type(module).__name__)


def in_integers(network: Network) -> fixed.IntegerNetwork:
    """A quantised network as the integer model: the same spikes in every step of every layer.

    Raises:
        SettingError: for what integers do not have.
    """
    layers: list[fixed.IntegerLayer] = []
    readout = None
    pools: list[fixed.Pool] = []
    with torch.no_grad():
        modules = [x for x in (*network.layers, network.readout) if not isinstance(x, Levels)]
        spikes: Spikes = torch.zeros(1, 1, math.prod(input_features(modules)))
        for module in (*network.layers, network.readout):
            if isinstance(module, Layer):
                layers.append(_layer(module, spikes, tuple(pools)))
                pools = []
                spikes, _ = module(spikes)
            elif isinstance(module, QuantizedReadout):
                readout = _readout(module, tuple(pools))
            elif isinstance(module, nn.Module):
                if isinstance(module, (SumPool, nn.MaxPool1d, nn.MaxPool2d)):
                    pools.append(_pool(module, cast(Tensor, spikes).shape[2:]))
                spikes = each_step(module, spikes)
    if pools and readout is None:
        raise SettingError("the network ends in a pool, which integers read no classes of; end it in a layer")
    return fixed.IntegerNetwork(tuple(layers), readout)


def _layer(layer: Layer, spikes: Spikes, pools: tuple[fixed.Pool, ...]) -> fixed.IntegerLayer:
    connection = cast(QuantizedConnection, layer.connection)
    neuron = cast(QuantizedIzhikevich | QuantizedLIF, layer.neuron)
    whole, _ = connection.integers()
    n, drive = connection.inputs, connection(spikes)
    constants, multiplier, shift = neuron.in_integers(drive)
    own = whole[:, :n] if connection.recurrent else whole
    return fixed.IntegerLayer(
        own.flatten(1).long().numpy(), connection.bits, multiplier, shift, neuron.formats.v, constants,
        whole[:, n:].long().numpy() if connection.recurrent else None,
        window=_window(connection, cast(Tensor, spikes).shape[2:]), pools=pools,
        synapse=neuron.synapse_in_integers(drive), delay=_delays(layer, spikes.shape[2:]),
    )  # fmt: skip


def _delays(layer: Layer, features: Sequence[int]) -> Integers | None:
    """Steps by which each source's spikes are late: of the features (channels, …) that come in."""
    if layer.delay is None:
        return None
    steps = whole_steps(layer.delay.steps, layer.delay.largest)
    places = math.prod(features) // len(steps)
    found: Integers = steps.repeat_interleave(places).numpy()
    return found


def _readout(readout: QuantizedReadout, pools: tuple[fixed.Pool, ...]) -> fixed.IntegerReadout:
    whole, bias, _ = readout.integers()
    ones = torch.ones(len(whole), dtype=torch.int64)
    return fixed.IntegerReadout(
        whole.long().numpy(), readout.bits, ones.numpy(), bias.long().numpy(), pools=pools
    )  # fmt: skip


def _window(connection: QuantizedConnection, features: Sequence[int]) -> fixed.Window | None:
    """Where a convolution looks; None for a linear connection."""
    own = connection.input
    if isinstance(own, nn.Linear):
        return None
    if any(x != 1 for x in own.dilation) or own.groups != 1 or isinstance(own.padding, str):
        raise SettingError(
            f"a convolution has dilation {own.dilation}, groups {own.groups} and padding {own.padding!r},"
            " expected 1, 1 and numbers, which integers have"
        )
    return _looks(features, own.kernel_size, own.stride, own.padding)


def _pool(module: nn.Module, features: Sequence[int]) -> fixed.Pool:
    pool: Any = module.pool if isinstance(module, SumPool) else module
    is_dense = isinstance(module, SumPool) or (set(_both(pool.dilation, 1)) == {1} and not pool.return_indices)
    if any(_both(pool.padding, 1)) or pool.ceil_mode or not is_dense:
        raise SettingError(
            f"a pool is {pool}, expected one without padding, dilation or ceil_mode, which integers have"
        )
    stride = pool.kernel_size if pool.stride is None else pool.stride
    return fixed.Pool("sum" if isinstance(module, SumPool) else "max", _looks(features, pool.kernel_size, stride, 0))


def _looks(features: Sequence[int], kernel: Size, stride: Size, padding: Size) -> fixed.Window:
    """A window over features (channels, length) or (channels, height, width)."""
    channels, *sizes = features
    along = len(sizes) == 1

    def pair(size: Size, missing: int) -> tuple[int, int]:
        one = _both(size, len(sizes))
        return (missing, one[0]) if along else (one[0], one[1])

    height, width = (1, sizes[0]) if along else sizes
    return fixed.Window(channels, height, width, pair(kernel, 1), pair(stride, 1), pair(padding, 0))
