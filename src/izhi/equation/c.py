"""A step in integers as a function of C99, for processors without floating point."""

from __future__ import annotations

from collections.abc import Sequence

from izhi.equation.emit import Dialect, statements
from izhi.equation.graph import Symbol
from izhi.equation.integers import FRACTION, IntegerStep, bits_gained

#: Functions that a step calls; an arithmetic shift to the right of negative numbers, as every compiler has it.
HEADER = """#include <stdint.h>

static inline int64_t rounded_shift(int64_t x, int n) { return (x + ((INT64_C(1) << n) >> 1)) >> n; }
static inline int64_t aligned(int64_t x, int n) { return x * (INT64_C(1) << n); }
static inline int64_t clamped(int64_t x, int64_t low, int64_t high)
{
    const int64_t least = x < low ? low : x;
    return least > high ? high : least;
}
static inline int64_t saturated(int64_t x, int width)
{
    return clamped(x, -(INT64_C(1) << (width - 1)), (INT64_C(1) << (width - 1)) - 1);
}
"""


def c_function(step: IntegerStep, formats: Sequence[tuple[int, int]], fraction: int, name: str) -> str:
    """A function of one neuron's step, to be compiled behind ``HEADER``.

        int NAME(int32_t *z, int32_t current, const int32_t *p);

    It returns whether the neuron fires; z, the states, become those after the step; p has the constants of the step in
    their order.

    Args:
        step: in integers.
        formats: width and fraction of each state.
        fraction: of the coefficients.
        name: of the function.
    """
    of_state = dict(zip(step.states, formats, strict=True))
    fractions = {FRACTION: fraction, **{state: x for state, (_, x) in of_state.items()}}

    def word(node: Symbol, args: list[str]) -> str:
        if node.op == "saturated":
            return f"saturated({args[0]}, {of_state[str(node.value)][0]})"
        if node.op in ("shift", "aligned"):
            gained = bits_gained(node, fractions)
            return f"aligned({args[0]}, {gained})" if node.op == "aligned" else f"rounded_shift({args[0]}, {-gained})"
        if node.op == "select":
            return f"{args[0]} ? {args[1]} : {args[2]}"
        if node.op == "absolute":
            return f"{args[0]} < 0 ? -{args[0]} : {args[0]}"
        return f"!{args[0]}" if node.op == "not" else f"clamped({', '.join(args)})"

    places = {state: f"z[{k}]" for k, state in enumerate(step.states)}
    places |= {x.name: f"p[{k}]" for k, x in enumerate(step.constants)}
    variables = {x: f"x_{x.value}" for x in step.nodes if x.op == "variable"}
    reads = [f"const int64_t {variable} = {places.get(str(x.value), 'current')};" for x, variable in variables.items()]
    lines, (*after, fires) = statements(step.results, Dialect(lambda x: str(int(x)), word, ()), variables)
    body = [*reads, *(f"const int64_t {line};" for line in lines)]
    body += [f"z[{k}] = (int32_t){x};" for k, x in enumerate(after)]
    text = "".join(f"    {line}\n" for line in [*body, f"return (int){fires};"])
    return f"int {name}(int32_t *z, int32_t current, const int32_t *p)\n{{\n{text}}}\n"
