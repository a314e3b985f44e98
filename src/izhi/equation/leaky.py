"""Whether an equation is that of a leaky integrate-and-fire neuron, in other words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from izhi.equation.equation import Equation, recorded
from izhi.equation.graph import Symbol, in_order, number_of

Numbers = NDArray[np.float64]
_FUNCTIONS = {"exp": np.exp, "absolute": np.abs}


class LeakyForm(NamedTuple):
    """The numbers of v ← β·(v − rest) + rest + k·I, a spike when v exceeds a threshold, and a reset in that step.

    Attributes:
        beta: β.
        factor: k.
        rest: of v without input; 0 where β is 1.
        threshold: of v.
        v_reset: v after a spike; None for v − (threshold − rest).
        is_strict: whether v has to exceed the threshold, not only to reach it.
    """

    beta: Numbers
    factor: Numbers
    rest: Numbers
    threshold: Numbers
    v_reset: Numbers | None
    is_strict: bool


class _Affine(NamedTuple):
    """v·(v before the step) + current·I + constant."""

    v: Numbers
    current: Numbers
    constant: Numbers

    @property
    def is_constant(self) -> bool:
        return not (self.v.any() or self.current.any())

    def plus(self, other: _Affine, sign: int = 1) -> _Affine:
        return _Affine(*(a + sign * b for a, b in zip(self, other, strict=True)))

    def times(self, factor: Numbers) -> _Affine:
        return _Affine(*(a * factor for a in self))


class _NotAffine(Exception):
    """A step has a product of states, or a function of one."""


def leaky_form(equation: Equation, values: Mapping[str, Numbers]) -> LeakyForm | None:
    """The leaky integrate-and-fire form of an equation; None if it has another.

    Args:
        equation: of any neuron.
        values: of its coefficients by name, arrays of one shape.
    """
    step = recorded(equation)
    if len(step.states) != 1 or step.results[-1].op != "spike":
        return None
    fires, known = step.results[-1], {symbol: values[name] for name, symbol in step.coefficients.items()}
    zeros = np.zeros_like(next(iter(values.values()), np.zeros(())))
    start = {symbol: _Affine(zeros, zeros, value + zeros) for symbol, value in known.items()}
    start |= {step.states[0]: _Affine(zeros + 1, zeros, zeros), step.current: _Affine(zeros, zeros + 1, zeros)}
    try:
        quiet, distance = _evaluated([step.results[0], fires.args[0]], start, fires, is_firing=False)
        after, _ = _evaluated([step.results[0], fires.args[0]], start, fires, is_firing=True)
    except _NotAffine:
        return None
    return _form(quiet, after, distance, is_strict=fires.value == "strict")


def _form(quiet: _Affine, after: _Affine, distance: _Affine, *, is_strict: bool) -> LeakyForm | None:
    """The form of v without a spike, v after one, and the number that is at least 0 at a spike."""
    beta, factor = quiet.v, quiet.current
    if not (np.all((beta >= 0) & (beta <= 1)) and np.all(factor != 0)):
        return None
    scale = distance.current / factor
    if not (np.all(scale > 0) and np.allclose(distance.v, scale * beta, rtol=1e-12, atol=0)):
        return None
    if np.any((beta == 1) & (quiet.constant != 0)):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(beta == 1, 0.0, quiet.constant / (1 - beta))
    threshold = quiet.constant - distance.constant / scale
    change = after.plus(quiet, -1)
    if after.is_constant:
        v_reset = after.constant
    elif change.is_constant and np.allclose(-change.constant, threshold - rest, rtol=1e-12, atol=0):
        v_reset = None
    else:
        return None
    if np.any(threshold <= rest) or (v_reset is not None and np.any(v_reset >= threshold)):
        return None
    return LeakyForm(beta, factor, rest, threshold, v_reset, is_strict)


def _evaluated(
    roots: list[Symbol], start: Mapping[Symbol, _Affine], fires: Symbol, *, is_firing: bool
) -> list[_Affine]:
    """The roots in a step with or without a spike."""
    zeros = next(iter(start.values())).v * 0
    results: dict[Symbol, _Affine] = dict(start)
    conditions: dict[Symbol, bool] = {}
    for node in in_order([fires, *roots]):  # conditions are compared with that of the spike
        if node in results:
            continue
        if node is fires:
            results[node] = _Affine(zeros, zeros, zeros + is_firing)
        elif node.op in (">=", ">"):
            distance = results[node.args[0]].plus(results[node.args[1]], -1)
            conditions[node] = _is_same(node, distance, fires, results.get(fires.args[0])) == is_firing
        elif node.op == "not" and node.args[0] in conditions:
            conditions[node] = not conditions[node.args[0]]
        elif node.op == "select" and node.args[0] in conditions:
            results[node] = results[node.args[1 if conditions[node.args[0]] else 2]]
        else:
            results[node] = _operation(node, [results[x] for x in node.args if x in results], zeros)
    return [results[root] for root in roots]


def _is_same(node: Symbol, distance: _Affine, fires: Symbol, of_spike: _Affine | None) -> bool:
    """Whether a comparison holds where the neuron fires; False if where it does not; _NotAffine for another one."""
    if of_spike is None or np.any(of_spike.current == 0):
        raise _NotAffine
    scale = distance.current / of_spike.current
    is_strict = (node.op == ">") == (fires.value == "strict")
    if all(np.allclose(a, scale * b, rtol=1e-12, atol=0) for a, b in zip(distance, of_spike, strict=True)):
        if is_strict and np.all(scale > 0):
            return True
        if not is_strict and np.all(scale < 0):
            return False
    raise _NotAffine


def _operation(node: Symbol, args: list[_Affine], zeros: Numbers) -> _Affine:
    op = node.op
    if op == "constant":
        return _Affine(zeros, zeros, zeros + number_of(node))
    if len(args) != len(node.args) or op == "variable":
        raise _NotAffine
    if op in ("hold", "bounded"):
        return args[0]
    if op == "negative":
        return args[0].times(zeros - 1)
    if op in ("+", "-"):
        return args[0].plus(args[1], 1 if op == "+" else -1)
    if op == "*" and any(x.is_constant for x in args):
        factor, other = args if args[0].is_constant else args[::-1]
        return other.times(factor.constant)
    if op == "/" and args[1].is_constant and np.all(args[1].constant != 0):
        return args[0].times(1 / args[1].constant)
    if op in _FUNCTIONS and args[0].is_constant:
        return _Affine(zeros, zeros, _FUNCTIONS[op](args[0].constant))
    raise _NotAffine
