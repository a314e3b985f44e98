"""Networks as plain values: layers, pools and residual blocks in order, then a readout; shapes, counts and memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

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
from izhi.spec.neuron import NeuronSpec, Shape, Table, entry_of, neuron_of_table, sizes_of


@dataclass(frozen=True)
class LayerSpec:
    """A connection and the neurons that it drives; with delays before and normalisation behind it.

    Attributes:
        connection: into the neurons.
        neuron: of the layer.
        features: shape of the layer's neurons, channels first.
        delay: of the spikes that come in, or None.
        norm: of the weighted spikes, or None.
        weight_bits: of this layer's weights where the network's are quantised, or None for those of the network.

    Raises:
        SettingError: for normalised conductances, synaptic delays of a convolution in groups, or features of no size.
    """

    connection: ConnectionSpec
    neuron: NeuronSpec
    features: Shape
    delay: DelaySpec | None = None
    norm: NormSpec | None = None
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
        """Features that come in; None if the layer takes several."""
        return self.connection.features_of_inputs

    def shape(self, features: Shape) -> Shape:
        """Features that go out, for features that come in; ShapeError if the layer does not take them."""
        return self.connection.shape(features)

    def table(self) -> Table:
        """Plain values, which ``module_of_table`` reads."""
        found: Table = {"kind": "Layer", "features": list(self.features), **self.connection.table()}
        found["neuron"] = self.neuron.table()
        if self.delay is not None:
            found["delay"] = self.delay.table()
        if self.norm is not None:
            found["norm"] = self.norm.table()
        return found if self.weight_bits is None else {**found, "weight_bits": self.weight_bits}


@dataclass(frozen=True)
class PoolSpec:
    """The largest or the mean of each window of every channel.

    Attributes:
        kind: ``"max"`` or ``"average"``.
        kernel, stride: along each dimension.
    """

    kind: Literal["max", "average"]
    kernel: Shape
    stride: Shape

    features_of_inputs: ClassVar[Shape | None] = None

    @property
    def name(self) -> str:
        """Of torch's module."""
        return f"{'Max' if self.kind == 'max' else 'Avg'}Pool{len(self.kernel)}d"

    def shape(self, features: Shape) -> Shape:
        """Features that go out, for features that come in; ShapeError if the pool does not take them."""
        if len(features) != 1 + len(self.kernel):
            raise ShapeError(f"{self.name} does not take spikes of features {features}")
        sizes = zip(features[1:], self.kernel, self.stride, strict=True)
        found = tuple((size - kernel) // stride + 1 for size, kernel, stride in sizes)
        if min(found) < 1:
            raise ShapeError(f"{self.name} does not take spikes of features {features}; choose a smaller kernel")
        return (features[0], *found)

    def table(self) -> Table:
        return {"kind": self.name, "kernel": list(self.kernel), "stride": list(self.stride)}


@dataclass(frozen=True)
class FlattenSpec:
    """All features in one dimension."""

    features_of_inputs: ClassVar[Shape | None] = None

    def shape(self, features: Shape) -> Shape:
        return (math.prod(features),)

    def table(self) -> Table:
        return {"kind": "Flatten"}


@dataclass(frozen=True)
class IdentitySpec:
    """Spikes as they are."""

    features_of_inputs: ClassVar[Shape | None] = None

    def shape(self, features: Shape) -> Shape:
        return features

    def table(self) -> Table:
        return {"kind": "Identity"}


@dataclass(frozen=True)
class UnflattenSpec:
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
class ResidualSpec:
    """Modules in order, to whose spikes or last currents the shortcut of what comes in is added.

    Attributes:
        modules: of the block.
        shortcut: of spikes a module without state, of currents a connection; None to add what comes in as it is.
        add: ``"spikes"`` or ``"currents"``.
    """

    modules: tuple[ModuleSpec, ...]
    shortcut: ModuleSpec | ConnectionSpec | None = None
    add: Literal["spikes", "currents"] = "spikes"

    features_of_inputs: ClassVar[Shape | None] = None

    def __post_init__(self) -> None:
        if self.add not in ("spikes", "currents"):
            raise unknown("add", self.add, ("spikes", "currents"))
        if self.add == "currents" and not (self.modules and isinstance(self.modules[-1], LayerSpec)):
            raise SettingError("currents are added, but the row ends in no layer of neurons; end it in one")

    def shape(self, features: Shape) -> Shape:
        """Features that go out, for features that come in; ShapeError if block and shortcut differ."""
        *_, found = (features, *(out for _, _, out in walk(self.modules, features)))
        beside = features if self.shortcut is None else self.shortcut.shape(features)
        if found != beside:
            raise ShapeError(f"a row gives features {found}, and its shortcut {beside}, expected the same")
        return found

    def table(self) -> Table:
        found: Table = {"kind": "Residual", "add": self.add, "modules": [x.table() for x in self.modules]}
        if self.shortcut is None:
            return found
        is_connection = isinstance(self.shortcut, ConnectionSpec)
        return {**found, "shortcut": {**({"kind": "Connection"} if is_connection else {}), **self.shortcut.table()}}


ModuleSpec: TypeAlias = LayerSpec | PoolSpec | FlattenSpec | IdentitySpec | UnflattenSpec | ResidualSpec


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


def layers_in(modules: Sequence[ModuleSpec]) -> Iterator[LayerSpec]:
    """The layers of neurons in order, with those of residual blocks."""
    for module in modules:
        if isinstance(module, LayerSpec):
            yield module
        elif isinstance(module, ResidualSpec):
            yield from layers_in(module.modules)


@dataclass(frozen=True)
class NetworkSpec:
    """Everything that can be said of a network without its weights.

    Attributes:
        modules: in order.
        readout: a connection without neurons whose currents are the output, or None to read the last layer's spikes.
        dropout: share of hidden neurons silenced for a whole sample while training.
        keep_every: the backward pass keeps every k-th state; None for all.

    Raises:
        ShapeError: for a network without layers and readout.
        SettingError: for a share or number of steps out of range, or normalisation beside ``keep_every``.
    """

    modules: tuple[ModuleSpec, ...]
    readout: ConnectionSpec | None = None
    dropout: float = field(default=0.0, kw_only=True)
    keep_every: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_options(self.dropout, self.keep_every)
        if not self.layers and self.readout is None:
            raise ShapeError("a network of no layers, expected at least one layer or a readout")
        if self.keep_every is not None and any(x.norm is not None for x in self.layers):
            raise SettingError("keep_every is set, but normalisation needs all steps at once; leave one of them out")

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers of neurons in order, with those of residual blocks."""
        return tuple(layers_in(self.modules))

    @property
    def parts(self) -> tuple[ModuleSpec | ConnectionSpec, ...]:
        """The modules, and the readout if there is one."""
        return self.modules if self.readout is None else (*self.modules, self.readout)

    @property
    def inputs(self) -> int | None:
        """How many features the network takes; None if its first module does not say."""
        found = self.parts[0].features_of_inputs
        return None if found is None else math.prod(found)

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
        found = [layer.connection for layer in self.layers]
        found += [x.shortcut for x in _residuals(self.modules) if isinstance(x.shortcut, ConnectionSpec)]
        return (*found, *(() if self.readout is None else (self.readout,)))

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
        found = [module.table() for module in self.modules]
        return found if self.readout is None else [*found, {"kind": "Readout", **self.readout.table()}]

    @classmethod
    def of_tables(
        cls, tables: Sequence[Mapping[str, Any]], *, dropout: float = 0.0, keep_every: int | None = None
    ) -> NetworkSpec:
        """The network that ``tables`` wrote.

        Raises:
            SettingError: naming the table that is none.
        """
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


def _residuals(modules: Sequence[ModuleSpec]) -> Iterator[ResidualSpec]:
    for module in modules:
        if isinstance(module, ResidualSpec):
            yield module
            yield from _residuals(module.modules)


def check_options(dropout: float, keep_every: int | None) -> None:
    """Raise SettingError for a share of dropout, or a number of steps between kept states, out of range."""
    if keep_every is not None and keep_every < 1:
        raise SettingError(f"keep_every is {keep_every!r}, expected at least 1 step, or None")
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout is {dropout!r}, expected a share from 0 to below 1")


def covers(size: Sequence[int], features: Sequence[int]) -> bool:
    """Whether coefficients of that shape are those of such neurons: as many, or 1 where neurons share them."""
    return len(size) == len(features) and all(own in (1, n) for own, n in zip(size, features, strict=True))


def check_features(features: Sequence[int]) -> None:
    """Raise SettingError for features that are no numbers of neurons."""
    if not all(type(n) is int and n > 0 for n in features):
        raise SettingError(f"features are {shown(list(features))}, expected numbers of neurons")


_POOLS: Mapping[str, tuple[Literal["max", "average"], int]] = {
    "MaxPool1d": ("max", 1), "MaxPool2d": ("max", 2), "AvgPool1d": ("average", 1), "AvgPool2d": ("average", 2),
}  # fmt: skip


def module_of_table(table: Mapping[str, Any]) -> ModuleSpec | ConnectionSpec:
    """The module, or for a readout the connection, that ``table`` wrote."""
    kind = table["kind"]
    if kind == "Unflatten":
        return UnflattenSpec(sizes_of(table["shape"]))
    if kind in ("Flatten", "Identity"):
        return FlattenSpec() if kind == "Flatten" else IdentitySpec()
    if kind in _POOLS:
        of, rank = _POOLS[kind]
        kernel = along(table["kernel"], rank)
        return PoolSpec(of, kernel, kernel if table["stride"] is None else along(table["stride"], rank))
    if kind in ("Readout", "Connection"):
        return connection_of_table(table)
    if kind == "Residual":
        return _residual_of_table(table)
    if kind != "Layer":
        raise unknown("module", kind, ["Layer", "Readout", "Flatten", "Unflatten", "Identity", *_POOLS])
    features = table["features"]
    check_features(features)
    connection, norm = connection_of_table(table), table.get("norm")
    return LayerSpec(
        connection, neuron_of_table(table["neuron"]), tuple(features), delay_of_table(table.get("delay")),
        None if norm is None else NormSpec(**norm), table.get("weight_bits"),
    )  # fmt: skip


def _residual_of_table(table: Mapping[str, Any]) -> ResidualSpec:
    modules = [module_of_table(x) for x in table["modules"]]
    if any(isinstance(x, ConnectionSpec) for x in modules):
        raise SettingError("a residual block holds a readout, expected layers and modules without state")
    shortcut = table.get("shortcut")
    inner: Any = tuple(modules)
    return ResidualSpec(inner, None if shortcut is None else module_of_table(shortcut), table["add"])


__all__ = [
    "FlattenSpec",
    "IdentitySpec",
    "LayerSpec",
    "ModuleSpec",
    "NetworkSpec",
    "PoolSpec",
    "ResidualSpec",
    "UnflattenSpec",
    "check_options",
    "layers_in",
    "module_of_table",
    "walk",
]
