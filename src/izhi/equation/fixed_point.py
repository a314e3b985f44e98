"""A step in fixed-point numbers, derived from its equation by three rules of rounding.

    1. A product of two states is rounded to the format of the first of them.
    2. Products with coefficients, what is added to them, and states in another format are summed in full and rounded
       once; what has no coefficient is exact, and so is what a spike adds.
    3. States saturate; v does so within its limits as well, if the equation is ``limited``.

An expression that is used more than once is computed once, in the format of the first state in it. What is made of
coefficients alone becomes a constant, which is computed in floating point and rounded once.

The step is written in values or in integers (``Arithmetic``). Values are in double precision, in which all of it is
exact, and integers compute the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import Literal, NamedTuple, Protocol

from izhi.equation.equation import LIMITS, Equation, Input, Names
from izhi.equation.graph import Operand, StepGraph, Symbol, fail, in_order, number_of, rewritten
from izhi.equation.words import clip, double, rounded, select, single

#: What a constant does: it multiplies a state; it is added to such products; it is a number in the format of a state;
#: or it belongs to the backward pass alone.
Role = Literal["factor", "addend", "value", "gradient"]


class Arithmetic(Protocol):
    """The numbers in which a step is written; formats are named by their states."""

    def exact(self, x: Operand, like: Symbol) -> Operand:
        """An operand of sums without rounding."""

    def product(self, x: Symbol, y: Symbol, of: str, drop: str) -> Symbol:
        """x·y, rounded to the format ``of``, for which the bits behind the point of ``drop`` are dropped."""

    def aligned(self, x: Symbol, of: str, by: str) -> Symbol:
        """x in the format ``by`` as an operand of sums that are rounded to the format ``of``."""

    def rounded(self, x: Symbol, of: str) -> Symbol:
        """A sum of products with coefficients, rounded to a format."""

    def saturated(self, x: Symbol, of: str) -> Symbol:
        """x within the limits of a format."""

    def limited(self, x: Symbol, low: Operand, high: Operand) -> Symbol:
        """x within limits of the step's own."""

    def gated(self, x: Operand, gate: Symbol) -> Symbol:
        """x where a spike is, else 0."""


class Format(NamedTuple):
    """A fixed-point format in values: 2 to the power of its fraction, the inverse, its limits."""

    scale: Operand
    unit: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True)
class Values:
    """Values that are fixed-point numbers, by the formats of the states."""

    formats: Mapping[str, Format]

    def exact(self, x: Operand, like: Symbol) -> Operand:
        return double(x, like)

    def product(self, x: Symbol, y: Symbol, of: str, drop: str) -> Symbol:
        f = self.formats[of]
        return rounded(double(x, x) * double(y, y), double(f.scale, x), double(f.unit, x))

    def aligned(self, x: Symbol, of: str, by: str) -> Symbol:
        return double(x, x)

    def rounded(self, x: Symbol, of: str) -> Symbol:
        f = self.formats[of]
        return rounded(double(x, x), double(f.scale, x), double(f.unit, x))

    def saturated(self, x: Symbol, of: str) -> Symbol:
        f = self.formats[of]
        return single(clip(double(x, x), double(f.low, x), double(f.high, x)))

    def limited(self, x: Symbol, low: Operand, high: Operand) -> Symbol:
        return clip(double(x, x), double(low, x), double(high, x))

    def gated(self, x: Operand, gate: Symbol) -> Symbol:
        return gate.graph.product(double(gate, gate), double(x, gate))


class Constant(NamedTuple):
    """A number of each neuron that a fixed-point step takes.

    Attributes:
        name: that of its coefficient where it is one; "bias" for the bias alone.
        role: what it does.
        of: the state whose format its sum, or it itself, has.
        by: the state whose format its factor has; "" without one.
        expression: of the coefficients and the bias.
    """

    name: str
    role: Role
    of: str
    by: str
    expression: Symbol


class FixedPointStep(NamedTuple):
    """A step in fixed-point numbers.

    Attributes:
        after: the states after the step.
        spike: 1 where the neuron fires.
        constants: what the step takes of each neuron, in the order of the hardware.
        symbols: of the constants, by name.
        bias: the constant that contains the bias of the input and is added to products; None if there is none.
        factor: coefficients that multiply the input wherever it is; hardware includes them in the factor of its sums.
        limits: names of the constants that are limits of v.
    """

    after: tuple[Symbol, ...]
    spike: Symbol
    constants: tuple[Constant, ...]
    symbols: Mapping[str, Symbol]
    bias: str | None
    factor: Symbol | None
    limits: tuple[str, ...]


class _Term(NamedTuple):
    """A product within a sum: a number, an expression of coefficients, states, spikes that must be."""

    number: float = 1.0
    coefficient: Symbol | None = None
    states: tuple[Symbol, ...] = ()
    gates: tuple[Symbol, ...] = ()

    def times(self, other: _Term) -> _Term:
        a, b = self.coefficient, other.coefficient
        both = a if b is None else b if a is None else a.graph.product(a, b)
        return _Term(self.number * other.number, both, self.states + other.states, self.gates + other.gates)


@dataclass
class _Rounding:
    """How the expressions of a step become fixed-point numbers.

    Attributes:
        equation, graph: of the step.
        arithmetic: in which it is written.
        roots: the states after the step, and the spike.
        current: the input, multiplied by its factor.
        bias: of the input.
        factor: of the input; None if it has none, or if it is not known yet.
        known: what is computed already, states before the step and the input among it, and its format.
        constants: by what they are; their symbols.
        factors: what multiplies the input, in each of its places; None for nothing.
        formats, leaves: of expressions, and their values, while nothing more is known.
    """

    equation: Equation
    graph: StepGraph
    arithmetic: Arithmetic
    roots: tuple[Symbol, ...]
    current: Symbol
    bias: Symbol
    factor: Symbol | None
    known: dict[Symbol, tuple[Symbol, str]] = field(default_factory=dict)
    constants: dict[Constant, Symbol] = field(default_factory=dict)
    factors: set[Symbol | None] = field(default_factory=set)
    formats: dict[Symbol, str | None] = field(default_factory=dict)
    leaves: dict[Symbol, Symbol] = field(default_factory=dict)

    @cached_property
    def _uses(self) -> Counter[Symbol]:
        return Counter(x for node in in_order(self.roots) for x in node.args) + Counter(self.roots)

    def _own_format(self, node: Symbol) -> str:
        """The format in which an expression is computed: of the first state that it is made of, or of all."""
        return self._format_of(node) or self.equation.states[0]

    def _format_of(self, node: Symbol) -> str | None:
        """The first state that an expression is made of; None if there is none."""
        if node not in self.formats:
            args = () if node in self.graph.fixed or node.op == "spike" else node.args
            names = [self._format_of(x) for x in (args[1:] if node.op == "select" else args)]
            first = min(filter(None, names), key=self.equation.states.index, default=None)
            self.formats[node] = self.known[node][1] if node in self.known else first
        return self.formats[node]

    def _know(self, node: Symbol, value: Symbol, of: str) -> Symbol:
        self.known[node] = value, of
        self.formats.clear()
        self.leaves.clear()
        return value

    def state(self, node: Symbol, of: str) -> Symbol:
        """A state after the step, which saturates."""
        value, saturates = self._branches(node, of)
        return self._know(node, self.arithmetic.saturated(value, of) if saturates else value, of)

    def fires(self, node: Symbol) -> Symbol:
        """A spike: of the word, or one or none where a condition holds."""
        if node.op == "spike":
            of = self._own_format(node.args[0])
            x = single(self._sum(node.args[0], of))  # as gradients are
            return self.graph.node("spike", x, self._of_gradient(node.args[1]), value=node.value)
        if node.op == "hold":
            return self.graph.node("hold", self.fires(node.args[0]))
        if node.op == "constant" and number_of(node) in (0.0, 1.0):
            return node
        if node.op == "select":
            return select(self._condition(node.args[0]), *map(self.fires, node.args[1:]))
        fail(f"{node!r} is no spike of integers; write spike(x), or select(condition, 0.0, spike(x))")

    def _condition(self, node: Symbol) -> Symbol:
        if node.op in (">=", ">"):
            names = [x for x in map(self._format_of, node.args) if x is not None]
            if not names:
                fail(f"{node!r} compares parameters alone; integers decide nothing for each neuron")
            of = min(names, key=self.equation.states.index)
            return self.graph.node(node.op, *(self._in_format(x, of) for x in node.args))
        return self.graph.node(node.op, *map(self._condition, node.args))

    def _in_format(self, node: Symbol, of: str) -> Symbol:
        """An expression as a number in the format of a state, which it may exceed."""
        if node in self.graph.fixed:
            return self._constant(node, "value", of)
        return self._leaf(node) if self._own_format(node) == of else self._sum(node, of)

    def _branches(self, node: Symbol, of: str) -> tuple[Symbol, bool]:
        """An expression in the format of a state, and whether it may exceed it."""
        if node.op == "select" and node not in self.known:
            condition, *branches = node.args
            (a, wide_a), (b, wide_b) = (
                self._branches(_given(x, condition, k == 0), of) for k, x in enumerate(branches)
            )
            return select(self._condition(condition), a, b), wide_a or wide_b
        if self._format_of(node) not in (None, of):
            return self._sum(node, of), True
        if node in self.known:
            return self.known[node][0], False
        if node.op == "clip":
            inside, *limits = node.args
            total, is_of_v = self._sum(inside, of), all(_limit_of_v(x) for x in limits)
            if any(abs(number_of(x)) < math.inf if x.op == "constant" else True for x in limits):
                low, high = (self._constant(x, "value", of) for x in limits)
                total = self.arithmetic.limited(total, low, high)
                if not is_of_v:
                    return total, True
            return self._know(node, self.arithmetic.saturated(total, of), of), False
        if node in self.graph.fixed:
            return self._constant(node, "value", of), False
        return (node, False) if node.op == "variable" else (self._sum(node, of), True)

    def _leaf(self, node: Symbol) -> Symbol:
        """A factor or a summand in its own format: a state, one without its gradient, or what is computed once."""
        if node not in self.leaves:
            if node.op in ("hold", "absolute"):
                value = self.graph.node(node.op, self._leaf(node.args[0]))
            else:
                value, _ = self._branches(node, self._own_format(node))
            self.leaves[node] = value
        return self.leaves[node]

    def _sum(self, node: Symbol, of: str) -> Symbol:
        """A sum, whose products with coefficients are rounded together."""
        limits = dict[Symbol, Symbol]()
        terms = [self._of_input(t) for t in self._terms(node, limits, is_root=True)]
        has_products = any(t.states and (t.coefficient is not None or abs(t.number) != 1) for t in terms)
        exact, total = self.graph.lift(0.0), self.graph.lift(0.0)
        offsets = [t for t in terms if not (t.states or t.gates)]
        for t in (t for t in terms if t.states or t.gates):
            value, by = self._product(t.states) if t.states else (None, of)
            if value is None:
                jump = self._constant(self.graph.product(abs(t.number), self._coefficient(t)), "value", of)
                exact = _added(exact, t.number, self._gated(self.arithmetic.exact(jump, node), t))
            elif self._is_exact(t, of):
                exact = _added(exact, t.number, self._gated(self.arithmetic.exact(value, node), t))
            elif t.coefficient is None and abs(t.number) == 1:
                total = _added(total, t.number, self._gated(self.arithmetic.aligned(value, of, by), t))
            else:
                factor = self._constant(self.graph.product(abs(t.number), self._coefficient(t)), "factor", of, by)
                exact_factor = self.arithmetic.exact(factor, node)
                product = self.graph.product(exact_factor, self.arithmetic.exact(value, node))
                total = _added(total, t.number, self._gated(product, t))
        if offsets:
            sign = math.copysign(1.0, offsets[0].number) if len(offsets) == 1 else 1.0
            named = self._offset([t for t in offsets if self.bias not in in_order([self._coefficient(t)])], sign)
            symbol = self._constant(self._offset(offsets, sign), "addend" if has_products else "value", of, named=named)
            constant = self.arithmetic.exact(symbol, node)
            if has_products:
                total = _added(total, sign, constant)
            else:
                exact = _added(exact, sign, constant)
        result = exact if total.op == "constant" else self.graph.sum(exact, self.arithmetic.rounded(total, of))
        for x, limit in limits.items():
            result = self.graph.node("bounded", result, x, limit)
        return result

    def _offset(self, terms: Iterable[_Term], sign: float) -> Symbol:
        """The sum of coefficients alone, times a sign."""
        total = self.graph.lift(0.0)
        for t in terms:
            total = _added(total, sign * t.number, self.graph.product(abs(t.number), self._coefficient(t)))
        return total

    def _of_input(self, t: _Term) -> _Term:
        """A term without the factor of the input, which the input contains."""
        if self.current not in t.states:
            return t
        is_alone = t.states == (self.current,) and not t.gates
        factor = self.graph.product(abs(t.number), self._coefficient(t)) if is_alone else None
        self.factors.add(None if factor is not None and factor.op == "constant" else factor)
        if factor is None or factor is not self.factor:
            return t
        return _Term(math.copysign(1.0, t.number), None, t.states)

    def _is_exact(self, t: _Term, of: str) -> bool:
        """Whether a product with states has no coefficient, and the format of the sum."""
        first = min(map(self._own_format, t.states), key=self.equation.states.index)
        return t.coefficient is None and abs(t.number) == 1 and first == of

    def _coefficient(self, t: _Term) -> Symbol:
        return self.graph.lift(1.0) if t.coefficient is None else t.coefficient

    def _gated(self, x: Operand, t: _Term) -> Operand:
        return reduce(lambda value, gate: self.arithmetic.gated(value, gate), t.gates, x)

    def _product(self, states: tuple[Symbol, ...]) -> tuple[Symbol, str]:
        """States multiplied one after the other, and the format of the result."""
        factors = [(self._leaf(x), self._own_format(x)) for x in states]
        value, of = factors[0]
        for other, name in factors[1:]:
            first, last = sorted((of, name), key=self.equation.states.index)
            value, of = self.arithmetic.product(value, other, first, last), first
        return value, of

    def _terms(self, node: Symbol, limits: dict[Symbol, Symbol], *, is_root: bool = False) -> list[_Term]:
        """A sum as its terms; ``limits`` collects the bounds of derivatives."""
        if node.op == "constant":
            return [_Term(number_of(node))] if number_of(node) else []
        if node in self.graph.fixed:
            if node.op == "negative":
                return [_Term(-1.0, node.args[0])]
            return [_Term(coefficient=node)]
        if node.op == "spike" or (node.op == "hold" and node.args[0].op == "spike"):
            return [_Term(gates=(self.fires(node),))]
        is_shared = self._uses[node] > 1 and not is_root
        if node in self.known or is_shared or node.op in ("variable", "clip", "select", "hold", "absolute"):
            return [_Term(states=(node,))]
        if node.op == "bounded":
            if node.args[1] not in self.graph.fixed:
                limits[self._leaf(node.args[1])] = self._of_gradient(node.args[2])
            return self._terms(node.args[0], limits)
        if node.op in ("+", "-"):
            a, b = (self._terms(x, limits) for x in node.args)
            return a + (b if node.op == "+" else [t._replace(number=-t.number) for t in b])
        if node.op == "negative":
            return [t._replace(number=-t.number) for t in self._terms(node.args[0], limits)]
        if node.op == "/" and node.args[1] in self.graph.fixed:
            share = _Term(coefficient=self.graph.quotient(1.0, node.args[1]))
            return [t.times(share) for t in self._terms(node.args[0], limits)]
        if node.op == "*":
            a, b = (self._terms(x, limits) for x in node.args)
            if min(len(a), len(b)) > 1:
                a, b = ([_Term(states=(x,))] if any(t.states for t in ts) and len(ts) > 1 else ts
                        for x, ts in zip(node.args, (a, b), strict=True))  # fmt: skip
            return [s.times(t) for s in a for t in b]
        operation = "division by a state" if node.op == "/" else node.op
        fail(f"{operation} is no operation of integers; write it with +, −, ·, select and clip", node)

    def _of_gradient(self, node: Symbol) -> Symbol:
        """A number of the backward pass, which keeps its floating point."""
        names = {x.value for x in in_order([node]) if x.op == "variable"}
        if not any(str(x).startswith("p_") for x in names):
            return node
        return self._constant(node, "gradient", self.equation.states[0])

    def _name(self, expression: Symbol) -> str | None:
        """The parameter that an expression is, but for constants of the equation; "bias" for 0."""
        if limit := _limit_of_v(expression):
            return limit
        nodes = in_order([expression])
        if any(x.op not in ("variable", "*") for x in nodes):
            return "bias" if expression.op == "constant" and not number_of(expression) else None
        own = [str(x.value) for x in nodes if x.op == "variable" and not str(x.value).startswith("k_")]
        return own[0].removeprefix("p_") if len(own) == 1 else None

    def _constant(
        self, expression: Symbol, role: Role, of: str, by: str = "", *, named: Symbol | None = None
    ) -> Symbol:
        """The symbol of a constant, named by ``named`` if that is a parameter; 0 is the same in every format."""
        if expression.op == "constant" and number_of(expression) == 0:
            return expression
        for constant, symbol in self.constants.items():
            if (constant.role, constant.of, constant.by, constant.expression) == (role, of, by, expression):
                return symbol
        usual = {"factor": f"{of}_of_{by}", "addend": f"{of}_offset", "value": f"{of}_level", "gradient": f"{of}_width"}
        name = self._name(expression if named is None else named) or usual[role]
        used = {x.name for x in self.constants}
        name = next(x for x in (name, usual[role], *(f"{usual[role]}_{k}" for k in range(2, 99))) if x not in used)
        symbol = self.graph.variable(f"c_{name}", fixed=True)
        self.constants[Constant(name, role, of, by, expression)] = symbol
        return symbol


def _added(total: Symbol, sign: float, x: Operand) -> Symbol:
    graph = total.graph
    return graph.sum(total, x) if sign > 0 else graph.difference(total, x)


def _limit_of_v(x: Symbol) -> str | None:
    """The name of a limit of v; None for another expression."""
    return next((name for name in LIMITS if x.op == "variable" and x.value == f"k_{name}"), None)


def _given(node: Symbol, condition: Symbol, holds: bool) -> Symbol:
    """An expression where a condition is known."""

    def change(x: Symbol, args: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
        return args[1 if holds else 2] if x.op == "select" and x.args[0] is condition else args

    return rewritten([node], change)[0]


def fixed_point_step(
    equation: Equation, graph: StepGraph, states: tuple[Symbol, ...], current: Symbol, arithmetic: Arithmetic,
    constants: Mapping[str, Operand],
) -> FixedPointStep:  # fmt: skip
    """A step in fixed-point numbers.

    Args:
        equation: of the neuron.
        graph: of the symbols.
        states: before the step, in their formats.
        current: the input without its bias, in the format of the first state.
        arithmetic: in which the step is written.
        constants: of the equation, by name; the limits of v are constants of each neuron, if the equation is limited.

    Raises:
        EquationError: for an operation that integers do not have, with the line of the step's function.
    """
    p = {name: graph.variable(f"p_{name}", fixed=True) for name in equation.coefficients}
    bias = graph.variable("bias", fixed=True)
    unlimited = dict(zip(LIMITS, (-math.inf, math.inf), strict=True))
    own = {name: graph.variable(f"k_{name}", fixed=True) for name in LIMITS}
    k = Names({**constants, **(own if equation.limited else unlimited)})
    *after, fires = equation.step(states, Input(current + bias), Names(p), k, None)
    known = {x: (x, name) for x, name in zip(states, equation.states, strict=True)}
    known[current] = current, equation.states[0]

    def rounded_with(factor: Symbol | None) -> tuple[_Rounding, tuple[Symbol, ...], Symbol]:
        roots = (*after, fires)
        rounding = _Rounding(equation, graph, arithmetic, roots, current, bias, factor, dict(known))
        fixed = tuple(rounding.state(x, name) for x, name in zip(after, equation.states, strict=True))
        return rounding, fixed, rounding.fires(fires)

    rounding, fixed, spike = rounded_with(None)
    if len(rounding.factors) == 1 and None not in rounding.factors:
        rounding, fixed, spike = rounded_with(*rounding.factors)
    ordered = sorted(rounding.constants, key=lambda x: _order(x, equation))
    biased = [x.name for x in ordered if x.role == "addend" and bias in in_order([x.expression])]
    symbols = {x.name: rounding.constants[x] for x in ordered}
    limits = tuple(x.name for x in ordered if _limit_of_v(x.expression))
    return FixedPointStep(fixed, spike, tuple(ordered), symbols, biased[0] if biased else None, rounding.factor, limits)


def _order(constant: Constant, equation: Equation) -> tuple[object, ...]:
    """Constants of sums by their state, those added last; then numbers of states; each as the equation lists them."""
    names = [*equation.coefficients, constant.name]
    in_sum = constant.role in ("factor", "addend")
    state = equation.states.index(constant.of) if in_sum else len(equation.states)
    return (constant.role == "gradient", state, constant.role == "addend", names.index(constant.name), constant.name)
