"""A step in integers: the operations that hardware computes, as a graph of which every executor is written."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from typing import Any, NamedTuple

from izhi.equation.emit import Dialect, function, statements
from izhi.equation.equation import CONSTANTS, Equation
from izhi.equation.fixed_point import FixedPointStep, Role, fixed_point_step
from izhi.equation.graph import Operand, StepGraph, Symbol, in_order, number_of, rewritten
from izhi.errors import EquationError, shown

#: Operands of each operation of integers. Beside those of Python there are
#: shift[s](x): x / 2^fraction, rounded; the fraction is that of state s, or of the coefficients;
#: aligned[a, b](x): x·2^(F + fraction of a − fraction of b), with F, the fraction of the coefficients;
#: saturated[s](x): x within the format of state s.
OPERATIONS = {
    "variable": 0, "constant": 0, "+": 2, "-": 2, "*": 2, "negative": 1, "absolute": 1, "clip": 3, "select": 3,
    "shift": 1, "aligned": 1, "saturated": 1, ">=": 2, ">": 2, "not": 1, "and": 2, "or": 2,
}  # fmt: skip
#: The input, in the format of the first state, as a variable.
INPUT = "_input"
#: The fraction of the coefficients, as the value of a shift.
FRACTION = "fraction"
#: Most operations of a step that is read.
_MOST_OPERATIONS = 300


class _Integers:
    """The arithmetic of integers, see ``izhi.equation.fixed_point.Arithmetic``."""

    def exact(self, x: Operand, like: Symbol) -> Operand:
        return x

    def product(self, x: Symbol, y: Symbol, of: str, drop: str) -> Symbol:
        return x.graph.node("shift", x * y, value=drop)

    def aligned(self, x: Symbol, of: str, by: str) -> Symbol:
        return x.graph.node("aligned", x, value=f"{of} {by}")

    def rounded(self, x: Symbol, of: str) -> Symbol:
        return x.graph.node("shift", x, value=FRACTION)

    def saturated(self, x: Symbol, of: str) -> Symbol:
        return x.graph.node("saturated", x, value=of)

    def limited(self, x: Symbol, low: Operand, high: Operand) -> Symbol:
        return x.graph.node("clip", x, low, high)

    def gated(self, x: Operand, gate: Symbol) -> Symbol:
        return gate.graph.node("select", gate, x, 0.0)


class IntegerConstant(NamedTuple):
    """A constant of a step.

    Attributes:
        name: of it.
        role: "factor" of a state, "addend" to products, or "value" in the format of a state.
        of: the state whose format its sum, or it itself, has.
        by: the state whose format its factor has; "" without one.
    """

    name: str
    role: Role
    of: str
    by: str = ""

    def fraction(self, of_states: Mapping[str, int], fraction: int) -> int:
        """Bits behind the point, of those of the states and of the coefficients."""
        if self.role == "value":
            return of_states[self.of]
        return fraction + of_states[self.of] - (of_states[self.by] if self.by else 0)


@dataclass(frozen=True, eq=False)
class IntegerStep:
    """A step in integers.

    Attributes:
        states: names of the states, the membrane potential first.
        constants: what it takes of each neuron.
        after: the states after the step; variables are named by states and constants, and the input by ``INPUT``.
        spike: the condition on which the neuron fires.
    """

    states: tuple[str, ...]
    constants: tuple[IntegerConstant, ...]
    after: tuple[Symbol, ...]
    spike: Symbol

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntegerStep) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @cached_property
    def text(self) -> str:
        """The step as text, by which steps are equal."""
        return json.dumps(self.table())

    @property
    def results(self) -> tuple[Symbol, ...]:
        """The states after the step, and the spike."""
        return (*self.after, self.spike)

    @cached_property
    def selected(self) -> frozenset[str]:
        """Constants that a condition selects as the value of a state, whose format must hold them."""
        values = {x.name for x in self.constants if x.role == "value"}
        operands = (x for node in self.nodes if node.op == "select" for x in node.args[1:])
        return frozenset(str(x.value) for x in operands if x.value in values)

    @cached_property
    def compared(self) -> frozenset[str]:
        """Constants that a state is compared with, by themselves or in a sum."""
        values = {x.name for x in self.constants if x.role == "value"}
        operands = [x for node in self.nodes if node.op in (">=", ">") for x in node.args]
        for x in operands:
            if x.op in ("+", "-", "negative"):
                operands += x.args
        return frozenset(str(x.value) for x in operands if x.value in values)

    @cached_property
    def nodes(self) -> list[Symbol]:
        """All operations, operands first."""
        return in_order(self.results)

    def function(self, words: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
        """The function (z, current, formats, fraction, constants) → whether neurons fire; z becomes the states after.

        z has a state in each row, formats and constants are tuples. Numpy runs it on arrays, and Numba compiles it for
        a neuron.

        Args:
            words: the functions rounded_shift, aligned, saturated, chosen and clamped.
        """
        names = {x: str(x.value) for x in self.nodes if x.op == "variable"}
        rows = {name: f"z[{k}]" for k, name in enumerate(self.states)}
        rows |= {x.name: f"constants[{k}]" for k, x in enumerate(self.constants)}
        places = {x: "current" if x.value == INPUT else f"x_{x.value}" for x in names}
        # A state is copied, since it may be a view of what the step replaces.
        reads = [f"x_{name} = {rows[name]}{' + 0' * (name in self.states)}" for name in names.values() if name in rows]
        lines, (*after, fires) = statements(self.results, self._dialect, places)
        writes = [f"z[{k}] = {x}" for k, x in enumerate(after)]
        arguments = "z, current, formats, fraction, constants"
        return function("update", arguments, [*reads, *lines, *writes, f"return {fires}"], words)

    @cached_property
    def _dialect(self) -> Dialect:
        return Dialect(lambda x: str(int(x)), self._word, transparent=())

    def _word(self, node: Symbol, args: list[str]) -> str:
        if node.op in ("shift", "aligned", "saturated"):
            fractions = [self._format(name, ".fraction") for name in str(node.value).split()]
            if node.op == "saturated":
                return f"saturated({args[0]}, {self._format(str(node.value))})"
            if node.op == "shift":
                return f"rounded_shift({args[0]}, {fractions[0]})"
            return f"aligned({args[0]}, fraction + {fractions[0]} - {fractions[1]})"
        words = {"select": "chosen", "clip": "clamped", "absolute": "abs"}
        return f"~{args[0]}" if node.op == "not" else f"{words[node.op]}({', '.join(args)})"

    def _format(self, name: str, attribute: str = "") -> str:
        return name if name == FRACTION else f"formats[{self.states.index(name)}]{attribute}"

    def table(self) -> dict[str, object]:
        """Plain values, which ``of_table`` reads."""
        place = {node: k for k, node in enumerate(self.nodes)}
        operations = [[x.op, x.value, *(place[y] for y in x.args)] for x in self.nodes]
        results = [place[x] for x in self.results]
        constants = [list(x) for x in self.constants]
        return {"states": list(self.states), "constants": constants, "operations": operations, "results": results}

    @classmethod
    def of_table(cls, table: Mapping[str, object]) -> IntegerStep:
        """The step that ``table`` wrote, with everything in it checked.

        Raises:
            EquationError: for a table that describes no step.
        """
        try:
            return _read(table)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise EquationError(f"a step of integers cannot be read: {error}; use an intact copy") from None


@cache
def integer_step(equation: Equation, names: tuple[tuple[str, str], ...] = ()) -> IntegerStep:
    """The step of an equation in integers; ``names`` has those of states and constants that have another name in it.

    Raises:
        EquationError: for an operation that integers do not have, with the line of the step's function.
    """
    step = fixed_point_constants(equation)
    graph = step.spike.graph

    def renamed(name: str) -> str:
        return dict(names).get(name, name)

    constants = [c for c in step.constants if c.role != "gradient"]
    variables = {step.symbols[c.name]: graph.variable(renamed(c.name)) for c in constants}
    variables |= {graph.variable(name): graph.variable(renamed(name)) for name in equation.states}

    def change(node: Symbol, args: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
        if node in variables:
            return variables[node]
        if node.op in ("hold", "bounded"):
            return args[0]
        if node.op == "spike":
            sides = args[0].args if args[0].op == "-" else (args[0], 0.0)
            return graph.node(">" if node.value == "strict" else ">=", *sides)
        if node.op in ("shift", "aligned", "saturated"):
            return graph.node(node.op, *args, value=" ".join(map(renamed, str(node.value).split())))
        return args

    *after, spike = rewritten((*step.after, step.spike), change)
    fires = _condition_of(spike)
    if fires.op == "constant":
        raise EquationError(f"{equation.name} fires always or never, expected a spike that depends on a state")
    own = tuple(IntegerConstant(renamed(c.name), c.role, renamed(c.of), renamed(c.by)) for c in constants)
    return IntegerStep(tuple(map(renamed, equation.states)), own, tuple(after), fires)


@cache
def fixed_point_constants(equation: Equation) -> FixedPointStep:
    """The step of an equation whose constants have their expressions."""
    graph = StepGraph()
    states = tuple(graph.variable(name) for name in equation.states)
    constants = {name: graph.variable(f"k_{name}", fixed=True) for name in CONSTANTS}
    return fixed_point_step(equation, graph, states, graph.variable(INPUT), _Integers(), constants)


def _condition_of(spike: Symbol) -> Symbol:
    """The condition on which a spike is 1: itself, 0 or 1, or a choice between such."""
    if spike.op != "select":
        return spike
    condition, *branches = spike.args
    sides = [(c, _condition_of(x)) for c, x in zip((condition, ~condition), branches, strict=True)]
    held = [c if x.op == "constant" else c & x for c, x in sides if x.op != "constant" or number_of(x)]
    return reduce(operator.or_, held) if held else spike.graph.constant(0)


def _read(table: Mapping[str, object]) -> IntegerStep:
    states, listed, operations, results = (_list(table, name) for name in
                                           ("states", "constants", "operations", "results"))  # fmt: skip
    constants = tuple(IntegerConstant(*x) for x in listed)
    names = [*states, *(x.name for x in constants), INPUT]
    if not states or len(set(names)) < len(names) or not all(isinstance(x, str) and x.isidentifier() for x in names):
        raise ValueError(f"names {shown(names)}, expected those of Python, each once")
    for x in constants:
        if x.role not in ("factor", "addend", "value") or x.of not in states or x.by not in (*states, ""):
            raise ValueError(f"a constant {shown(list(x))}")
    if len(operations) > _MOST_OPERATIONS or len(results) != len(states) + 1:
        raise ValueError(f"{len(operations):,} operations and {len(results):,} results")
    graph, nodes = StepGraph(), list[Symbol]()
    for op, value, *places in operations:
        if OPERATIONS.get(op) != len(places) or not all(type(k) is int and 0 <= k < len(nodes) for k in places):
            raise ValueError(f"the operation {shown([op, value, *places])}")
        args = [nodes[k] for k in places]
        if not _is_valid(op, value, args, names, states):
            raise ValueError(f"the operation {shown([op, value, *places])} of operands {shown(args)}")
        nodes.append(graph.node(op, *args, value=float(value) if op == "constant" else value))
    *after, spike = (nodes[k] for k in results)
    if spike.kind != "condition" or any(x.kind == "condition" for x in after):
        raise ValueError("states or spikes that are none")
    return IntegerStep(tuple(states), constants, tuple(after), spike)


def bits_gained(node: Symbol, fractions: Mapping[str, int]) -> int:
    """By how many bits an operation moves its operand to the left: ``aligned``, or ``shift``, which moves it back.

    Args:
        node: the operation.
        fractions: of the states, and of the coefficients by ``FRACTION``.
    """
    of, *by = (fractions[x] for x in str(node.value).split())
    return fractions[FRACTION] + of - by[0] if node.op == "aligned" else -of


def _list(table: Mapping[str, object], name: str) -> Sequence[Any]:
    value = table[name]
    if not isinstance(value, list):
        raise ValueError(f"{name} {shown(value)}, expected a list")
    return value


def _is_valid(op: str, value: object, args: Sequence[Symbol], names: Sequence[str], states: Sequence[str]) -> bool:
    """Whether an operation distinguishes what it can, and takes numbers or conditions as it must."""
    conditions = {"select": [0], "not": [0], "and": [0, 1], "or": [0, 1]}.get(op, [])
    if any((x.kind == "condition") != (k in conditions) for k, x in enumerate(args)):
        return False
    if op == "constant":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0
    allowed: dict[str, Sequence[object]] = {
        "variable": names, "shift": [*states, FRACTION], "saturated": states,
        "aligned": [f"{a} {b}" for a in states for b in states],
    }  # fmt: skip
    return value in allowed.get(op, [None])
