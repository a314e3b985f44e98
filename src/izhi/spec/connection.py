"""Connections, synapses, delays and normalisation as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, Literal

from izhi.errors import SettingError, ShapeError, unknown
from izhi.spec.distribution import Spread
from izhi.spec.tables import Shape, Table, read, sizes_of, write

ConnectionName = Literal[
    "linear", "exponential", "conductance", "recurrent", "recurrent-exponential", "recurrent-conductance"
]
#: Connections that settings can name: their synapse, and whether they are recurrent.
CONNECTIONS: Mapping[ConnectionName, tuple[Literal["exponential", "conductance"] | None, bool]] = {
    "linear": (None, False),
    "exponential": ("exponential", False),
    "conductance": ("conductance", False),
    "recurrent": (None, True),
    "recurrent-exponential": ("exponential", True),
    "recurrent-conductance": ("conductance", True),
}


def at_least_one(**sizes: object) -> None:
    """Raise SettingError for the first size that is no whole number from 1."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise SettingError(f"{name} is {value!r}, expected at least 1")


@dataclass(frozen=True)
class SynapseSpec:
    """A current that decays after each spike; see ``izhi.connections.ExponentialSynapse``."""

    tau: float = 10.0  #: decay time in steps, above 1
    learn: bool = False  #: whether τ is learned
    filters_bias: bool = False  #: whether the connection's bias passes through the synapse
    outputs: int | None = None  #: number of time constants, one of each output of a readout; None for one of all
    spread: Spread | None = None  #: distribution of the first τ over the outputs, in place of ``tau``

    #: Numbers that a neuron keeps for its synapse, and the name of torch's module, for messages.
    traces: ClassVar[int] = 1
    name: ClassVar[str] = "ExponentialSynapse"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tau) and self.tau > 1):
            raise SettingError(f"tau is {self.tau!r}, expected a finite number of steps above 1")
        if self.outputs is not None:
            at_least_one(per_output=self.outputs)
        if self.spread is not None and (self.spread.name != "tau" or self.spread.low <= 1 or self.outputs is None):
            raise SettingError(
                f"spread is of {self.spread.name} from {self.spread.low:g}, expected tau above 1 step, and per_output"
            )

    @property
    def numbers(self) -> int:
        """How many time constants there are."""
        return self.outputs or 1

    def check(self, outputs: int, *, is_linear: bool) -> None:
        """Raise SettingError unless a connection of so many outputs can have this synapse."""
        if self.outputs is not None and (not is_linear or self.outputs != outputs):
            raise SettingError(
                f"per_output is {self.outputs}, expected {outputs}, the outputs of a linear readout"
                if is_linear
                else f"per_output is {self.outputs}, but a convolution has one time constant; leave it out"
            )

    def table(self) -> Table:
        """Plain values, which ``synapse_of_table`` reads."""
        return write(self)


@dataclass(frozen=True)
class ConductanceSpec(SynapseSpec):
    """A conductance that decays after each spike; see ``izhi.connections.ConductanceSynapse``."""

    reversal: tuple[float, float, float] = (-85.0, -65.0, 0.0)  #: (E_inh, v_rest, E_exc) of the neuron
    implicit: float = 1.0  #: κ, dt·gain of the neuron; 0 for explicit Euler
    #: share of presynaptic neurons whose weights are all inhibitory; None for free signs
    inhibitory: float | None = None

    traces: ClassVar[int] = 2
    name: ClassVar[str] = "ConductanceSynapse"

    def __post_init__(self) -> None:
        super().__post_init__()
        low, rest, high = self.reversal
        if not low < rest < high:
            raise SettingError(f"reversal is {self.reversal!r}, expected E_inh < v_rest < E_exc")
        if self.inhibitory is not None and not 0 <= self.inhibitory <= 1:
            raise SettingError(f"inhibitory is {self.inhibitory!r}, expected a share from 0 to 1")
        if not (math.isfinite(self.implicit) and self.implicit >= 0):
            raise SettingError(f"implicit is {self.implicit!r}, expected a finite number, 0 or more")


def require_one_tau(synapse: SynapseSpec | None) -> None:
    """Raise SettingError for a synapse of a layer of neurons with a time constant of each output."""
    if synapse is not None and synapse.outputs is not None:
        raise SettingError(
            f"per_output is {synapse.outputs} for a layer of neurons, expected a readout without neurons; leave it out"
        )


def synapse_of_table(table: object) -> SynapseSpec | None:
    """The synapse that ``SynapseSpec.table`` wrote; None for None."""
    if table is None:
        return None
    return read(ConductanceSpec if isinstance(table, Mapping) and "reversal" in table else SynapseSpec, table)


@dataclass(frozen=True, kw_only=True)
class ConnectionSpec:
    """Weights, and what lies between them and the neurons."""

    inputs: int  #: presynaptic neurons, or channels
    outputs: int  #: postsynaptic neurons, or channels
    bias: bool = True  #: whether a constant current is added
    recurrent: bool = False  #: whether the layer's own spikes come back a step later
    synapse: SynapseSpec | None = None  #: or None

    def __post_init__(self) -> None:
        if self.synapse is not None:
            self.synapse.check(self.outputs, is_linear=self.kind == "Linear")

    @property
    def kind(self) -> str:
        """``"Linear"``, ``"Conv1d"`` or ``"Conv2d"``."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """What it is, for messages."""
        behind = "" if self.synapse is None else f" with {self.synapse.name}"
        return ("recurrent " if self.recurrent else "") + self.kind + behind

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing behind the weights."""
        return self.synapse is None and not self.recurrent

    @property
    def weight_shape(self) -> Shape:
        """(outputs, inputs), with the size of the kernel behind that of a convolution."""
        raise NotImplementedError

    @property
    def feedback_shape(self) -> Shape:
        """Of the recurrent weights; () without them."""
        return (self.outputs, self.outputs, *self.weight_shape[2:]) if self.recurrent else ()

    @property
    def weights(self) -> int:
        """How many there are, with those of feedback."""
        return math.prod(self.weight_shape) + (math.prod(self.feedback_shape) if self.recurrent else 0)

    @property
    def numbers(self) -> int:
        """Weights and biases."""
        return self.weights + self.outputs * self.bias

    @property
    def features_of_inputs(self) -> Shape | None:
        """Features that come in; None if the connection takes several."""
        return None

    def shape(self, features: Shape) -> Shape:
        """Features of the neurons behind, for features that come in.

        Raises:
            ShapeError: if the connection does not take them.
        """
        raise NotImplementedError

    def table(self) -> Table:
        """Plain values, which ``connection_of_table`` reads."""
        return {"connection": self.kind, **write(self)}


@dataclass(frozen=True, kw_only=True)
class LinearSpec(ConnectionSpec):
    """I[t] = W·s[t] + bias."""

    def __post_init__(self) -> None:
        at_least_one(in_features=self.inputs, out_features=self.outputs)
        super().__post_init__()

    @property
    def kind(self) -> str:
        return "Linear"

    @property
    def weight_shape(self) -> Shape:
        return self.outputs, self.inputs

    @property
    def features_of_inputs(self) -> Shape | None:
        return (self.inputs,)

    def shape(self, features: Shape) -> Shape:
        if len(features) != 1:
            raise ShapeError(f"features are {features}, expected ({self.inputs},) (in_features); flatten them before")
        if features[0] != self.inputs:
            raise ShapeError(f"spikes are {features[0]} wide, expected {self.inputs} (in_features)")
        return (self.outputs,)


@dataclass(frozen=True, kw_only=True)
class ConvolutionSpec(ConnectionSpec):
    """I[t] = W * s[t] + bias over (channels, length) or (channels, height, width)."""

    kernel: Shape  #: size along each dimension
    #: along each dimension
    stride: Shape = ()
    padding: Shape = ()
    dilation: Shape = ()
    groups: int = 1  #: of channels that see one another alone

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
            if not getattr(self, name):
                object.__setattr__(self, name, (usual,) * len(self.kernel))
            check_rank(name, getattr(self, name), self.kernel)
        at_least_one(in_channels=self.inputs, out_channels=self.outputs, groups=self.groups)
        if self.inputs % self.groups or self.outputs % self.groups:
            raise SettingError(
                f"groups is {self.groups}, expected a divisor of in_channels, {self.inputs}, and of out_channels,"
                f" {self.outputs}"
            )
        at_least_one(kernel_size=min(self.kernel), stride=min(self.stride), dilation=min(self.dilation))
        if min(self.padding) < 0:
            raise SettingError(f"padding is {self.padding}, expected 0 or more")
        if self.recurrent and any(size % 2 == 0 for size in self.kernel):
            raise SettingError(f"kernel_size is {self.kernel}, expected odd numbers for a recurrent convolution")

    @property
    def kind(self) -> str:
        return f"Conv{len(self.kernel)}d"

    @property
    def weight_shape(self) -> Shape:
        return self.outputs, self.inputs // self.groups, *self.kernel

    def shape(self, features: Shape) -> Shape:
        names = ("length",) if len(self.kernel) == 1 else ("height", "width")
        if len(features) != 1 + len(self.kernel):
            raise ShapeError(
                f"features are {features}, expected (in_channels, {', '.join(names)}); unflatten them before"
            )
        if features[0] != self.inputs:
            raise ShapeError(f"spikes are {features[0]} wide, expected {self.inputs} (in_channels)")
        check_window(names, features[1:], self.kernel, self.padding, self.dilation)
        sizes = zip(features[1:], self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return (self.outputs, *((n + 2 * pad - step * (k - 1) - 1) // stride + 1 for n, k, stride, pad, step in sizes))


def check_rank(name: str, sizes: Shape, kernel: Shape) -> None:
    """Raise SettingError unless there is a size for each dimension of a kernel."""
    if len(sizes) != len(kernel):
        raise SettingError(f"{name} is {sizes}, expected {len(kernel)} numbers")


def check_window(names: Shape | tuple[str, ...], sizes: Shape, kernel: Shape, padding: Shape, dilation: Shape) -> None:
    """Raise ShapeError for features that are smaller than a convolution's window, along dimensions of those names."""
    for name, size, own, zeros, step in zip(names, sizes, kernel, padding, dilation, strict=True):
        least = step * (own - 1) + 1 - 2 * zeros
        if size < least:
            raise ShapeError(
                f"spikes have {name} {size}, expected at least {least} for a kernel of {own};"
                " use a smaller one, or pool less before it"
            )


_RANKS = {"Linear": 0, "Conv1d": 1, "Conv2d": 2}


def connection_of_table(table: Mapping[str, object]) -> ConnectionSpec:
    """The connection that ``ConnectionSpec.table`` wrote."""
    kind = table["connection"]
    if kind not in _RANKS:
        raise unknown("connection", kind, _RANKS)
    synapse = synapse_of_table(table.get("synapse"))
    if kind == "Linear":
        return read(LinearSpec, table, synapse=synapse)
    names = ("kernel", *(name for name in ("stride", "padding", "dilation") if name in table))
    sizes = {name: along(table[name], _RANKS[str(kind)]) for name in names}
    return read(ConvolutionSpec, table, synapse=synapse, **sizes)


def along(value: object, rank: int) -> Shape:
    """A size along each of so many dimensions, of one number or a list."""
    sizes = sizes_of(value)
    sizes = sizes * rank if len(sizes) == 1 else sizes
    check_rank("a size", sizes, (0,) * rank)
    return sizes


_DELAYS: Mapping[object, Literal["axonal", "synaptic"]] = {"AxonalDelay": "axonal", "SynapticDelay": "synaptic"}


@dataclass(frozen=True)
class DelaySpec:
    """Spikes arrive some steps later, 0 to ``largest``; see ``izhi.network.delays``."""

    #: ``"axonal"``, one delay for each presynaptic neuron or channel, or ``"synaptic"``, one for each weight
    kind: Literal["axonal", "synaptic"]
    largest: int  #: in steps, at least 1
    learn: bool = True  #: whether delays are learned

    def __post_init__(self) -> None:
        at_least_one(largest=self.largest)

    def shape(self, connection: ConnectionSpec) -> Shape:
        """Of the delays before a connection."""
        return connection.weight_shape if self.kind == "synaptic" else (connection.inputs,)

    def table(self) -> Table:
        """Plain values, which ``delay_of_table`` reads."""
        return {**write(self), "kind": f"{self.kind.capitalize()}Delay"}


def delay_of_table(table: object) -> DelaySpec | None:
    """The delay that ``DelaySpec.table`` wrote; None for None."""
    if not isinstance(table, Mapping):
        return None
    if table["kind"] not in _DELAYS:
        raise unknown("delay", table["kind"], map(str, _DELAYS))
    return read(DelaySpec, table, kind=_DELAYS[table["kind"]])


@dataclass(frozen=True)
class NormSpec:
    """Normalisation of currents over time and batch; see ``izhi.network.BatchNorm``."""

    momentum: float = 0.1  #: of the running means
    eps: float = 1e-5  #: ε

    def __post_init__(self) -> None:
        for name in ("momentum", "eps"):
            value = getattr(self, name)
            if not value > 0:
                raise SettingError(f"{name} is {value!r}, expected a number above 0")


__all__ = [
    "CONNECTIONS", "ConductanceSpec", "ConnectionName", "ConnectionSpec", "ConvolutionSpec", "DelaySpec", "LinearSpec",
    "NormSpec", "SynapseSpec",
]  # fmt: skip
