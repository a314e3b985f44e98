"""Networks as plain values: modules in order, then a readout; shapes, counts and memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from izhi.errors import IzhiError, SettingError, ShapeError, shown
from izhi.spec.connection import ConnectionSpec
from izhi.spec.encoder import EncoderSpec
from izhi.spec.modules import LayerSpec, ModuleSpec, ResidualSpec, flattened, module_of_table, walk
from izhi.spec.tables import Shape, Table


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
        check_network(
            self.dropout, self.keep_every, is_empty=not self.layers and self.readout is None,
            normalizes=any(x.norm is not None for x in self.layers),
        )  # fmt: skip
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
        bare = sum(x.numbers + (0 if x.synapse is None else x.synapse.numbers) for x in self._bare)
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


def check_network(dropout: float, keep_every: int | None, *, is_empty: bool, normalizes: bool) -> None:
    """Raise the errors of ``NetworkSpec`` about its layers and options."""
    if keep_every is not None and keep_every < 1:
        raise SettingError(f"keep_every is {keep_every!r}, expected at least 1 step, or None")
    if not 0 <= dropout < 1:
        raise SettingError(f"dropout is {dropout!r}, expected a share from 0 to below 1")
    if is_empty:
        raise ShapeError("a network of no layers, expected at least one layer or a readout")
    if keep_every is not None and normalizes:
        raise SettingError("keep_every is set, but normalisation needs all steps at once; leave one of them out")


__all__ = ["NetworkSpec"]
