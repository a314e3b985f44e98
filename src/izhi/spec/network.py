"""Networks as plain values: layers, pools and residual blocks in order, then a readout; shapes, counts and memory."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from izhi.errors import IzhiError, SettingError, ShapeError, shown, unknown
from izhi.spec.connection import (
    ConductanceSpec,
    ConnectionSpec,
    ConvolutionSpec,
    DelaySpec,
    NormSpec,
    along,
    connection_of_table,
    delay_of_table,
)
from izhi.spec.encoder import EncoderSpec
from izhi.spec.neuron import NeuronSpec, entry_of, neuron_of_table
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
        return len(entry_of(self.neuron.kind).states)

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


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that can be said of a network without its weights.

    Raises:
        ShapeError: for a network without layers and readout.
        SettingError: for a share or number of steps out of range, normalisation beside ``keep_every``, or an encoder
            of another width.
    """

    modules: tuple[ModuleSpec, ...]  #: in order
    #: a connection without neurons whose currents are the output, or None to read the last layer's spikes
    readout: ConnectionSpec | None = None
    #: share of hidden neurons silenced for a whole sample while training
    dropout: float = field(default=0.0, kw_only=True)
    #: the backward pass keeps every k-th state; None for all
    keep_every: int | None = field(default=None, kw_only=True)
    #: of its samples; None where the network runs on spikes
    encoder: EncoderSpec | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_options(self.dropout, self.keep_every)
        if not self.layers and self.readout is None:
            raise ShapeError("a network of no layers, expected at least one layer or a readout")
        if self.keep_every is not None and any(x.norm is not None for x in self.layers):
            raise SettingError("keep_every is set, but normalisation needs all steps at once; leave one of them out")
        if self.encoder is not None and self.inputs not in (None, self.encoder.features):
            raise SettingError(
                f"the network takes {self.inputs} features, but encoded samples have {self.encoder.features};"
                " choose other data"
            )

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers of neurons in order, with those of residual blocks."""
        return tuple(x for x in flattened(self.modules) if isinstance(x, LayerSpec))

    @property
    def parts(self) -> tuple[ModuleSpec | ConnectionSpec, ...]:
        """The modules, and the readout if there is one."""
        return self.modules if self.readout is None else (*self.modules, self.readout)

    @property
    def inputs(self) -> int | None:
        """How many features the network takes; None if its first module does not say."""
        features = self.parts[0].features_of_inputs
        return None if features is None else math.prod(features)

    @property
    def outputs(self) -> int | None:
        """How many outputs it has, such as classes; None if the shape of what comes in decides it."""
        if self.readout is None and not isinstance(self.modules[-1], LayerSpec):
            return None
        last = self.layers[-1].connection if self.readout is None else self.readout
        return last.outputs if isinstance(last.features_of_inputs, tuple) else None

    @property
    def neurons(self) -> tuple[int, ...]:
        """How many neurons each layer has."""
        return tuple(layer.neurons for layer in self.layers)

    @property
    def connections(self) -> tuple[ConnectionSpec, ...]:
        """Those of layers, shortcuts and readout."""
        shortcuts = [x.shortcut for x in flattened(self.modules) if isinstance(x, ResidualSpec)]
        own = [*(layer.connection for layer in self.layers), *shortcuts, self.readout]
        return tuple(x for x in own if isinstance(x, ConnectionSpec))

    @property
    def weights(self) -> int:
        """How many weights there are, with those of feedback, shortcuts and readout."""
        return sum(x.weights for x in self.connections)

    @property
    def numbers(self) -> int:
        """Weights, biases, scales and delays."""
        return sum(x.numbers for x in self.layers) + sum(x.numbers for x in self._bare)

    @property
    def parameters(self) -> int:
        """Parameters of the torch module: ``numbers``, learned coefficients, and the decays of synapses."""
        bare = sum(x.numbers + (x.synapse is not None) for x in self._bare)
        return sum(x.parameters for x in self.layers) + bare

    @property
    def _bare(self) -> tuple[ConnectionSpec, ...]:
        """Connections without neurons: shortcuts and readout."""
        return self.connections[len(self.layers) :]

    def memory(self, weight_bits: int, state_bits: int) -> int:
        """Bits of the weights, and of the states of all neurons."""
        states = sum(x.neurons * x.states * state_bits for x in self.layers)
        own = sum(x.connection.weights * (x.weight_bits or weight_bits) for x in self.layers)
        return states + own + sum(x.weights * weight_bits for x in self._bare)

    def walk(self, features: Shape) -> Iterator[tuple[ModuleSpec, Shape, Shape]]:
        """Each module with the features that come in and go out; ShapeError for one that does not take them."""
        return walk(self.modules, features)

    def tables(self) -> list[Table]:
        """Plain values for JSON and TOML, a table for each module, the readout last; ``of_tables`` reads them."""
        own = [module.table() for module in self.modules]
        return own if self.readout is None else [*own, {"kind": "Readout", **self.readout.table()}]

    @classmethod
    def of_tables(
        cls, tables: Sequence[Mapping[str, object]], *, dropout: float = 0.0, keep_every: int | None = None
    ) -> NetworkSpec:
        """The network that ``tables`` wrote; SettingError, naming the table that is none."""
        modules: list[ModuleSpec] = []
        readout = None
        for number, table in enumerate(tables, start=1):
            try:
                module = module_of_table(table)
            except IzhiError as error:
                raise SettingError(f"modules, number {number}: {error}") from None
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
                reason = f"{type(error).__name__}: {error}"
                raise SettingError(f"modules, number {number}, is {shown(dict(table))} ({shown(reason)})") from None
            if isinstance(module, ConnectionSpec):
                readout = module
                if number < len(tables):
                    raise SettingError(f"modules, number {number}, is a readout, expected it last")
            else:
                modules.append(module)
        return cls(tuple(modules), readout, dropout=dropout, keep_every=keep_every)


def check_options(dropout: float, keep_every: int | None) -> None:
    """Raise SettingError for a share of dropout, or a number of steps between kept states, out of range."""
    if keep_every is not None and keep_every < 1:
        raise SettingError(f"keep_every is {keep_every!r}, expected at least 1 step, or None")
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout is {dropout!r}, expected a share from 0 to below 1")


def check_addition(add: str, *, ends_in_layer: bool) -> None:
    """Raise SettingError for another kind of addition in a residual block, or currents without a layer at its end."""
    if add not in ("spikes", "currents"):
        raise unknown("add", add, ("spikes", "currents"))
    if add == "currents" and not ends_in_layer:
        raise SettingError("currents are added, but the row ends in no layer of neurons; end it in one")


def covers(size: Sequence[int], features: Sequence[int]) -> bool:
    """Whether coefficients of that shape are those of such neurons: as many, or 1 where neurons share them."""
    return len(size) == len(features) and all(own in (1, n) for own, n in zip(size, features, strict=True))


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


__all__ = [
    "FlattenSpec", "IdentitySpec", "LayerSpec", "ModuleSpec", "NetworkSpec", "PoolSpec", "ResidualSpec",
    "UnflattenSpec",
]  # fmt: skip
