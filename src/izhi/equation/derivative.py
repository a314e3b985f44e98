"""Derivatives of a recorded step: reverse mode, with the surrogate gradient of spikes.

Gradients are in single precision, those of conditions and of what is held are 0, and each word of
``izhi.equation.words`` states its own rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from izhi.equation.graph import Operand, Symbol, in_order, is_number
from izhi.equation.words import clip, select, single

#: The derivative of a spike, from its scaled argument.
SurrogateDerivative: TypeAlias = Callable[[Symbol], Operand]
#: What an operation gives each operand of the gradient c of its result.
_Rule: TypeAlias = Callable[[Symbol, Symbol], Iterable[tuple[Symbol, Operand]]]


def gradients(
    cotangents: Mapping[Symbol, Operand], wrt: Sequence[Symbol], surrogate: SurrogateDerivative
) -> list[Symbol]:
    """The gradient of the sum of every cotangent times its node, with respect to each of some nodes.

    Args:
        cotangents: the gradients of the step's results.
        wrt: nodes, such as the state before the step and the coefficients.
        surrogate: the derivative of a spike.
    """
    graph = next(iter(cotangents)).graph
    found: dict[Symbol, Symbol] = {}
    for node, c in cotangents.items():
        found[node] = graph.sum(found.get(node, 0.0), c)
    for node in reversed(in_order(cotangents)):
        if node not in found:
            continue
        rule = _spike_rule(surrogate) if node.op == "spike" else _RULES.get(node.op)
        for operand, c in rule(node, found[node]) if rule else ():
            if operand.op != "constant":
                found[operand] = graph.sum(found.get(operand, 0.0), c)
    return [found.get(node, graph.constant(0)) for node in wrt]


def _spike_rule(surrogate: SurrogateDerivative) -> _Rule:
    def rule(node: Symbol, c: Symbol) -> Iterable[tuple[Symbol, Operand]]:
        x, scale = node.args
        return [(x, c * surrogate(x * scale) * scale)]

    return rule


def _signed(x: Symbol, c: Symbol) -> Symbol:
    """c with the sign of x; 0 where x is 0."""
    return select(x > 0, c, select(x < 0, -c, 0.0))


def _times(c: Symbol, factor: Symbol) -> Symbol:
    """c times a factor; fixed factors are multiplied with one another, which compilers do once for all steps."""
    fixed = c.graph.fixed
    if c.op == "*" and factor in fixed:
        a, b = c.args
        if b in fixed:
            return a * (b * factor)
        if a in fixed:
            return b * (a * factor)
    return c * factor


def _product_rule(node: Symbol, c: Symbol) -> Iterable[tuple[Symbol, Operand]]:
    a, b = node.args
    return (a, _times(c, single(b))), (b, _times(c, single(a)))


def _quotient_rule(node: Symbol, c: Symbol) -> Iterable[tuple[Symbol, Operand]]:
    a, b = node.args
    if is_number(a, 1):  # without a second division
        return ((b, -(c * (single(node) * single(node)))),)
    return (a, c / single(b)), (b, -(c * single(node) / single(b)))


def _bounded_rule(node: Symbol, c: Symbol) -> Iterable[tuple[Symbol, Operand]]:
    inner, x, limit = node.args
    slope = clip(node.graph.lift(slope_of(inner, node.graph.node("hold", x))), -limit, limit)
    return (inner, c), (x, slope * c)


_RULES: dict[str, _Rule] = {
    "+": lambda n, c: ((n.args[0], c), (n.args[1], c)),
    "-": lambda n, c: ((n.args[0], c), (n.args[1], -c)),
    "*": _product_rule,
    "/": _quotient_rule,
    "negative": lambda n, c: ((n.args[0], -c),),
    "select": lambda n, c: ((n.args[1], select(n.args[0], c, 0.0)), (n.args[2], select(n.args[0], 0.0, c))),
    "exp": lambda n, c: ((n.args[0], c * single(n)),),
    "absolute": lambda n, c: ((n.args[0], _signed(n.args[0], c)),),
    "bounded": _bounded_rule,
    "clip": lambda n, c: ((n.args[0], c),),
    "rounded": lambda n, c: ((n.args[0], c),),
    "single": lambda n, c: ((n.args[0], c),),
    "double": lambda n, c: ((n.args[0], c),),
}


def slope_of(root: Symbol, x: Symbol) -> Operand:
    """∂root/∂x, in forward mode, with every other variable fixed."""
    slopes: dict[Symbol, Operand] = {}
    graph = root.graph
    for node in in_order([root]):
        of = [slopes[a] for a in node.args]
        a = node.args
        if node is x:
            slope: Operand = 1.0
        elif node.op in ("+", "-"):
            slope = graph.sum(*of) if node.op == "+" else graph.difference(*of)
        elif node.op == "*":
            slope = graph.sum(graph.product(of[0], single(a[1])), graph.product(single(a[0]), of[1]))
        elif node.op == "/":
            slope = graph.quotient(graph.difference(of[0], graph.product(node, of[1])), a[1])
        elif node.op == "select":
            slope = select(a[0], of[1], of[2])
        elif node.op == "exp":
            slope = graph.product(node, of[0])
        elif node.op == "absolute":
            slope = _signed(a[0], graph.lift(of[0]))
        elif node.op == "negative":
            slope = graph.negative(of[0])
        elif node.op in ("clip", "rounded", "single", "double", "bounded"):
            slope = of[0]
        else:
            slope = 0.0
        slopes[node] = slope
    return slopes[root]
