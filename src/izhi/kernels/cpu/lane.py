"""A lane's step as functions that Numba compiles into the loops over time, written from its equation.

With the ops of another library, such as NumPy, the same statements run without a compiler.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from izhi.equation.emit import PYTHON, function, statements, tuple_of
from izhi.equation.graph import Symbol, in_order
from izhi.kernels.cpu.scalars import OPS
from izhi.kernels.lane import differentiate, record, words_of
from izhi.kernels.ops import OpSet, Scalar
from izhi.kernels.plan import Constants, Plan


class LaneFunctions(NamedTuple):
    """What a loop over lanes calls for lane i; arrays have a row for each state or coefficient.

    Attributes:
        step: (z, q, same, current, conductance, bias, s, i) → spike; z becomes the states after the step. Coefficients
            are those of q, or ``same`` where all neurons share them.
        step_vjp: (before, ahead, gz, q, same, current, conductance, bias, g_spike, summed, bias_sum, s, i) → gradients
            of current and conductance; gz becomes the gradients of the states before the step, and those of
            coefficients and bias are added to ``summed`` and ``bias_sum``. ``ahead``, states after the step, becomes
            ``before`` where states are quantised, and is not read otherwise.
        shared: (coefficients) → ``same``, of the first column.
        constants: (array) → s.
    """

    step: Scalar
    step_vjp: Scalar
    shared: Scalar
    constants: Scalar


def _function(ops: OpSet, name: str, arguments: str, lines: Iterable[str]) -> Scalar:
    return ops.inlined(function(name, arguments, lines, words_of(ops)))


def _loaded(roots: Iterable[Symbol], places: dict[Symbol, str]) -> tuple[list[str], dict[Symbol, str]]:
    """Statements that read the variables of some results, and their names."""
    used = [node for node in in_order(roots) if node in places]
    return [f"{node.value} = {places[node]}" for node in used], {node: str(node.value) for node in used}


@cache
def lane_functions(plan: Plan, ops: OpSet = OPS) -> LaneFunctions:
    """The functions of a plan, in the ops of a compiler or of an array library."""
    lane = record(plan.form)
    arriving = {lane.current: "current", lane.conductance: "conductance", lane.bias: "bias[i]"}
    fixed = {x: f"same[{k}]" if plan.shared else f"q[{k}, i]" for k, x in enumerate(lane.coefficients.values())}
    fixed |= {x: f"s[{k}]" for k, x in enumerate(lane.constants.values())}
    loads, names = _loaded((*lane.after, lane.spike), {
        **arriving, **fixed, **{x: f"z[{k}, i]" for k, x in enumerate(lane.states)},
    })  # fmt: skip
    lines, (*after, fires) = statements((*lane.after, lane.spike), PYTHON, names)
    stores = [f"z[{k}, i] = {x}" for k, x in enumerate(after)]
    step = _function(
        ops, "step", "z, q, same, current, conductance, bias, s, i", [*loads, *lines, *stores, f"return {fires}"]
    )
    first = tuple_of(f"coefficients[{k}, 0]" for k in range(plan.rows))
    every = tuple_of(f"constants[{k}]" for k in range(len(Constants._fields)))
    return LaneFunctions(
        step,
        _step_vjp(plan, ops, {**arriving, **fixed}),
        _function(ops, "shared", "coefficients", [f"return {first}"]),
        _function(ops, "all_constants", "constants", [f"return {every}"]),
    )


def _step_vjp(plan: Plan, ops: OpSet, places: dict[Symbol, str]) -> Scalar:
    lane, g = record(plan.form), differentiate(plan)
    variable = lane.spike.graph.variable
    places = {
        **places, **{x: f"before[{k}, i]" for k, x in enumerate(lane.states)},
        **{variable(f"g{k}"): f"gz[{k}, i]" for k in range(plan.states)}, g.ahead: "ahead[0, i]",
        variable("g_spike"): "g_spike",
    }  # fmt: skip
    roots = (*g.states, g.current, g.conductance, *g.summed, *([g.bias] if plan.biased else []))
    loads, names = _loaded(roots, places)
    lines, found = statements(roots, PYTHON, names)
    of_states, (current, conductance), others = found[: plan.states], found[plan.states :][:2], found[plan.states + 2 :]
    stores = [f"gz[{k}, i] = {x}" for k, x in enumerate(of_states)]
    stores += [f"summed[{k}, i] += {x}" for k, x in enumerate(others[: len(g.summed)])]
    stores += [f"bias_sum[i] += {x}" for x in others[len(g.summed) :]]
    if plan.quantized:
        stores.append("ahead[0, i] = before[0, i]")
    arguments = "before, ahead, gz, q, same, current, conductance, bias, g_spike, summed, bias_sum, s, i"
    return _function(ops, "step_vjp", arguments, [*loads, *lines, *stores, f"return {current}, {conductance}"])
