"""Networks of descriptions (``izhi.spec``), and descriptions of networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from torch import nn

from izhi.errors import SettingError, ShapeError, shown
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import Connection, Conv1d, Conv2d, Linear, along
from izhi.network.delays import AxonalDelay, Delay, SynapticDelay
from izhi.network.network import input_features
from izhi.neurons import Neuron
from izhi.neurons.neuron import NeuronLayer
from izhi.spec.connection import ConnectionSpec, ConvolutionSpec, DelaySpec, LinearSpec, NormSpec
from izhi.spec.modules import FlattenSpec, IdentitySpec, LayerSpec, ModuleSpec, PoolSpec, ResidualSpec, UnflattenSpec
from izhi.spec.network import NetworkSpec
from izhi.spec.neuron import NeuronSpec, entry_of
from izhi.spec.tables import Shape


def build(spec: NetworkSpec, kernel: str = "auto") -> Network:
    """The network of a description, its weights drawn from torch's generator in the order of its modules."""
    modules = [_BUILDERS[type(x)](x, kernel) for x in spec.modules]
    readout = None if spec.readout is None else Connection.build(spec.readout)
    return Network(modules, readout, keep_every=spec.keep_every, dropout=spec.dropout)


def build_neurons(spec: NeuronSpec, kernel: str = "auto") -> Neuron:
    """The neurons of a description."""
    neuron: Neuron = _module_of(spec.kind).of(spec, kernel)
    return neuron


def _layer(spec: LayerSpec, kernel: str) -> Layer:
    # The order in which random numbers are drawn: spread of the neurons, weights, delays.
    neuron = build_neurons(spec.neuron, kernel)
    connection = Connection.build(spec.connection)
    norm = None
    if spec.norm is not None:
        norm = BatchNorm(spec.connection.outputs, momentum=spec.norm.momentum, eps=spec.norm.eps)
    return Layer(connection, neuron, None if spec.delay is None else _delay(spec.delay, spec.connection), norm)


@cache
def _module_of(kind: str) -> Any:
    """The module of a registered neuron."""
    return entry_of(kind).load("torch")


def _residual(spec: ResidualSpec, kernel: str) -> Residual:
    modules = [_BUILDERS[type(x)](x, kernel) for x in spec.modules]
    shortcut = None if spec.shortcut is None else _BUILDERS[type(spec.shortcut)](spec.shortcut, kernel)
    return Residual(modules, shortcut, add=spec.add)


_BUILDERS: dict[type[ModuleSpec | ConnectionSpec], Callable[[Any, str], nn.Module]] = {
    LinearSpec: lambda spec, kernel: Connection.build(spec),
    ConvolutionSpec: lambda spec, kernel: Connection.build(spec),
    LayerSpec: _layer,
    ResidualSpec: _residual,
    PoolSpec: lambda spec, kernel: getattr(nn, spec.name)(spec.kernel, spec.stride),
    FlattenSpec: lambda spec, kernel: nn.Flatten(),
    IdentitySpec: lambda spec, kernel: nn.Identity(),
    UnflattenSpec: lambda spec, kernel: nn.Unflatten(1, spec.features),
}


def _delay(spec: DelaySpec, connection: ConnectionSpec) -> Delay:
    if spec.kind == "axonal":
        return AxonalDelay(connection.inputs, spec.largest, learn=spec.learn)
    outputs, inputs, *kernel = connection.weight_shape
    return SynapticDelay(inputs, outputs, spec.largest, learn=spec.learn, kernel=kernel)


def describe(network: Network, *features: int) -> NetworkSpec:
    """The description of a network, which ``build`` makes into one of the same shapes and neurons.

    Args:
        network: of float weights.
        features: of the input, channels first; none if the first module defines them.

    Raises:
        SettingError: for a module that descriptions do not hold, or a first one that takes features of any size.
        ShapeError: for features that the network does not take.
    """
    readout = None if network.readout is None else _of_connection(network.readout)
    shape = features or (math.prod(input_features([*network.layers, network.readout])),)
    modules = _of_modules(network.layers, shape)
    return NetworkSpec(modules, readout, dropout=network.dropout, keep_every=network.keep_every)


def _of_modules(modules: Sequence[nn.Module] | nn.ModuleList, features: Shape) -> tuple[ModuleSpec, ...]:
    specs: list[ModuleSpec] = []
    for module in modules:
        specs.append(_of_module(module, features))
        features = specs[-1].shape(features)
    return tuple(specs)


def _of_module(module: nn.Module, features: Shape) -> ModuleSpec:
    if isinstance(module, Layer):
        return _of_layer(module, features)
    if isinstance(module, Residual):
        own, shortcut = module.shortcut, None
        if own is not None:
            shortcut = _of_connection(own) if isinstance(own, Connection) else _of_module(own, features)
        return ResidualSpec(_of_modules(module.layers, features), shortcut, module.add)
    if isinstance(module, nn.Unflatten):
        return UnflattenSpec(tuple(module.unflattened_size))
    if isinstance(module, nn.Identity):
        return IdentitySpec()
    if isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1):
        return FlattenSpec()
    if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d)):
        rank = 1 if isinstance(module, (nn.MaxPool1d, nn.AvgPool1d)) else 2
        divided = getattr(module, "divisor_override", None)
        if not any(along(module.padding, rank)) and not module.ceil_mode and divided is None:
            kind: Literal["max", "average"] = "max" if isinstance(module, (nn.MaxPool1d, nn.MaxPool2d)) else "average"
            kernel = along(module.kernel_size, rank)
            return PoolSpec(kind, kernel, kernel if module.stride is None else along(module.stride, rank))
    raise SettingError(
        f"the network has {shown(module)}, which settings do not hold; expected layers, pooling without padding,"
        " Flatten and Unflatten"
    )


def _of_layer(layer: Layer, features: Shape) -> LayerSpec:
    neuron, connection = layer.neuron, _of_connection(layer.connection)
    if not isinstance(neuron, NeuronLayer):
        raise SettingError(f"the network has {type(neuron).__name__} neurons, expected float ones")
    delay, norm = layer.delay, layer.norm
    kind: Literal["axonal", "synaptic"] = "synaptic" if isinstance(delay, SynapticDelay) else "axonal"
    return LayerSpec(
        connection, neuron.spec, connection.shape(features),
        None if delay is None else DelaySpec(kind, delay.largest, delay.steps.requires_grad),
        None if norm is None else NormSpec(norm.momentum, norm.eps),
    )  # fmt: skip


def _of_connection(connection: Connection) -> ConnectionSpec:
    own, name = connection.input, type(connection).__name__
    if not isinstance(connection, (Linear, Conv1d, Conv2d)):
        raise SettingError(f"the network has a connection {name}, expected one of: Linear, Conv1d, Conv2d")
    common: dict[str, Any] = {
        "inputs": connection.inputs, "outputs": connection.outputs, "bias": own.bias is not None,
        "recurrent": connection.feedback is not None,
        "synapse": None if connection.synapse is None else connection.synapse.spec,
    }  # fmt: skip
    if isinstance(connection, Linear):
        return LinearSpec(**common)
    padding = own.padding
    if isinstance(padding, str):
        reach = [d * (k - 1) for d, k in zip(own.dilation, own.kernel_size, strict=True)]
        if padding == "same" and any(x % 2 for x in reach):
            raise ShapeError(f"padding is 'same' of a kernel {own.kernel_size}, expected odd sizes, or numbers")
        padding = tuple(x // 2 if padding == "same" else 0 for x in reach)
    return ConvolutionSpec(
        **common, kernel=own.kernel_size, stride=own.stride, padding=padding, dilation=own.dilation, groups=own.groups
    )
