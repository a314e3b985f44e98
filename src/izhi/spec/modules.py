"""Modules of networks as plain values: layers, pools, shapes and residual blocks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from izhi.errors import SettingError, ShapeError, shown, unknown
from izhi.spec.connection import (
    ConductanceSpec,
    ConnectionSpec,
    ConvolutionSpec,
    DelaySpec,
    NormSpec,
    along,
    connection_of_table,
    delay_of_table,
    require_one_tau,
)
from izhi.spec.neuron import NeuronSpec, neuron_of_table
from izhi.spec.tables import Shape, Table, read, sizes_of, write


class ModuleSpec(ABC):
    """A module of a network: a layer, a residual block, or a module without state."""

    @property
    def features_of_inputs(self) -> Shape | None:
        """Features that come in; None if the module takes several."""
        return None

    @abstractmethod
    def shape(self, features: Shape) -> Shape:
        """Features that go out, for features that come in; ShapeError if the module does not take them."""

    @abstractmethod
    def table(self) -> Table:
        """Plain values, which ``module_of_table`` reads."""


@dataclass(frozen=True)
class LayerSpec(ModuleSpec):
    """A connection and the neurons that it drives; with delays before and normalisation behind it.

    Raises:
        SettingError: for normalised conductances, synaptic delays of a convolution in groups, or features of no size.
    """

    connection: ConnectionSpec  #: into the neurons
    neuron: NeuronSpec  #: of the layer
    features: Shape  #: shape of the layer's neurons, channels first
    delay: DelaySpec | None = None  #: of the spikes that come in, or None
    norm: NormSpec | None = None  #: of the weighted spikes, or None
    #: of this layer's weights where the network's are quantised, or None for those of the network
    weight_bits: int | None = None

    def __post_init__(self) -> None:
        check_features(self.features)
        size = self.neuron.size
        if size is not None and not covers(size, self.features):
            raise SettingError(f"neurons have coefficients of shape {size}, expected {self.features}, or 1 for all")
        if self.norm is not None and isinstance(self.connection.synapse, ConductanceSpec):
            raise SettingError("norm is set, but conductances are not normalised; use a current")
        require_one_tau(self.connection.synapse)
        groups = self.connection.groups if isinstance(self.connection, ConvolutionSpec) else 1
        if self.delay is not None and self.delay.kind == "synaptic" and groups > 1:
            raise SettingError("delays of each synapse are set, which a convolution in groups has not; use AxonalDelay")

    @property
    def neurons(self) -> int:
        """How many there are."""
        return math.prod(self.features)

    @property
    def states(self) -> int:
        """Numbers that a neuron keeps from step to step, without those of its synapse."""
        return len(self.neuron.states)

    @property
    def numbers(self) -> int:
        """Weights, biases, scales and delays."""
        delays = 0 if self.delay is None else math.prod(self.delay.shape(self.connection))
        return self.connection.numbers + self.connection.outputs * (self.norm is not None) + delays

    @property
    def parameters(self) -> int:
        """Parameters of the torch module: ``numbers``, learned coefficients, and the decay of a synapse."""
        return self.numbers + self.neuron.learned_numbers + (self.connection.synapse is not None)

    @property
    def features_of_inputs(self) -> Shape | None:
        return self.connection.features_of_inputs

    def shape(self, features: Shape) -> Shape:
        return self.connection.shape(features)

    def table(self) -> Table:
        own = {
            "delay": None if self.delay is None else self.delay.table(),
            "norm": None if self.norm is None else write(self.norm),
            "weight_bits": self.weight_bits,
        }
        whole: Table = {"kind": "Layer", "features": list(self.features), **self.connection.table()}
        return {**whole, "neuron": self.neuron.table(), **{name: x for name, x in own.items() if x is not None}}

    @staticmethod
    def of_table(table: Mapping[str, object]) -> LayerSpec:
        """The layer that ``table`` wrote."""
        features = check_features(table["features"])
        connection, neuron = connection_of_table(table), neuron_of_table(cast("Table", table["neuron"]))
        delay = delay_of_table(table.get("delay"))
        return read(LayerSpec, table, connection=connection, neuron=neuron, features=features, delay=delay)


@dataclass(frozen=True)
class PoolSpec(ModuleSpec):
    """The largest or the mean of each window of every channel."""

    kind: Literal["max", "average"]  #: ``"max"`` or ``"average"``
    #: along each dimension
    kernel: Shape
    stride: Shape

    @property
    def name(self) -> str:
        """Of torch's module."""
        return f"{'Max' if self.kind == 'max' else 'Avg'}Pool{len(self.kernel)}d"

    def shape(self, features: Shape) -> Shape:
        if len(features) != 1 + len(self.kernel):
            raise ShapeError(f"{self.name} does not take spikes of features {features}")
        sizes = zip(features[1:], self.kernel, self.stride, strict=True)
        out = tuple((size - kernel) // stride + 1 for size, kernel, stride in sizes)
        if min(out) < 1:
            raise ShapeError(f"{self.name} does not take spikes of features {features}; choose a smaller kernel")
        return (features[0], *out)

    def table(self) -> Table:
        return {**write(self), "kind": self.name}

    @staticmethod
    def of_table(table: Mapping[str, object]) -> PoolSpec:
        """The pool that ``table`` wrote."""
        kind, rank = _POOLS[str(table["kind"])]
        kernel = along(table["kernel"], rank)
        return PoolSpec(kind, kernel, kernel if table["stride"] is None else along(table["stride"], rank))


@dataclass(frozen=True)
class FlattenSpec(ModuleSpec):
    """All features in one dimension."""

    def shape(self, features: Shape) -> Shape:
        return (math.prod(features),)

    def table(self) -> Table:
        return {"kind": "Flatten"}


@dataclass(frozen=True)
class IdentitySpec(ModuleSpec):
    """Spikes as they are."""

    def shape(self, features: Shape) -> Shape:
        return features

    def table(self) -> Table:
        return {"kind": "Identity"}


@dataclass(frozen=True)
class UnflattenSpec(ModuleSpec):
    """Flat features as ``features``, channels first."""

    features: Shape

    @property
    def features_of_inputs(self) -> Shape | None:
        return (math.prod(self.features),)

    def shape(self, features: Shape) -> Shape:
        if features != self.features_of_inputs:
            raise ShapeError(f"features are {features}, expected {math.prod(self.features)}, which become"
                             f" {self.features}")  # fmt: skip
        return self.features

    def table(self) -> Table:
        return {"kind": "Unflatten", "shape": list(self.features)}


@dataclass(frozen=True)
class ResidualSpec(ModuleSpec):
    """Modules in order, to whose spikes or last currents the shortcut of what comes in is added."""

    modules: tuple[ModuleSpec, ...]  #: of the block
    #: of spikes a module without state, of currents a connection; None to add what comes in as it is
    shortcut: ModuleSpec | ConnectionSpec | None = None
    add: Literal["spikes", "currents"] = "spikes"  #: ``"spikes"`` or ``"currents"``

    def __post_init__(self) -> None:
        check_addition(self.add, ends_in_layer=bool(self.modules) and isinstance(self.modules[-1], LayerSpec))

    def shape(self, features: Shape) -> Shape:
        *_, out = (features, *(out for _, _, out in walk(self.modules, features)))
        beside = features if self.shortcut is None else self.shortcut.shape(features)
        if out != beside:
            raise ShapeError(f"a row gives features {out}, and its shortcut {beside}, expected the same")
        return out

    def table(self) -> Table:
        whole: Table = {"kind": "Residual", "add": self.add, "modules": [x.table() for x in self.modules]}
        if self.shortcut is None:
            return whole
        is_connection = isinstance(self.shortcut, ConnectionSpec)
        return {**whole, "shortcut": {**({"kind": "Connection"} if is_connection else {}), **self.shortcut.table()}}

    @staticmethod
    def of_table(table: Mapping[str, object]) -> ResidualSpec:
        """The block that ``table`` wrote."""
        modules = [module_of_table(x) for x in cast("Sequence[Table]", table["modules"])]
        if any(isinstance(x, ConnectionSpec) for x in modules):
            raise SettingError("a residual block holds a readout, expected layers and modules without state")
        own = table.get("shortcut")
        shortcut = None if own is None else module_of_table(cast("Table", own))
        return read(ResidualSpec, table, modules=tuple(modules), shortcut=shortcut)


def walk(modules: Sequence[ModuleSpec], features: Shape) -> Iterator[tuple[ModuleSpec, Shape, Shape]]:
    """Each module with the features that come in and go out, those of residual blocks as one.

    Raises:
        ShapeError: for a module that does not take what comes in, naming its number.
    """
    for number, module in enumerate(modules, start=1):
        try:
            out = module.shape(features)
        except ShapeError as error:
            raise ShapeError(f"module {number}: {error}") from None
        yield module, features, out
        features = out


def flattened(modules: Sequence[ModuleSpec]) -> Iterator[ModuleSpec]:
    """The modules in order, each residual block before its own."""
    for module in modules:
        yield module
        if isinstance(module, ResidualSpec):
            yield from flattened(module.modules)


def check_addition(add: str, *, ends_in_layer: bool) -> None:
    """Raise SettingError for another kind of addition in a residual block, or currents without a layer at its end."""
    if add not in ("spikes", "currents"):
        raise unknown("add", add, ("spikes", "currents"))
    if add == "currents" and not ends_in_layer:
        raise SettingError("currents are added, but the row ends in no layer of neurons; end it in one")


def covers(size: Sequence[int], features: Sequence[int]) -> bool:
    """Whether coefficients of that shape are those of such neurons: as many, or 1 where neurons share them."""
    # Not own in (1, n), which torch.compile denies of an n that it does not know.
    return len(size) == len(features) and all(own == 1 or own == n for own, n in zip(size, features, strict=True))


def check_features(features: object) -> Shape:
    """Features, as a tuple; SettingError if they are no numbers of neurons."""
    if not isinstance(features, (list, tuple)) or not all(type(n) is int and n > 0 for n in features):
        own = list(features) if isinstance(features, tuple) else features
        raise SettingError(f"features are {shown(own)}, expected numbers of neurons")
    return tuple(features)


_POOLS: Mapping[str, tuple[Literal["max", "average"], int]] = {
    "MaxPool1d": ("max", 1), "MaxPool2d": ("max", 2), "AvgPool1d": ("average", 1), "AvgPool2d": ("average", 2),
}  # fmt: skip
_READERS: Mapping[str, Callable[[Mapping[str, object]], ModuleSpec | ConnectionSpec]] = {
    "Layer": LayerSpec.of_table,
    "Readout": connection_of_table,
    "Connection": connection_of_table,
    "Residual": ResidualSpec.of_table,
    "Flatten": lambda table: FlattenSpec(),
    "Unflatten": lambda table: UnflattenSpec(sizes_of(table["shape"])),
    "Identity": lambda table: IdentitySpec(),
    **dict.fromkeys(_POOLS, PoolSpec.of_table),
}


def module_of_table(table: Mapping[str, object]) -> ModuleSpec | ConnectionSpec:
    """The module, or for a readout the connection, that ``table`` wrote."""
    kind = table["kind"]
    if kind not in _READERS:
        raise unknown("module", kind, _READERS)
    return _READERS[str(kind)](table)


__all__ = ["FlattenSpec", "IdentitySpec", "LayerSpec", "ModuleSpec", "PoolSpec", "ResidualSpec", "UnflattenSpec"]
