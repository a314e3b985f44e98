"""A step in fixed-point numbers, derived from its equation by three rules of rounding.

    1. A product of two states is rounded to the format of the first state.
    2. Products with coefficients, and coefficients that are added to them, are summed in full and rounded once; what
       has no coefficient is exact.
    3. States saturate.

The result computes with values in double precision, in which all of it is exact; ``izhi.hardware.fixed`` computes the
same with integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from izhi.equation.equation import Equation, Input, Names
from izhi.equation.graph import Operand, StepGraph, Symbol, fail, number_of, rewritten, substitute
from izhi.equation.words import clip, double, rounded, select, single


class Format(NamedTuple):
    """A fixed-point format: 2 to the power of its fraction, the inverse, its limits."""

    scale: Operand
    unit: Operand
    low: Operand
    high: Operand


class Term(NamedTuple):
    """A product within a sum: a number, coefficients, states."""

    number: float
    coefficients: tuple[Symbol, ...]
    states: tuple[Symbol, ...]


@dataclass
class _Rounding:
    """How the expressions of a step are rounded.

    Attributes:
        coefficients: those that multiply, or are added to products.
        first: the format of products of two states.
        known: the fixed-point numbers of expressions that are a state after the step.
    """

    coefficients: frozenset[Symbol]
    first: Format
    known: dict[Symbol, Symbol] = field(default_factory=dict)

    def state(self, node: Symbol, format: Format) -> Symbol:
        """A state after the step, which saturates."""
        value, saturates = self._branches(node, format)
        self.known[node] = self._saturated(value, format) if saturates else value
        return self.known[node]

    def _saturated(self, x: Symbol, format: Format) -> Symbol:
        return single(clip(double(x, x), double(format.low, x), double(format.high, x)))

    def _branches(self, node: Symbol, format: Format) -> tuple[Symbol, bool]:
        """The value of an expression, and whether it may lie beyond the format."""
        if node.op == "select":
            condition, *branches = node.args
            (a, wide_a), (b, wide_b) = (
                self._branches(given(x, condition, k == 0), format) for k, x in enumerate(branches)
            )
            return select(condition, a, b), wide_a or wide_b
        if node in self.known:
            return self.known[node], False
        if node.op == "clip":
            self.known[node] = self._saturated(self._sum(node.args[0], format), format)
            return self.known[node], False
        if node.op == "variable":
            return node, False
        return self._sum(node, format), True

    def _sum(self, node: Symbol, format: Format) -> Symbol:
        """A sum, whose products with coefficients are rounded together."""
        exact: Operand = 0.0
        total: Operand = 0.0
        graph, limits = node.graph, dict[Symbol, Symbol]()
        for number, coefficients, states in self._terms(node, limits):
            values = [double(self._leaf(x, format), node) for x in states]
            if len(values) > 2 or len(coefficients) > 1:
                fail(f"the term {' · '.join(map(repr, (*coefficients, *states)))} has more than two states or one"
                     " coefficient, which integers do not multiply; compute it in two steps")  # fmt: skip
            value: Operand = abs(number)
            if len(values) == 2:
                scale, unit = double(self.first.scale, node), double(self.first.unit, node)
                value = graph.product(value, rounded(values[0] * values[1], scale, unit, of="product"))
            elif values:
                value = graph.product(value, values[0])
            add = graph.sum if number > 0 else graph.difference
            if coefficients:
                total = add(total, graph.product(double(coefficients[0], node), value))
            else:
                exact = add(exact, value)
        result = graph.lift(exact)
        if isinstance(total, Symbol):
            result = graph.sum(result, rounded(total, double(format.scale, node), double(format.unit, node)))
        for x, limit in limits.items():
            result = graph.node("bounded", result, x, limit)
        return result

    def _leaf(self, node: Symbol, format: Format) -> Symbol:
        """The value of a factor: a state, one without its gradient, or a selection of states."""
        if node.op == "hold":
            return node.graph.node("hold", self._leaf(node.args[0], format))
        return self._branches(node, format)[0]

    def _terms(self, node: Symbol, limits: dict[Symbol, Symbol]) -> list[Term]:
        """A sum as its terms; ``limits`` collects the bounds of derivatives."""
        if node.op == "constant":
            return [Term(number_of(node), (), ())] if number_of(node) else []
        if node in self.coefficients:
            return [Term(1.0, (node,), ())]
        if node in self.known:
            return [Term(1.0, (), (node,))]
        if node.op == "bounded":
            limits[node.args[1]] = node.args[2]
            return self._terms(node.args[0], limits)
        if node.op in ("+", "-"):
            a, b = (self._terms(x, limits) for x in node.args)
            return a + (b if node.op == "+" else [t._replace(number=-t.number) for t in b])
        if node.op == "negative":
            return [t._replace(number=-t.number) for t in self._terms(node.args[0], limits)]
        if node.op == "*":
            a, b = (self._terms(x, limits) for x in node.args)
            return [
                Term(s.number * t.number, s.coefficients + t.coefficients, s.states + t.states) for s in a for t in b
            ]
        if node.op in ("variable", "clip", "select", "hold"):
            return [Term(1.0, (), (node,))]
        fail(f"{node.op} is no operation of integers; write it with +, −, ·, select and clip")


def given(node: Symbol, condition: Symbol, holds: bool) -> Symbol:
    """An expression where a condition is known."""

    def change(x: Symbol, args: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
        return args[1 if holds else 2] if x.op == "select" and x.args[0] is condition else args

    return rewritten([node], change)[0]


def fixed_point_step(
    equation: Equation, graph: StepGraph, states: tuple[Symbol, ...], current: Symbol, bias: Symbol | None,
    coefficients: Mapping[str, Symbol], constants: Mapping[str, Operand], formats: Mapping[str, Format],
) -> tuple[Symbol, ...]:  # fmt: skip
    """The states after a step in fixed-point numbers, and the spike.

    Args:
        equation: of the neuron.
        graph: of the symbols.
        states: before the step, in their formats.
        current: in the format of the first state.
        bias: added to the products with coefficients; None for none.
        coefficients: by name; a gain is in the current already, and dt in the others.
        constants: by name; dt and substep are 1.
        formats: of the states, by name.
    """
    k = Names({**constants, "dt": 1.0, "substep": 1.0})
    p = Names({**coefficients, **({"gain": 1.0} if "gain" in equation.coefficients else {})})
    total = current if bias is None else current + bias
    *after, fires = equation.step(states, Input(total), p, k, None)
    multiplying = {x for name, x in coefficients.items() if name not in equation.formats}
    summed = frozenset(multiplying if bias is None else {*multiplying, bias})
    rounding = _Rounding(summed, formats[equation.states[0]], {current: current})
    fixed = [rounding.state(x, formats[s]) for x, s in zip(after, equation.states, strict=True)]
    return (*fixed, *substitute([fires], dict(zip(after, fixed, strict=True))))


__all__ = ["Format", "fixed_point_step", "given"]
