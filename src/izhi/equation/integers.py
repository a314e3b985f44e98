"""A step in integers, written from the step in fixed-point numbers: what hardware computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from izhi.equation.emit import Dialect, function, statements
from izhi.equation.equation import Equation
from izhi.equation.fixed_point import Format, fixed_point_step
from izhi.equation.graph import StepGraph, Symbol


def _word(node: Symbol, args: list[str]) -> str:
    if node.op == "rounded":
        # A product of two states has the bits of two of them, one with a coefficient those of the coefficient.
        state = str(node.args[1].args[0].value).partition(".")[0]
        return f"rounded_shift({args[0]}, formats.{f'{state}.' if node.value == 'product' else ''}fraction)"
    if node.op == "clip":
        return f"saturated({args[0]}, formats.{args[1].partition('.')[0]})"
    if node.op == "spike":
        return f"{args[0]} {'>' if node.value == 'strict' else '>='} 0"
    if node.op == "not":
        return f"~{args[0]}"
    return f"chosen({', '.join(args)})"


_DIALECT = Dialect(lambda x: str(int(x)), _word, transparent=("hold", "bounded", "single", "double"))


def integer_step(
    equation: Equation, constants: Sequence[str], words: dict[str, Callable[..., Any]], bias: str | None = None
) -> Callable[..., Any]:
    """The function (v, u, current, formats, *constants) → v, u and whether the neuron fires.

    Numpy runs it on arrays, and Numba compiles it for single numbers.

    Args:
        equation: of the neuron, whose states are v, or v and u.
        constants: names of its coefficients, and of the bias, in the order of the arguments.
        words: the functions rounded_shift, saturated and chosen.
        bias: the name of the bias among the constants; None if another one contains it.
    """
    graph = StepGraph()
    states = tuple(graph.variable(name) for name in equation.states)
    formats = {name: Format(*(graph.variable(f"{name}.{x}") for x in Format._fields)) for name in equation.states}
    values = {name: graph.variable(name) for name in constants}
    of_equation = {name: x for name, x in values.items() if name != bias}
    limits = {name: graph.variable(name) for name in ("v_low", "v_high", "jacobian_limit", "per_span")}
    *after, fires = fixed_point_step(
        equation, graph, states, graph.variable("current"), values[bias] if bias else None, of_equation, limits, formats
    )
    names = {x: str(x.value) for f in formats.values() for x in f if isinstance(x, Symbol)}
    names |= {x: str(x.value) for x in (*states, graph.variable("current"), *values.values(), *limits.values())}
    lines, results = statements((*after, fires), _DIALECT, names)
    if len(states) == 1:
        results.insert(1, "u")
    arguments = f"v, u, current, formats, {', '.join(constants)}"
    return function("update", arguments, [*lines, f"return {', '.join(results)}"], words)


__all__ = ["integer_step"]
