"""From a float network to a quantised one that trains further, and from that one to plain integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.hardware import fixed
from izhi.hardware.fixed.arithmetic import Integers
from izhi.kernels import pool
from izhi.kernels.delay import whole_steps
from izhi.network.delays import SynapticDelay
from izhi.network.layers import Layer, folded
from izhi.network.network import Network, input_features
from izhi.network.sequence import each_step
from izhi.quantization.connections import QuantizedConnection, QuantizedMembrane, QuantizedReadout, quantized_readout
from izhi.quantization.neurons import QuantizedNeuron, StateFormats, quantized_neuron
from izhi.quantization.requirements import check_levels, synaptic_delays, unsupported_module

#: Size of a window in torch's form: one number, or one for each dimension.
Size: TypeAlias = int | tuple[int, ...]


def quantized(
    network: Network,
    bits: int | None,
    formats: Sequence[StateFormats] | None,
    *,
    own: Sequence[int | None] | None = None,
    per_neuron: bool = False,
    levels: int | None = None,
) -> Network:
    """Quantise a network: the same weights in integers of some bits, and states in fixed-point formats.

    The result trains like the float network, with which it shares biases and learned coefficients.

    Args:
        network: of float weights and states.
        bits: of a weight, 2 to 8; None for float weights.
        formats: of each layer's states, then of a readout's synapse if it has one; None for float states.
        own: bits of each layer's weights, in place of ``bits``.
        per_neuron: whether each neuron's weights have a scale of their own.
        levels: L, of inputs from 0 to 1, which become round(L·value); None for inputs of spikes or counts.

    Raises:
        SettingError: for a module that hardware does not have.
    """
    unit, modules = 1.0, list[nn.Module]()
    widths, states = iter(own or [bits] * len(network.spiking)), iter(formats or ())
    if levels is not None and bits is not None:
        modules, unit = [RoundToLevels(levels)], 1 / levels
    for number, module in enumerate(network.layers, start=1):
        if isinstance(module, Layer):
            width = next(widths)
            if levels is not None and width is not None and module is network.spiking[0]:
                check_levels(levels, width, module.connection.weight[0].numel())
            modules.append(_quantize_layer(module, width, next(states, None), per_neuron, unit))
            unit = 1.0
        else:
            module, unit = (module, unit) if bits is None else _on_integers(module, unit, number)
            modules.append(module)
    readout = network.readout
    if readout is not None and bits is not None:
        of_membrane = next(states, None)
        if formats is not None and readout.synapse is not None and of_membrane is None:
            raise SettingError(
                f"formats are of {len(formats)} layers, but the readout has a synapse, expected its format behind them;"
                " choose them by izhi.quantization.formats"
            )
        readout = quantized_readout(readout, bits, of_membrane, unit=unit)
    return Network(modules, readout, keep_every=network.keep_every, dropout=network.dropout, is_exact=True)


def _quantize_layer(
    layer: Layer, bits: int | None, formats: StateFormats | None, per_neuron: bool, unit: float
) -> Layer:
    neuron, connection, norm = layer.neuron, layer.connection, layer.norm
    if bits is not None:
        if isinstance(layer.delay, SynapticDelay):
            raise synaptic_delays()
        if norm is not None:
            connection, norm = folded(connection, norm), None
        connection = QuantizedConnection(
            connection, bits, per_neuron=per_neuron, integers=formats is not None, unit=unit
        )
        if formats is not None:
            formats = formats.of_sums(connection.largest_scale)
    if formats is not None:
        neuron = quantized_neuron(neuron, formats)
    return Layer(connection, neuron, layer.delay, norm)


def _on_integers(module: nn.Module, unit: float, number: int) -> tuple[nn.Module, float]:
    """A module without state for integer inputs of a unit, and the unit of its output.

    Raises:
        SettingError: for a module that integers do not have.
    """
    if isinstance(module, (nn.AvgPool1d, nn.AvgPool2d)):
        pool = SumPool(module)
        return pool, unit / pool.size
    if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d, nn.Flatten, nn.Unflatten, nn.Identity)):
        return module, unit
    raise unsupported_module(number, type(module).__name__)


class RoundToLevels(nn.Module):
    """Values from 0 to 1 as integers, round(L·value)."""

    is_deterministic = True

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return torch.round(x * self.levels)

    def extra_repr(self) -> str:
        return str(self.levels)


class SumPool(nn.Module):
    """The number of spikes in a window: k² times their mean.

    Args:
        pool: the mean over a window, ``nn.AvgPool1d`` or ``nn.AvgPool2d``, without padding.
    """

    def __init__(self, pool: nn.AvgPool1d | nn.AvgPool2d) -> None:
        super().__init__()
        self.pool = pool
        sizes: tuple[int, ...] = _along(pool.kernel_size, 2 if isinstance(pool, nn.AvgPool2d) else 1)
        self.size = math.prod(sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Counts of spikes, both (N, channels, *sizes)."""
        mean = pool(self.pool, x)
        counts: Tensor = ((self.pool(x) if mean is None else mean) * self.size).round()
        return counts


def _along(size: Size, rank: int) -> tuple[int, ...]:
    return (size,) * rank if isinstance(size, int) else tuple(size)


def in_integers(network: Network, *, reads: fixed.Reading = "sum") -> fixed.IntegerNetwork:
    """Convert a quantised network to the integer model, with the same spikes in every step of every layer.

    Args:
        network: quantised.
        reads: what the scores of a sample are, by the network's output in each step.

    Raises:
        SettingError: for a module that integers do not have.
    """
    layers: list[fixed.IntegerLayer] = []
    readout = None
    pools: list[fixed.Pool] = []
    modules = [x for x in (*network.layers, network.readout) if isinstance(x, nn.Module)]
    with torch.no_grad():
        flat = math.prod(input_features(x for x in modules if not isinstance(x, RoundToLevels)))
        dtype = next((x.dtype for x in network.parameters() if x.is_floating_point()), None)
        spikes = torch.zeros(1, 1, flat, dtype=dtype)
        for module in modules:
            if isinstance(module, Layer):
                layers.append(_layer(module, spikes, tuple(pools)))
                pools, (spikes, _) = [], module(spikes)
            elif isinstance(module, QuantizedReadout):
                readout = _readout(module, tuple(pools))
            elif isinstance(module, QuantizedMembrane):
                readout = module.in_integers(tuple(pools))
            else:
                if isinstance(module, (SumPool, nn.MaxPool1d, nn.MaxPool2d)):
                    pools.append(_pool(module, spikes.shape[2:]))
                spikes = each_step(module, spikes)
    if pools and readout is None:
        raise SettingError("the network ends in a pool, which integers read no classes of; end it in a layer")
    return fixed.IntegerNetwork(tuple(layers), readout, reads)


def _layer(layer: Layer, spikes: Tensor, pools: tuple[fixed.Pool, ...]) -> fixed.IntegerLayer:
    connection, neuron = cast(QuantizedConnection, layer.connection), cast(QuantizedNeuron, layer.neuron)
    weight, _ = connection.integers()
    inputs, drive, feedback = connection.inputs, connection(spikes), None
    if connection.recurrent:
        weight, feedback = weight[:, :inputs], weight[:, inputs:].long().numpy()
    constants, multiplier, shift = neuron.in_integers(drive)
    features = spikes.shape[2:]
    return fixed.IntegerLayer(
        weight.flatten(1).long().numpy(), connection.bits, multiplier, shift, neuron.formats.v, constants, feedback,
        window=_window(connection, features), pools=pools, synapse=neuron.synapse_in_integers(drive),
        delay=_delays(layer, features),
    )  # fmt: skip


def _delays(layer: Layer, features: Sequence[int]) -> Integers | None:
    """Delay in steps of each source, of inputs (channels, …)."""
    if layer.delay is None:
        return None
    steps = whole_steps(layer.delay.steps, layer.delay.largest)
    delays: Integers = steps.repeat_interleave(math.prod(features) // len(steps)).numpy()
    return delays


def _readout(readout: QuantizedReadout, pools: tuple[fixed.Pool, ...]) -> fixed.IntegerReadout:
    weight, bias, _ = readout.integers()
    ones = torch.ones(len(weight), dtype=torch.int64).numpy()
    return fixed.IntegerReadout(weight.long().numpy(), readout.bits, ones, bias.long().numpy(), pools=pools)


def _window(connection: QuantizedConnection, features: Sequence[int]) -> fixed.Window | None:
    """The window of a convolution; None for a linear connection."""
    own = connection.input
    if isinstance(own, nn.Linear):
        return None
    if any(x != 1 for x in own.dilation) or own.groups != 1 or isinstance(own.padding, str):
        raise SettingError(
            f"a convolution has dilation {own.dilation}, groups {own.groups} and padding {own.padding!r},"
            " expected 1, 1 and numbers, which integers have"
        )
    return _window_over(features, own.kernel_size, own.stride, own.padding)


def _pool(module: nn.Module, features: Sequence[int]) -> fixed.Pool:
    pool: Any = module.pool if isinstance(module, SumPool) else module
    is_dense = isinstance(module, SumPool) or (set(_along(pool.dilation, 1)) == {1} and not pool.return_indices)
    if any(_along(pool.padding, 1)) or pool.ceil_mode or not is_dense:
        raise SettingError(
            f"a pool is {pool}, expected one without padding, dilation or ceil_mode, which integers have"
        )
    stride = pool.kernel_size if pool.stride is None else pool.stride
    window = _window_over(features, pool.kernel_size, stride, 0)
    return fixed.Pool("sum" if isinstance(module, SumPool) else "max", window)


def _window_over(features: Sequence[int], kernel: Size, stride: Size, padding: Size) -> fixed.Window:
    """A window over features (channels, length), as height 1, or (channels, height, width)."""
    channels, *sizes = features
    rank = len(sizes)

    def pair(size: Size, missing: int) -> tuple[int, int]:
        *above, across = _along(size, rank)
        return (above or [missing])[0], across

    height, width = pair(tuple(sizes), 1)
    return fixed.Window(channels, height, width, pair(kernel, 1), pair(stride, 1), pair(padding, 0))
