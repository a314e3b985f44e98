"""The words in which a neuron's step is written, beside + − · / and comparisons.

    @izhi.neuron(states="v", parameters=dict(beta=0.9, threshold=1.0))
    def leaky(v, I, p):
        v = p.beta * v + I
        s = izhi.spike(v - p.threshold)
        return v - izhi.hold(s) * p.threshold, s

Each word has one meaning forward, one in the backward pass and one in integers; docs/your-own-neuron.md has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, overload

from izhi.equation.graph import Operand, Symbol, fail


def _symbol(x: Operand, word: str) -> Symbol:
    if not isinstance(x, Symbol):
        fail(f"{word} has the operand {x!r}, expected a symbol")
    return x


def select(condition: Symbol, a: Operand, b: Operand) -> Symbol:
    """a where the condition holds, else b; the gradient goes to the one that was selected."""
    if not (isinstance(condition, Symbol) and condition.kind == "condition"):
        fail(f"select has the condition {condition!r}, expected a comparison such as v >= p.threshold")
    graph = condition.graph
    a, b = graph.lift(a), graph.lift(b)
    if "double" in (a.kind, b.kind):
        a, b = double(a, condition), double(b, condition)
    return a if a is b else graph.node("select", condition, a, b)


def clip(x: Symbol, low: Operand, high: Operand) -> Symbol:
    """x within limits; the gradient passes as if there were none, so that a clipped neuron can still learn."""
    return _symbol(x, "clip").graph.node("clip", x, low, high)


@overload
def exp(x: Symbol) -> Symbol: ...
@overload
def exp(x: float) -> float: ...
def exp(x: Operand) -> Operand:
    """e to the power of x."""
    return x.graph.node("exp", x) if isinstance(x, Symbol) else math.exp(x)


@overload
def absolute(x: Symbol) -> Symbol: ...
@overload
def absolute(x: float) -> float: ...
def absolute(x: Operand) -> Operand:
    """|x|; its derivative at 0 is 0."""
    return x.graph.node("absolute", x) if isinstance(x, Symbol) else abs(x)


def hold(x: Symbol) -> Symbol:
    """x without its gradient."""
    return _symbol(x, "hold").graph.node("hold", x)


def bounded(function: Callable[[Symbol], Symbol], x: Symbol, limit: Operand) -> Symbol:
    """function(x), with its derivative by x limited to −limit … limit in the backward pass.

    Gradients of everything else in the function are its own. An infinite limit is none.
    """
    if limit == math.inf:
        return function(x)
    return _symbol(x, "bounded").graph.node("bounded", function(hold(x)), x, limit)


def spike(x: Symbol, *, scale: Operand = 1.0, strict: bool = False) -> Symbol:
    """1 where x ≥ 0, x > 0 if ``strict``, else 0; its derivative is the surrogate gradient at scale·x, times scale."""
    return _symbol(x, "spike").graph.node("spike", x, scale, value="strict" if strict else None)


def double(x: Operand, like: Symbol) -> Symbol:
    """x in double precision, in which products of fixed-point numbers are exact."""
    node = like.graph.lift(x)
    return node if node.kind == "double" or node.op == "constant" else node.graph.node("double", node, kind="double")


def single(x: Symbol) -> Symbol:
    """x in single precision."""
    if x.op == "double":
        return x.args[0]
    return x if x.kind == "single" else x.graph.node("single", x, kind="single")


def rounded(x: Symbol, scale: Operand, unit: Operand, *, of: Literal["sum", "product"] = "sum") -> Symbol:
    """x rounded to a multiple of unit = 1/scale, halves upwards; the gradient passes straight through.

    ``of`` tells integers how many bits to drop: those of the coefficients, or those of one of two states.
    """
    return x.graph.node("rounded", x, scale, unit, value=of)
