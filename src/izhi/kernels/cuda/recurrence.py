"""The neuron over time as two Triton kernels, by the same method as ``izhi.kernels.cpu.recurrence``.

A program holds the state of a block of lanes in registers over all steps. The backward pass computes
the states between two kept ones again, into a buffer of keep_every steps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl

from izhi.kernels.cuda.lane import lane_functions
from izhi.kernels.cuda.launch import jit, launch
from izhi.kernels.cuda.scalars import constant
from izhi.kernels.events import WORD
from izhi.kernels.plan import Call, Gradients, Plan

#: Lanes of one program.
BLOCK = 256
#: Steps whose numbers are on their way from memory while one computes, and that one; where a target copies meanwhile.
STAGES = 4


@cache
def _forward(plan: Plan) -> Any:
    of_lane = lane_functions(plan)
    step, load, store, coefficients = of_lane.step, of_lane.load, of_lane.store, of_lane.coefficients
    coupled, biased, states = (constant(x) for x in (plan.coupled, plan.biased, plan.states))
    filtered, stages = constant(plan.form.filtered), constant(STAGES)

    @jit
    def forward(  # type: ignore[no-untyped-def]
        x, y, bias, p, decay_at, first, spikes, kept, last, steps, lanes, width, bias_width, keep_every, neurons,
        dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
        third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
        i_low, i_high, trace_scale, trace_unit, trace_low, trace_high, block: tl.constexpr, as_bits: tl.constexpr,
    ):  # fmt: skip
        if filtered:
            decay = tl.load(decay_at)
        s = (
            dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
            third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
            i_low, i_high, trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lanes = tl.cast(lanes, tl.int64)  # a step of them, times steps, may not fit 32 bits
        lane = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        mask = lane < lanes
        word = tl.zeros((block,), tl.int32)
        of_sample = lane // neurons * ((steps + 31) // 32) * neurons + lane % neurons
        q = coefficients(p, width, lane, mask)
        z = load(first, lanes, lane, mask)
        bias_of = tl.zeros_like(z[0])
        if biased:
            bias_of = tl.load(bias + lane % bias_width, mask)
        for t in tl.range(steps, num_stages=stages):
            if keep_every > 0:
                if t % keep_every == 0:
                    store(kept + (t // keep_every) * states * lanes, lanes, lane, z, mask)
            row = t * lanes + lane
            current = tl.load(x + row, mask).to(tl.float32)
            g = tl.zeros_like(current)
            if coupled:
                g = tl.load(y + row, mask).to(tl.float32)
            z, spike = step(z, q, current, g, bias_of, s)
            if as_bits:
                word = word | ((spike != 0).to(tl.int32) << (t % 32))
                is_whole = (t % 32 == 31) | (t == steps - 1)
                tl.store(spikes + of_sample + t // 32 * neurons, word, mask & is_whole)
                word = tl.where(is_whole, 0, word)
            else:
                tl.store(spikes + row, spike, mask)
        store(last, lanes, lane, z, mask)

    return forward


@cache
def _backward(plan: Plan) -> Any:
    step, step_vjp, load, store, coefficients, no_sums, add, store_sums = lane_functions(plan)
    coupled, biased, states = (constant(x) for x in (plan.coupled, plan.biased, plan.states))
    learn, filtered, stages = constant(bool(plan.learn)), constant(plan.form.filtered), constant(STAGES)

    @jit
    def backward(  # type: ignore[no-untyped-def]
        grad_spikes, x, y, bias, p, decay_at, kept, path, grad_last,
        grad_x, grad_y, grad_first, grad_bias, grad_p,
        steps, lanes, width, bias_width, keep_every,
        dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
        third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
        i_low, i_high, trace_scale, trace_unit, trace_low, trace_high, block: tl.constexpr,
    ):  # fmt: skip
        if filtered:
            decay = tl.load(decay_at)
        s = (
            dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
            third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
            i_low, i_high, trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lanes = tl.cast(lanes, tl.int64)  # a step of them, times steps, may not fit 32 bits
        lane = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
        mask = lane < lanes
        q = coefficients(p, width, lane, mask)
        gz = load(grad_last, lanes, lane, mask)
        bias_of, bias_sum, sums = tl.zeros_like(gz[0]), tl.zeros_like(gz[0]), no_sums(gz[0])
        if biased:
            bias_of = tl.load(bias + lane % bias_width, mask)
        parts = (steps + keep_every - 1) // keep_every
        for ahead in range(parts):
            part = parts - 1 - ahead
            begin = part * keep_every
            length = tl.minimum(keep_every, steps - begin)
            z = load(kept + part * states * lanes, lanes, lane, mask)
            for t in tl.range(length, num_stages=stages):
                store(path + t * states * lanes, lanes, lane, z, mask)
                row = (begin + t) * lanes + lane
                current = tl.load(x + row, mask).to(tl.float32)
                g = tl.zeros_like(current)
                if coupled:
                    g = tl.load(y + row, mask).to(tl.float32)
                z, spike = step(z, q, current, g, bias_of, s)
            tl.debug_barrier()
            for behind in tl.range(length, num_stages=stages):
                t = length - 1 - behind
                after = z
                z = load(path + t * states * lanes, lanes, lane, mask)
                row = (begin + t) * lanes + lane
                current = tl.load(x + row, mask).to(tl.float32)
                g = tl.zeros_like(current)
                if coupled:
                    g = tl.load(y + row, mask).to(tl.float32)
                gs = tl.load(grad_spikes + row, mask).to(tl.float32)
                gz, gx, gy, to_bias, summed = step_vjp(z, after, gz, q, current, g, bias_of, gs, s)
                if learn:
                    sums = add(sums, summed)
                if biased:
                    bias_sum += to_bias
                tl.store(grad_x + row, gx, mask)
                if coupled:
                    tl.store(grad_y + row, gy, mask)
            tl.debug_barrier()
        store(grad_first, lanes, lane, gz, mask)
        if learn:
            store_sums(grad_p, lanes, lane, sums, mask)
        if biased:
            tl.store(grad_bias + lane, bias_sum, mask)

    return backward


def _launch(kernel: Any, call: Call, tensors: tuple[Any, ...], *numbers: int, **constants: int) -> None:
    steps, lanes = call.current.shape
    sizes = (steps, lanes, call.coefficients.shape[1], max(1, call.bias.shape[0]), *numbers)
    grid = (triton.cdiv(lanes, BLOCK),)
    launch(kernel, grid, *tensors, *sizes, *call.constants.tolist(), block=BLOCK, **constants)


def forward(
    plan: Plan, call: Call, state: torch.Tensor, keep_every: int,
    into: tuple[torch.Tensor, torch.Tensor] | None = None, batch: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step.

    Spikes and last state are written ``into`` tensors that are there, or new ones. Of ``batch`` samples, spikes are
    words (B, ⌈T/32⌉, N); of 0, numbers.
    """
    steps, lanes = call.current.shape
    neurons = lanes // max(1, batch)
    if into is None:
        of_bits = (batch, triton.cdiv(steps, WORD), neurons)
        spikes = state.new_empty(of_bits, dtype=torch.int32) if batch else torch.empty_like(call.current)
        into = spikes, torch.empty_like(state)
    spikes, last = into
    kept = state.new_empty(-(-steps // keep_every) if keep_every else 0, plan.states, lanes)
    tensors = (
        call.current, call.conductance, call.bias, call.coefficients, call.decay, state, spikes, kept, last,
    )  # fmt: skip
    _launch(_forward(plan), call, tensors, keep_every, neurons, as_bits=int(batch > 0))
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
    grad_p = grad_last.new_empty(len(plan.learn), lanes) if plan.learn else None
    path = grad_last.new_empty(min(keep_every, steps), plan.states, lanes)
    tensors = (
        grad_spikes, call.current, call.conductance, call.bias, call.coefficients, call.decay, kept, path,
        grad_last, grad_x, none if grad_y is None else grad_y, grad_first,
        none if grad_bias is None else grad_bias, none if grad_p is None else grad_p,
    )  # fmt: skip
    _launch(_backward(plan), call, tensors, keep_every)
    return Gradients(grad_x, grad_y, grad_first, grad_bias, grad_p)
