"""A neuron's step as a graph of operations: what its function records when it runs once on symbols.

    graph = StepGraph()
    v, current = graph.variable("v"), graph.variable("current")
    after = 0.9 * v + current

Equal expressions are one node, so that each is computed once, whoever wrote it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn, TypeAlias

from izhi.errors import EquationError

#: What a node is: a condition, a number in single precision, or one in double precision.
Kind = Literal["condition", "single", "double"]
Operand: TypeAlias = "Symbol | float"
#: Operations with a condition for a result.
CONDITIONS = (">=", ">", "not", "and", "or")
#: Modules whose lines are not those of a step's function.
_OWN = {f"{__name__.rpartition('.')[0]}.{name}" for name in ("graph", "words", "fixed_point", "integers", "custom")}
#: Operations that not every executor has.
_IN_LINES = ("exp", "/")


@dataclass(frozen=True, eq=False, repr=False)
class Symbol:
    """An operation on nodes.

    Attributes:
        graph: the graph that holds it.
        op: the operation: "variable", "constant", an operator, or a word of ``izhi.equation.words``.
        args: the operands.
        value: the number of a constant, the name of a variable; else what distinguishes the operation.
        kind: of its result.
    """

    graph: StepGraph
    op: str
    args: tuple[Symbol, ...]
    value: float | str | None
    kind: Kind

    def __add__(self, other: Operand) -> Symbol:
        return self.graph.sum(self, other)

    def __radd__(self, other: Operand) -> Symbol:
        return self.graph.sum(other, self)

    def __sub__(self, other: Operand) -> Symbol:
        return self.graph.difference(self, other)

    def __rsub__(self, other: Operand) -> Symbol:
        return self.graph.difference(other, self)

    def __mul__(self, other: Operand) -> Symbol:
        return self.graph.product(self, other)

    def __rmul__(self, other: Operand) -> Symbol:
        return self.graph.product(other, self)

    def __truediv__(self, other: Operand) -> Symbol:
        return self.graph.quotient(self, other)

    def __rtruediv__(self, other: Operand) -> Symbol:
        return self.graph.quotient(other, self)

    def __neg__(self) -> Symbol:
        return self.graph.negative(self)

    def __pow__(self, power: object) -> Symbol:
        if not (isinstance(power, int) and 1 <= power <= 8):
            fail(f"a power is {power!r}, expected a whole number from 1 to 8; write exp for another one")
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __ge__(self, other: Operand) -> Symbol:
        return self.graph.node(">=", self, other)

    def __gt__(self, other: Operand) -> Symbol:
        return self.graph.node(">", self, other)

    def __le__(self, other: Operand) -> Symbol:
        return self.graph.node(">=", other, self)

    def __lt__(self, other: Operand) -> Symbol:
        return self.graph.node(">", other, self)

    def __invert__(self) -> Symbol:
        return self.graph.node("not", self)

    def __and__(self, other: Symbol) -> Symbol:
        return self.graph.node("and", self, other)

    def __or__(self, other: Symbol) -> Symbol:
        return self.graph.node("or", self, other)

    def __bool__(self) -> NoReturn:
        fail("a condition has no value while the step is recorded; write select(condition, a, b) for if, & for and")

    def __float__(self) -> NoReturn:
        fail("a symbol has no value while the step is recorded; write exp and absolute of izhi, not those of math")

    def __repr__(self) -> str:
        if self.op in ("variable", "constant"):
            return str(self.value)
        return f"{self.op}({', '.join(map(repr, self.args))})"


class StepGraph:
    """The nodes of a step, each expression once.

    Attributes:
        fixed: those that do not change from step to step: coefficients, constants, and what is made of them.
        lines: the line of the step's function that wrote a function of numbers, such as exp, or a division.
    """

    def __init__(self) -> None:
        self._nodes: dict[tuple[object, ...], Symbol] = {}
        self.fixed: set[Symbol] = set()
        self.lines: dict[Symbol, str] = {}

    def node(self, op: str, *operands: Operand, value: float | str | None = None, kind: Kind | None = None) -> Symbol:
        """The node of an operation; numbers among the operands become constants.

        Raises:
            EquationError: for an operand that is neither a symbol nor a number.
        """
        args = tuple(self.lift(x) for x in operands)
        if kind is None:
            wide = any(x.kind == "double" for x in args)
            kind = "condition" if op in CONDITIONS else "double" if wide else "single"
        key = (op, *map(id, args), value, kind)
        if key not in self._nodes:
            self._nodes[key] = made = Symbol(self, op, args, value, kind)
            if op in _IN_LINES:
                self.lines[made] = caller()
            if op == "constant" or (args and self.fixed.issuperset(args)):
                self.fixed.add(made)
        return self._nodes[key]

    def variable(self, name: str, *, fixed: bool = False) -> Symbol:
        """A number in single precision that is known only when the step runs; a fixed one is the same in every step."""
        variable = self.node("variable", value=name)
        if fixed:
            self.fixed.add(variable)
        return variable

    def constant(self, value: float) -> Symbol:
        """A number that is known now."""
        return self.node("constant", value=float(value))

    def lift(self, x: Operand) -> Symbol:
        """A symbol of this graph, or a number as a constant."""
        if isinstance(x, Symbol):
            if x.graph is not self:
                fail(f"{x!r} is a symbol of another step; use those that this step is given")
            return x
        if isinstance(x, bool) or not isinstance(x, (int, float)):
            fail(f"an operand is {x!r}, expected a symbol or a number")
        return self.constant(x)

    def sum(self, a: Operand, b: Operand) -> Symbol:
        return self.lift(b) if is_number(a, 0) else self.lift(a) if is_number(b, 0) else self.node("+", a, b)

    def difference(self, a: Operand, b: Operand) -> Symbol:
        if is_number(a, 0):
            return self.negative(b)
        return self.lift(a) if is_number(b, 0) else self.node("-", a, b)

    def product(self, a: Operand, b: Operand) -> Symbol:
        if is_number(a, 0) or is_number(b, 0):
            return self.constant(0)
        return self.lift(b) if is_number(a, 1) else self.lift(a) if is_number(b, 1) else self.node("*", a, b)

    def quotient(self, a: Operand, b: Operand) -> Symbol:
        if is_number(a, 0):
            return self.constant(0)
        return self.lift(a) if is_number(b, 1) else self.node("/", a, b)

    def negative(self, x: Operand) -> Symbol:
        node = self.lift(x)
        if node.op == "constant":
            return self.constant(-number_of(node))
        return node.args[0] if node.op == "negative" else self.node("negative", node)


def number_of(x: Symbol) -> float:
    """The number of a constant."""
    assert isinstance(x.value, float)
    return x.value


def is_number(x: Operand, number: float) -> bool:
    """Whether an operand is this number, known now; −0 is not 0."""
    value = number_of(x) if isinstance(x, Symbol) and x.op == "constant" else x
    return isinstance(value, (int, float)) and value == number and math.copysign(1, value) == math.copysign(1, number)


def in_order(roots: Iterable[Symbol]) -> list[Symbol]:
    """All nodes that the roots depend on, and these, operands first."""
    order: list[Symbol] = []
    seen: set[Symbol] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, is_complete = stack.pop()
        if is_complete:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((x, False) for x in reversed(node.args))
    return order


def rewritten(
    roots: Iterable[Symbol], change: Callable[[Symbol, tuple[Symbol, ...]], Symbol | tuple[Symbol, ...]]
) -> list[Symbol]:
    """The roots with every node changed, operands first.

    Args:
        roots: results.
        change: (node, its operands after the change) → what replaces it, or the operands that it has from now on.
    """
    roots = list(roots)
    after: dict[Symbol, Symbol] = {}
    for node in in_order(roots):
        new = change(node, tuple(after[x] for x in node.args))
        if not isinstance(new, Symbol):
            new = node if new == node.args else node.graph.node(node.op, *new, value=node.value, kind=node.kind)
        after[node] = new
    return [after[root] for root in roots]


def substitute(roots: Iterable[Symbol], replacements: Mapping[Symbol, Symbol]) -> list[Symbol]:
    """The roots with some nodes replaced, in whatever depends on them."""
    return rewritten(roots, lambda node, args: replacements.get(node, args))


def caller() -> str:
    """The line that called this package: that of the step's function while it is recorded."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") in _OWN:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def fail(message: str, node: Symbol | None = None) -> NoReturn:
    """Raise an EquationError with the line of the step's function that is to blame, that of a node if it is known."""
    known = None if node is None else node.graph.lines.get(node)
    raise EquationError(f"{known or caller()}: {message}")
