"""One time step of a lane, synapse and neuron, recorded for a plan, and its gradients.

A lane is one neuron of one sample. The reference and the kernels of every device are written from what ``record``
returns.
"""

from __future__ import annotations

import math
from functools import cache, partial
from typing import NamedTuple

from izhi.equation import Input, Names, StepGraph, Symbol, gradients
from izhi.equation.fixed_point import Format, Values, fixed_point_step
from izhi.equation.graph import in_order, is_number, substitute
from izhi.equation.synapse import exponential, exponential_in_fixed_point
from izhi.equation.words import absolute, clip, double, exp, rounded, select, single
from izhi.kernels.ops import OpSet
from izhi.kernels.plan import FORMATS_OF, INPUT_GAIN, Constants, Plan, StepForm

#: The ops of symbols, in which the formula of a surrogate is recorded.
_SYMBOLS = OpSet(
    inlined=lambda function: function, constant=lambda value: value, number=float, select=select, clip=clip, exp=exp,
    absolute=absolute, wide=lambda x: double(x, x), narrow=single, rounded=rounded,
)  # fmt: skip


class Lane(NamedTuple):
    """A step as a graph.

    Attributes:
        states: before the step: the neuron's own, then the traces of the synapse, of current and conductance.
        current, conductance, bias: what arrives.
        coefficients, constants: by name.
        after: the states after the step.
        spike: 1 where the neuron fires, else 0.
    """

    states: tuple[Symbol, ...]
    current: Symbol
    conductance: Symbol
    bias: Symbol
    coefficients: dict[str, Symbol]
    constants: dict[str, Symbol]
    after: tuple[Symbol, ...]
    spike: Symbol


class LaneGradients(NamedTuple):
    """The gradients of a step, of the variables "g_" and a state's place after it, and "g_spike".

    Attributes:
        states: before the step.
        current, conductance, bias: of what arrives.
        summed: of the coefficients ``Plan.learn``.
        ahead: a variable that stands for v after the step.
    """

    states: tuple[Symbol, ...]
    current: Symbol
    conductance: Symbol
    bias: Symbol
    summed: tuple[Symbol, ...]
    ahead: Symbol


def words_of(ops: OpSet) -> dict[str, object]:
    """What functions of a compiler's ops call, by the names of their words."""
    return {
        "number": ops.number, "zero": ops.number(0.0), "one": ops.number(1.0), "select": ops.select, "clip": ops.clip,
        "exp": ops.exp, "absolute": ops.absolute, "double": ops.wide, "single": ops.narrow, "rounded": ops.rounded,
    }  # fmt: skip


def constants_of(graph: StepGraph) -> dict[str, Symbol]:
    """The constants of a call, by name."""
    return {name: graph.variable(f"k_{name}", fixed=True) for name in Constants._fields}


@cache
def record(form: StepForm) -> Lane:
    """The step of synapse and neuron."""
    graph = StepGraph()
    equation = form.equation
    states = tuple(graph.variable(f"z{k}") for k in range(form.states))
    current, conductance, bias = (graph.variable(name) for name in ("current", "conductance", "bias"))
    coefficients = {name: graph.variable(f"p_{name}", fixed=True) for name in equation.coefficients}
    constants = constants_of(graph)
    own, traces = states[: form.own], states[form.own :]
    k = Names({**constants, **({} if form.limited else {"jacobian_limit": math.inf})})
    arriving = Input(current, conductance if form.coupled else None)
    if form.filtered and form.quantized:
        traces = (exponential_in_fixed_point(current, traces[0], k), *traces[1:])
        arriving = arriving._replace(current=traces[0])
    elif form.filtered:
        traces, arriving = exponential(arriving, traces, k)
    if form.quantized:
        gain = graph.variable(f"p_{INPUT_GAIN}", fixed=True)
        gained = double(gain, current) * double(arriving.current, current)
        scale, unit, low, high = (double(constants[x], current) for x in ("v_scale", "v_unit", "i_low", "i_high"))
        formats = {
            name: Format(*(constants[f"{f}_{x}"] for x in ("scale", "unit", "low", "high")))
            for name, f in zip(equation.states, FORMATS_OF, strict=False)
        }
        driving = single(clip(rounded(gained, scale, unit), low, high))
        step = fixed_point_step(equation, graph, own, driving, Values(formats), vars(k))
        *after, fires = *step.after, step.spike
        coefficients = {**{name: x for name, x in step.symbols.items() if name != step.bias}, INPUT_GAIN: gain}
        bias = bias if step.bias is None else step.symbols[step.bias]
    else:
        if form.biased:
            arriving = arriving._replace(current=arriving.current + bias)
        state_quant = partial(graph.node, "state_quant") if form.state_quant else None
        *after, fires = equation.step(own, arriving, Names(coefficients), k, state_quant)
    return Lane(states, current, conductance, bias, coefficients, constants, (*after, *traces), fires)


@cache
def differentiate(plan: Plan) -> LaneGradients:
    """The gradients of the step of a plan."""
    lane = record(plan.form)
    graph = lane.spike.graph
    formula, k = plan.surrogate.formula(_SYMBOLS), Names(lane.constants)
    cotangents = {x: graph.constant(0) for x in (*lane.after, lane.spike)}
    for name, x in (*((f"g{k}", x) for k, x in enumerate(lane.after)), ("g_spike", lane.spike)):
        cotangents[x] = cotangents[x] + graph.variable(name)
    learned = (*lane.coefficients.values(), lane.constants["decay"])
    wrt = (*lane.states, lane.current, lane.conductance, lane.bias, *(learned[k] for k in plan.learn))
    ahead = graph.variable("v_ahead")
    found = gradients(cotangents, wrt, lambda x: formula(x, k.surrogate_first, k.surrogate_second))
    if plan.quantized:  # v after the step is slow to compute again
        found = _with_known(found, lane.after[0], ahead)
    states, (current, conductance, bias, *summed) = tuple(found[: plan.states]), found[plan.states :]
    return LaneGradients(states, current, conductance, bias, tuple(summed), ahead)


def _with_known(roots: list[Symbol], after: Symbol, ahead: Symbol) -> list[Symbol]:
    """The gradients with v after the step given, also where it stands for the v of neurons that were not reset."""
    known = {after: ahead}
    if after.op == "select":
        condition, _, integrated = after.args
        factors = [x for node in in_order(roots) if integrated in node.args for x in node.args if x is not integrated]
        if all(x.op == "select" and x.args[0] is condition and is_number(x.args[1], 0) for x in factors):
            known[integrated] = ahead
    return substitute(roots, known)
