"""The neurons in integers: what the hardware computes in each time step, operation by operation.

A kind of neuron is a step in integers, which is derived from the neuron's equation (``izhi.equation.integers``), and
what the hardware knows besides. Artifact, integer model, core and energy estimate are written from the step.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, cast

import numpy as np

from izhi.equation import Equation, izhikevich, lif
from izhi.equation.graph import Symbol, in_order, number_of
from izhi.equation.integers import FRACTION, INPUT, IntegerStep, bits_gained, integer_step
from izhi.errors import EquationError
from izhi.hardware.fixed.arithmetic import (
    Booleans,
    FixedPoint,
    Integers,
    aligned,
    chosen,
    clamped,
    rounded_shift,
    saturated,
)
from izhi.spec import ORDERS

#: Bits that every number of a step fits, and a magnitude beyond which it does not matter how large it is.
_MOST_BITS, _LARGE = 63, 1 << 200
#: Words of a step in numpy and in compiled code.
_WORDS: dict[str, Callable[..., Any]] = {
    "rounded_shift": rounded_shift, "aligned": aligned, "saturated": saturated, "chosen": chosen, "clamped": clamped,
}  # fmt: skip


class NeuronFormats(dict[str, FixedPoint]):
    """Formats of the states by name; names are attributes as well."""

    def __getattr__(self, name: str) -> FixedPoint:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no state {name}; there are {', '.join(self)}") from None


class IntegerNeuron:
    """Neurons of a layer, of one kind.

    Attributes:
        kind: its name.
        step: its time step; constants of the step are attributes, (N,) each.
        initial: the initial states among its constants, such as v0; other states begin at 0.
        natural: constants that must be 0 or more.
        format_version: the first version of artifacts that can hold it.
        update: the step as a function, see ``IntegerStep.function``.
        fraction: of the coefficients.
    """

    kind: ClassVar[str]
    operations: ClassVar[IntegerStep]
    initial: ClassVar[tuple[str, ...]]
    natural: ClassVar[tuple[str, ...]]
    format_version: ClassVar[int]
    update: ClassVar[Callable[..., Booleans]]
    fraction: int

    @classmethod
    def states(cls) -> tuple[str, ...]:
        """Names of the states, the membrane potential first."""
        return cls.operations.states

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all constants, in the order in which hardware stores them."""
        return (*(x.name for x in cls.operations.constants), *cls.initial)

    @classmethod
    def held(cls) -> dict[str, str]:
        """Constants that take the place of a state, whose format must hold them, and which state."""
        of_step = {x.name: x.of for x in cls.operations.constants if x.name in cls.operations.selected}
        return {**of_step, **{f"{name}0": name for name in cls.states() if f"{name}0" in cls.initial}}

    @classmethod
    def of(cls, formats: Mapping[str, FixedPoint], fraction: int, constants: Mapping[str, Integers]) -> IntegerNeuron:
        """Neurons of the formats of the states and of ``constants``, both by name."""
        return cls(**{f"{name}_format": formats[name] for name in cls.states()}, fraction=fraction, **constants)  # type: ignore[call-arg]

    def with_values(self, constants: Mapping[str, Integers]) -> IntegerNeuron:
        """Neurons of the same formats with all their ``constants``, by name."""
        return type(self).of(self.formats, self.fraction, constants)

    @property
    def formats(self) -> NeuronFormats:
        """Of the states, by name; the input has that of the first."""
        return NeuronFormats({name: getattr(self, f"{name}_format") for name in self.states()})

    @property
    def fractions(self) -> dict[str, int]:
        """Bits behind the point of the states, and of the coefficients by ``FRACTION``."""
        return {**{name: x.fraction for name, x in self.formats.items()}, FRACTION: self.fraction}

    @property
    def values(self) -> dict[str, Integers]:
        """The constants by name, (N,) each."""
        return {name: getattr(self, name) for name in self.names()}

    @property
    def arguments(self) -> tuple[tuple[FixedPoint, ...], int, tuple[Integers, ...]]:
        """Arguments of ``update`` behind states and current."""
        constants = tuple(getattr(self, x.name) for x in self.operations.constants)
        return tuple(self.formats.values()), self.fraction, constants

    def start(self, batch: int) -> Integers:
        """States before the first step, (states, batch, N)."""
        count = len(next(iter(self.values.values())))
        z = np.zeros((len(self.states()), batch, count), np.int64)
        for state, name in zip(z, self.states(), strict=True):
            if f"{name}0" in self.initial:
                state[:] = getattr(self, f"{name}0")
        return z

    def step(self, z: Integers, current: Integers) -> tuple[Integers, Integers]:
        """States (states, batch, N) and spikes (batch, N), 0 or 1, after a step of current (batch, N)."""
        after = z.copy()
        fired = type(self).update(after, current, *self.arguments)
        return after, fired.astype(np.int64)

    def sums(self, current: FixedPoint) -> dict[str, int]:
        """The greatest magnitude of each sum that a step rounds, and of what exceeds 63 bits, by its formula.

        Args:
            current: the format of the input.
        """
        columns = np.unique(np.stack(np.broadcast_arrays(*self.arguments[2])), axis=1)
        constants = dict(zip((x.name for x in self.operations.constants), columns.tolist(), strict=True))
        greatest, texts = _Greatest(self, current, constants), dict[Symbol, str]()
        rounded = [x.args[0] for x in self.operations.nodes if _is_bounded(x)]
        magnitudes = {x: max(greatest[x]) for x in self.operations.nodes if x.kind != "condition"}
        large = [x for x, most in magnitudes.items() if most.bit_length() > _MOST_BITS and x not in rounded]
        return {formula(x, texts): magnitudes[x] for x in (*rounded, *large)}

    def shifts(self) -> dict[str, int]:
        """By how many bits a step shifts numbers to the left, by what they are."""
        fractions, shifts = self.fractions, dict[str, int]()
        for x in self.operations.nodes:
            if x.op == "aligned":
                of, by = str(x.value).split()
                shifts[f"bits of {by} in {of}"] = bits_gained(x, fractions)
        return shifts


def _is_bounded(x: Symbol) -> bool:
    """Whether an operation rounds a sum that could leave 64 bits; products of two states cannot."""
    is_of_states = x.op == "shift" and x.value != FRACTION and all(y.op == "variable" for y in x.args[0].args)
    return x.op == "shift" and not is_of_states


class _Greatest:
    """The greatest magnitude of each operation of a step, for each neuron; integers of Python never overflow."""

    def __init__(self, neuron: IntegerNeuron, current: FixedPoint, constants: Mapping[str, list[int]]) -> None:
        self._formats, self._fractions = neuron.formats, neuron.fractions
        self._count = len(next(iter(constants.values())))
        self._known = {name: [abs(x) for x in values] for name, values in constants.items()}
        self._known |= {name: self._constant(-number.lowest) for name, number in neuron.formats.items()}
        self._known[INPUT] = self._constant(-current.lowest)
        self._of: dict[Symbol, list[int]] = {}
        for node in neuron.operations.nodes:
            if node.kind != "condition":
                magnitudes = self._magnitude(node, [self._of[x] for x in node.args if x in self._of])
                self._of[node] = [min(x, _LARGE) for x in magnitudes]

    def __getitem__(self, node: Symbol) -> list[int]:
        return self._of[node]

    def _constant(self, value: int) -> list[int]:
        return [value] * self._count

    def _magnitude(self, node: Symbol, args: list[list[int]]) -> list[int]:
        if node.op == "variable":
            return self._known[str(node.value)]
        if node.op == "constant":
            return self._constant(abs(int(number_of(node))))
        if node.op == "saturated":
            return self._constant(-self._formats[str(node.value)].lowest)
        if node.op in ("+", "-"):
            return [a + b for a, b in zip(*args, strict=True)]
        if node.op == "*":
            return [a * b for a, b in zip(*args, strict=True)]
        if node.op in ("shift", "aligned"):
            gained = bits_gained(node, self._fractions)
            if node.op == "aligned":
                return [x << max(0, gained) for x in args[0]]
            return [(x + ((1 << -gained) >> 1)) >> -gained for x in args[0]]
        return [max(values) for values in zip(*args, strict=True)]


_SIGNS = {"+": " + ", "-": " − ", "*": "·"}


def formula(node: Symbol, texts: dict[Symbol, str]) -> str:
    """A sum as text, shortened; q is a rounded product of states. ``texts`` has those that are known."""
    for x in in_order([node]):
        if x not in texts:
            args = [texts[y] for y in x.args]
            if x.op in ("+", "-", "*"):
                text = f"{args[0]}{_SIGNS[x.op]}{args[1]}"
            elif x.op == "shift":
                text = "q" if x.value != FRACTION else f"({args[0]})"
            else:
                text = f"−{args[0]}" if x.op == "negative" else str(x.value or (args or [x.op])[-1])
            texts[x] = text if len(text) < 100 else f"{text[:99]}…"
    return texts[node]


#: Names that layers have for other numbers in files and in cores; those that states and constants cannot have.
_OF_LAYERS = ("current", "decay", "delay", "feedback", "fired", "fraction", "multiplier", "sum", "trace", "weight")
_RESERVED = frozenset((*_OF_LAYERS, *dir(IntegerNeuron), *IntegerNeuron.__annotations__, *keyword.kwlist))


@cache
def neuron_kind(
    name: str, step: IntegerStep, initial: tuple[str, ...] = (), natural: tuple[str, ...] = (), version: int = 4
) -> type[IntegerNeuron]:
    """A kind of neuron, a frozen dataclass: formats of the states, fraction, constants, initial states.

    Args:
        name: of the kind.
        step: in integers.
        initial, natural, version: attributes of ``IntegerNeuron``.
    """
    names = [*step.states, *(x.name for x in step.constants)]
    own = [f"{x}_format" for x in step.states] + ["fraction", *names[len(step.states) :], *initial]
    clash = [x for x in names if x in _RESERVED] + [x for x in own if own.count(x) > 1]
    if clash:
        raise EquationError(f"the neuron {name} has a state or constant {clash[0]!r}, expected another name")
    fields: list[Any] = [(f"{state}_format", FixedPoint) for state in step.states]
    fields += [("fraction", int), *((x, Integers) for x in (*(c.name for c in step.constants), *initial))]
    namespace = {
        "__doc__": f"Neurons of the kind {name}.", "kind": name, "operations": step, "initial": initial,
        "natural": natural, "format_version": version, "update": staticmethod(step.function(_WORDS)),
    }  # fmt: skip
    made = make_dataclass("IntegerNeuronOfKind", fields, bases=(IntegerNeuron,), namespace=namespace, frozen=True)
    return cast(type[IntegerNeuron], made)


_FPGA_IP = izhikevich(ORDERS["fpga-ip"])
_SUBTRACT, _ZERO, _SOFT, _VALUE = (lif(reset, True) for reset in ("subtract", "zero", "soft", "value"))
#: Quadratic neurons in the event order of the FPGA IP, which fire in the step after the one that brought v to the
#: threshold: q = round(v·v / 2^Fv),
#:     fired = v ≥ threshold
#:     fired:      v ← c,   u ← sat(u + d)
#:     otherwise:  v ← sat(v + I + round((a1·q + a2·v + a3·u + a4) / 2^F))
#:                 u ← sat(u + round((b1·v + b2·u + b3) / 2^F))      with the new v
IzhikevichNeuron: Any = neuron_kind("izhikevich", integer_step(_FPGA_IP), ("v0", "u0"), (), 1)
#: Leaky integrate-and-fire neurons, whose reset follows in the step after the spike:
#:     v ← sat(I + round((beta·v + bias) / 2^F) − (threshold if v > threshold))
#: and the others, of the v at the beginning of the step: 0, v − threshold or reset if it is above the threshold.
LIFNeuron: Any = neuron_kind("lif", integer_step(_SUBTRACT), version=1)
ZeroingLIFNeuron: Any = neuron_kind("lif-zero", integer_step(_ZERO), version=3)
SoftLIFNeuron: Any = neuron_kind("lif-soft", integer_step(_SOFT), natural=("threshold",), version=3)
ValueLIFNeuron: Any = neuron_kind("lif-value", integer_step(_VALUE, (("v_reset", "reset"),)), version=3)

_KINDS: dict[Equation, type[IntegerNeuron]] = {
    _FPGA_IP: IzhikevichNeuron, _SUBTRACT: LIFNeuron, _SOFT: SoftLIFNeuron, _VALUE: ValueLIFNeuron,
    _ZERO: ZeroingLIFNeuron,
}  # fmt: skip
#: The kinds that every file can name, by their names.
NEURONS: Mapping[str, type[IntegerNeuron]] = MappingProxyType({x.kind: x for x in _KINDS.values()})


def kind_of(equation: Equation, initial: tuple[str, ...]) -> type[IntegerNeuron]:
    """The kind of neurons of an equation.

    Args:
        equation: of the neurons; states and constants whose names have a meaning here get a "_" behind theirs.
        initial: states that do not begin at 0.

    Raises:
        EquationError: for an operation that integers do not have.
    """
    if equation in _KINDS:
        return _KINDS[equation]
    own = [*equation.states, *(x.name for x in integer_step(equation).constants)]
    of_states = {f"{x}{suffix}" for x in equation.states for suffix in ("0", "_format")}
    names = tuple((x, f"{x}_") for x in own if x in _RESERVED | of_states)
    states = dict(names)
    first = tuple(f"{states.get(x, x)}0" for x in initial)
    return neuron_kind(equation.name, integer_step(equation, names), first)
