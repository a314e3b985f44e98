"""The neuron over time as two Triton kernels, by the same method as ``izhi.kernels.cpu.recurrence``.

A program holds the state of a block of lanes in registers over all steps. The backward pass computes
the states between two kept ones again, into a buffer of keep_every steps.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from izhi.kernels.dynamics import dynamics
from izhi.kernels.plan import Call, Constants, FeedbackKernels, Gradients, LayerKernels, Plan
from izhi.kernels.vocabulary import Vocabulary

#: Lanes of one program.
BLOCK = 256


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _jit(function: Callable[..., Any]) -> Any:
    """triton.jit for functions that use variables of the function around them.

    The interpreter looks names up among a function's globals only, so those variables are put there.
    """
    around = inspect.getclosurevars(function).nonlocals
    seen = types.FunctionType(
        function.__code__, {**function.__globals__, **around, "tl": tl}, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    seen.__annotations__, seen.__module__ = function.__annotations__, function.__module__
    seen.__qualname__ = function.__qualname__
    return triton.jit(seen)


def _constant(value: Any) -> Any:
    return value if is_interpreted() else tl.constexpr(value)


@triton.jit
def _select(condition, a, b):  # type: ignore[no-untyped-def]
    return tl.where(condition, a, b)


@triton.jit
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    # A state that is no number stays one, as on a CPU, instead of becoming a limit.
    return tl.minimum(tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL), high, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _exp(x):  # type: ignore[no-untyped-def]
    return tl.exp(x)


@triton.jit
def _absolute(x):  # type: ignore[no-untyped-def]
    return tl.abs(x)


@triton.jit
def _wide(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float64)


@triton.jit
def _narrow(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float32)


@triton.jit
def _rounded(x, scale, unit):  # type: ignore[no-untyped-def]
    return tl.floor(x * scale + 0.5) * unit


WORDS = Vocabulary(
    inlined=_jit,
    constant=_constant,
    number=_constant,
    select=_select,
    clip=_clip,
    exp=_exp,
    absolute=_absolute,
    wide=_wide,
    narrow=_narrow,
    rounded=_rounded,
)


@triton.jit
def _two(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask)


@triton.jit
def _three(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask)


@triton.jit
def _four(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask), tl.load(at + 3 * width, mask)


@triton.jit
def _eleven(p, width, lane, mask):  # type: ignore[no-untyped-def]
    at = p + lane % width
    return (
        tl.load(at, mask), tl.load(at + width, mask), tl.load(at + 2 * width, mask),
        tl.load(at + 3 * width, mask), tl.load(at + 4 * width, mask), tl.load(at + 5 * width, mask),
        tl.load(at + 6 * width, mask), tl.load(at + 7 * width, mask), tl.load(at + 8 * width, mask),
        tl.load(at + 9 * width, mask), tl.load(at + 10 * width, mask),
    )  # fmt: skip


@triton.jit
def _add(total, value, mask):  # type: ignore[no-untyped-def]
    tl.store(total, tl.load(total, mask) + value, mask)


@triton.jit
def _add_two(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[0], mask)
    _add(total + lanes, d[1], mask)


@triton.jit
def _add_three(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[0], mask)
    _add(total + lanes, d[1], mask)
    _add(total + 2 * lanes, d[2], mask)


@triton.jit
def _add_four(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[0], mask)
    _add(total + lanes, d[1], mask)
    _add(total + 2 * lanes, d[2], mask)
    _add(total + 3 * lanes, d[3], mask)


@triton.jit
def _add_eleven(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[0], mask)
    _add(total + lanes, d[1], mask)
    _add(total + 2 * lanes, d[2], mask)
    _add(total + 3 * lanes, d[3], mask)
    _add(total + 4 * lanes, d[4], mask)
    _add(total + 5 * lanes, d[5], mask)
    _add(total + 6 * lanes, d[6], mask)
    _add(total + 7 * lanes, d[7], mask)
    _add(total + 8 * lanes, d[8], mask)
    _add(total + 9 * lanes, d[9], mask)
    _add(total + 10 * lanes, d[10], mask)


@triton.jit
def _add_third(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[2], mask)


@triton.jit
def _add_fourth(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[3], mask)


@triton.jit
def _add_eleventh(total, lanes, d, mask):  # type: ignore[no-untyped-def]
    _add(total, d[10], mask)


#: By their number: how they are read, and gradients of all of them or of the last added.
_COEFFICIENTS = {
    2: (_two, _add_two, None), 3: (_three, _add_three, _add_third), 4: (_four, _add_four, _add_fourth),
    11: (_eleven, _add_eleven, _add_eleventh),
}  # fmt: skip


@cache
def _forward(plan: Plan) -> Any:
    arrive, _, advance, _ = dynamics(plan, WORDS)
    collect, _, _ = _COEFFICIENTS[plan.rows]
    two, coupled, filtered, biased = (_constant(x) for x in (plan.own == 2, plan.coupled, plan.filtered, plan.biased))
    own, states = _constant(plan.own), _constant(plan.states)

    @_jit
    def forward(  # type: ignore[no-untyped-def]
        x, y, bias, p, first, spikes, kept, last, steps, lanes, width, bias_width, keep_every,
        dt, substep, v_low, v_high, jacobian_limit, span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high, i_low, i_high,
        trace_scale, trace_unit, trace_low, trace_high, block: tl.constexpr,
    ):  # fmt: skip
        s = (
            dt, substep, v_low, v_high, jacobian_limit, span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high, i_low, i_high,
            trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lane = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        mask = lane < lanes
        q = collect(p, width, lane, mask)
        v = tl.load(first + lane, mask)
        u, a, b, bias_of = v, v, v, tl.zeros_like(v)
        if two:
            u = tl.load(first + lanes + lane, mask)
        if filtered:
            a = tl.load(first + own * lanes + lane, mask)
            b = tl.load(first + (states - 1) * lanes + lane, mask)
        if biased:
            bias_of = tl.load(bias + lane % bias_width, mask)
        for t in range(steps):
            if keep_every > 0:
                if t % keep_every == 0:
                    at = kept + (t // keep_every) * states * lanes + lane
                    tl.store(at, v, mask)
                    if two:
                        tl.store(at + lanes, u, mask)
                    if filtered:
                        tl.store(at + (states - 1) * lanes, b, mask)
                        tl.store(at + own * lanes, a, mask)
            row = t * lanes + lane
            current = tl.load(x + row, mask).to(tl.float32)
            g = tl.zeros_like(current)
            if coupled:
                g = tl.load(y + row, mask).to(tl.float32)
            if filtered:
                a, b, current, g = arrive(current, g, a, b, s)
            v, u, spike = advance(v, u, current, g, bias_of, q, s)
            tl.store(spikes + row, spike, mask)
        tl.store(last + lane, v, mask)
        if two:
            tl.store(last + lanes + lane, u, mask)
        if filtered:
            tl.store(last + (states - 1) * lanes + lane, b, mask)
            tl.store(last + own * lanes + lane, a, mask)

    return forward


@cache
def _backward(plan: Plan) -> Any:
    arrive, arrive_back, advance, retreat = dynamics(plan, WORDS)
    collect, add, add_last = _COEFFICIENTS[plan.rows]
    if plan.learn == "gain":
        add = add_last
    two, coupled, filtered, biased = (_constant(x) for x in (plan.own == 2, plan.coupled, plan.filtered, plan.biased))
    learn, learn_decay = _constant(plan.learn != "none"), _constant(plan.learn == "all")
    own, states, rows = (_constant(x) for x in (plan.own, plan.states, plan.rows))

    @_jit
    def backward(  # type: ignore[no-untyped-def]
        grad_spikes, x, y, bias, p, kept, path, grad_last,
        grad_x, grad_y, grad_first, grad_bias, grad_p,
        steps, lanes, width, bias_width, keep_every,
        dt, substep, v_low, v_high, jacobian_limit, span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high, i_low, i_high,
        trace_scale, trace_unit, trace_low, trace_high, block: tl.constexpr,
    ):  # fmt: skip
        s = (
            dt, substep, v_low, v_high, jacobian_limit, span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high, i_low, i_high,
            trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lane = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        mask = lane < lanes
        q = collect(p, width, lane, mask)
        gv = tl.load(grad_last + lane, mask)
        zero = gv * 0.0
        gu, ga, gb, bias_of, bias_sum = gv, zero, zero, zero, zero
        if two:
            gu = tl.load(grad_last + lanes + lane, mask)
        if filtered:
            ga = tl.load(grad_last + own * lanes + lane, mask)
            gb = tl.load(grad_last + (states - 1) * lanes + lane, mask)
        if biased:
            bias_of = tl.load(bias + lane % bias_width, mask)
        parts = (steps + keep_every - 1) // keep_every
        for ahead in range(parts):
            part = parts - 1 - ahead
            begin = part * keep_every
            length = tl.minimum(keep_every, steps - begin)
            at = kept + part * states * lanes + lane
            v = tl.load(at, mask)
            u, a, b = v, zero, zero
            if two:
                u = tl.load(at + lanes, mask)
            if filtered:
                a = tl.load(at + own * lanes, mask)
                b = tl.load(at + (states - 1) * lanes, mask)
            for t in range(length):
                here = path + t * states * lanes + lane
                tl.store(here, v, mask)
                if two:
                    tl.store(here + lanes, u, mask)
                if filtered:
                    tl.store(here + (states - 1) * lanes, b, mask)
                    tl.store(here + own * lanes, a, mask)
                row = (begin + t) * lanes + lane
                current = tl.load(x + row, mask).to(tl.float32)
                g = tl.zeros_like(current)
                if coupled:
                    g = tl.load(y + row, mask).to(tl.float32)
                if filtered:
                    a, b, current, g = arrive(current, g, a, b, s)
                v, u, spike = advance(v, u, current, g, bias_of, q, s)
            tl.debug_barrier()
            for behind in range(length):
                t = length - 1 - behind
                here = path + t * states * lanes + lane
                ahead_v = v
                v = tl.load(here, mask)
                u = v
                if two:
                    u = tl.load(here + lanes, mask)
                row = (begin + t) * lanes + lane
                arriving = tl.load(x + row, mask).to(tl.float32)
                beside = tl.zeros_like(arriving)
                if coupled:
                    beside = tl.load(y + row, mask).to(tl.float32)
                current, g = arriving, beside
                if filtered:
                    a = tl.load(here + own * lanes, mask)
                    b = tl.load(here + (states - 1) * lanes, mask)
                    before_a, before_b, current, g = arrive(arriving, beside, a, b, s)
                gs = tl.load(grad_spikes + row, mask).to(tl.float32)
                gv, gu, gc, gg, to_bias, gp = retreat(v, u, current, g, bias_of, gv, gu, gs, ahead_v, q, s)
                if learn:
                    add(grad_p + lane, lanes, gp, mask)
                if biased:
                    bias_sum += to_bias
                if filtered:
                    gc, gg, grad_decay = arrive_back(arriving, beside, a, b, ga, gb, gc, gg, s)
                    if learn_decay:
                        _add(grad_p + rows * lanes + lane, grad_decay, mask)
                    ga, gb = decay * gc, decay * gg
                tl.store(grad_x + row, gc, mask)
                if coupled:
                    tl.store(grad_y + row, gg, mask)
            tl.debug_barrier()
        tl.store(grad_first + lane, gv, mask)
        if two:
            tl.store(grad_first + lanes + lane, gu, mask)
        if filtered:
            tl.store(grad_first + (states - 1) * lanes + lane, gb, mask)
            tl.store(grad_first + own * lanes + lane, ga, mask)
        if biased:
            tl.store(grad_bias + lane, bias_sum, mask)

    return backward


def _launch(kernel: Any, call: Call, lanes: int, tensors: tuple[Any, ...], keep_every: int) -> None:
    sizes = (len(call.current), lanes, call.coefficients.shape[1], max(1, call.bias.shape[0]))
    # Products and sums must stay apart: contracted, spikes at the threshold would differ.
    options: dict[str, Any] = {} if is_interpreted() else {"enable_fp_fusion": False}
    constants = Constants(*call.constants.tolist())._asdict()
    kernel[(triton.cdiv(lanes, BLOCK),)](*tensors, *sizes, keep_every, **constants, block=BLOCK, **options)


def feedback(dtype: torch.dtype, neurons: int) -> FeedbackKernels | None:
    """Kernels that take recurrent weights themselves: there are none yet."""
    return None


def layer(plan: Plan) -> LayerKernels | None:
    """Kernels that take the product in front of the neurons too: there are none yet."""
    return None


def forward(
    plan: Plan, call: Call, state: torch.Tensor, keep_every: int,
    into: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step.

    Spikes and last state are written ``into`` tensors that are there, or new ones.
    """
    steps, lanes = call.current.shape
    spikes, last = into or (torch.empty_like(call.current), torch.empty_like(state))
    kept = state.new_empty(-(-steps // keep_every) if keep_every else 0, plan.states, lanes)
    tensors = (
        call.current, call.conductance, call.bias, call.coefficients, state, spikes, kept, last,
    )  # fmt: skip
    _launch(_forward(plan), call, lanes, tensors, keep_every)
    return spikes, kept, last


def backward(
    plan: Plan, call: Call, kept: torch.Tensor, keep_every: int,
    grad_spikes: torch.Tensor, grad_last: torch.Tensor,
) -> Gradients:  # fmt: skip
    """Gradients of everything that went in."""
    steps, lanes = call.current.shape
    none = grad_last.new_empty(0)
    grad_x, grad_first = torch.empty_like(call.current), torch.empty_like(grad_last)
    grad_y = torch.empty_like(call.conductance) if plan.coupled else None
    grad_bias = grad_last.new_empty(lanes) if plan.biased else None
    grad_p = grad_last.new_zeros(len(plan.summed), lanes) if plan.summed else None
    path = grad_last.new_empty(min(keep_every, steps), plan.states, lanes)
    tensors = (
        grad_spikes, call.current, call.conductance, call.bias, call.coefficients, kept, path,
        grad_last, grad_x, none if grad_y is None else grad_y, grad_first,
        none if grad_bias is None else grad_bias, none if grad_p is None else grad_p,
    )  # fmt: skip
    _launch(_backward(plan), call, lanes, tensors, keep_every)
    return Gradients(grad_x, grad_y, grad_first, grad_bias, grad_p)
