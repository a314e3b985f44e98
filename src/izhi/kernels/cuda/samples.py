"""Recurrent neurons over time as two Triton kernels, each of one launch for all steps.

A program has a block of samples and all of their neurons, and goes through these in blocks, once in each step: what a
step's spikes add to the next one is a product of the block's samples with the recurrent weights. Spikes leave as bits.
States and spikes lie in memory between two steps, which is near: they are those of a few samples. The way back finds
the gradients that a step's spikes receive from the next one. All else is then what neurons without recurrence have,
whose kernel (``recurrence.py``) has all lanes at once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from izhi.kernels.cuda import events, recurrence
from izhi.kernels.cuda.lane import lane_functions
from izhi.kernels.cuda.launch import is_interpreted, jit, launch
from izhi.kernels.cuda.scalars import constant
from izhi.kernels.events import WORD
from izhi.kernels.plan import KEEP_EVERY, Call, Plan, SampleCall, SampleGradients, SampleKernels

#: Samples of a program, the fewest of a product on tensor cores; neurons of a block, and of a piece of its product.
ROWS, BLOCK = 16, 32
_FACTORS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


def _factor(plan: Plan) -> Any:
    """What products multiply: the interpreter cannot multiply 16 bits, of which float32 makes the same products."""
    return constant(tl.float32 if is_interpreted() else _FACTORS[plan.dtype])


@cache
def _forward(plan: Plan) -> Any:
    of_lane = lane_functions(plan)
    step, load, store, coefficients = of_lane.step, of_lane.load, of_lane.store, of_lane.coefficients
    coupled, biased, states = (constant(x) for x in (plan.coupled, plan.biased, plan.states))
    filtered, factor = constant(plan.form.filtered), _factor(plan)

    @jit
    def forward(  # type: ignore[no-untyped-def]
        x, y, bias, p, decay_at, of_first, rows, words, currents, kept, last,
        steps, batch, chunks, neurons, width, bias_width, keep_every,
        dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
        third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
        i_low, i_high, trace_scale, trace_unit, trace_low, trace_high, samples: tl.constexpr, block: tl.constexpr,
    ):  # fmt: skip
        if filtered:
            decay = tl.load(decay_at)
        s = (
            dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
            third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
            i_low, i_high, trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lanes = tl.cast(batch, tl.int64) * neurons
        sample = (tl.program_id(0).to(tl.int64) * samples + tl.arange(0, samples))[:, None]
        for t in range(steps):
            for start in range(0, neurons, block):
                neuron = start + tl.arange(0, block)[None, :]
                lane, mask = sample * neurons + neuron, (sample < batch) & (neuron < neurons)
                row = t * lanes + lane
                arriving = tl.zeros((samples, block), tl.float32)
                if t == 0:
                    arriving = tl.load(of_first + lane, mask, 0.0)
                else:
                    of_step = words + (sample * chunks + (t - 1) // 32) * neurons
                    for first in range(0, neurons, block):
                        other, source = first + tl.arange(0, block)[None, :], first + tl.arange(0, block)[:, None]
                        word = tl.load(of_step + other, (sample < batch) & (other < neurons), 0)
                        fired = ((word >> ((t - 1) % 32)) & 1).to(factor)
                        inside = (source < neurons) & (neuron < neurons)
                        weights = tl.load(rows + source * neurons + neuron, inside, 0.0)
                        arriving = tl.dot(fired, weights.to(factor), arriving, input_precision="ieee")
                current = arriving + tl.load(x + row, mask, 0.0).to(tl.float32)
                current = current.to(x.dtype.element_ty).to(tl.float32)
                z = load(last, lanes, lane, mask)
                if keep_every > 0:
                    tl.store(currents + row, current, mask)
                    if t % keep_every == 0:
                        store(kept + (t // keep_every) * states * lanes, lanes, lane, z, mask)
                g = tl.zeros_like(current)
                if coupled:
                    g = tl.load(y + row, mask, 0.0).to(tl.float32)
                bias_of = tl.zeros_like(current)
                if biased:
                    bias_of = tl.load(bias + lane % bias_width, mask, 0.0)
                z, spike = step(z, coefficients(p, width, lane, mask), current, g, bias_of, s)
                store(last, lanes, lane, z, mask)
                at = words + (sample * chunks + t // 32) * neurons + neuron
                word = tl.load(at, mask & (t % 32 != 0), 0) | (spike.to(tl.int32) << (t % 32))
                tl.store(at, word, mask)
            tl.debug_barrier()

    return forward


@cache
def _backward(plan: Plan) -> Any:
    """For a plan that learns nothing."""
    of_lane = lane_functions(plan)
    step, step_vjp, load, store = of_lane.step, of_lane.step_vjp, of_lane.load, of_lane.store
    coefficients = of_lane.coefficients
    coupled, biased, states = (constant(x) for x in (plan.coupled, plan.biased, plan.states))
    filtered, factor = constant(plan.form.filtered), _factor(plan)

    @jit
    def backward(  # type: ignore[no-untyped-def]
        grad_spikes, currents, y, bias, p, decay_at, feedback, kept, path, grad_state, of_currents, arriving,
        steps, batch, neurons, width, bias_width, keep_every,
        dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
        third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
        i_low, i_high, trace_scale, trace_unit, trace_low, trace_high, samples: tl.constexpr, block: tl.constexpr,
    ):  # fmt: skip
        if filtered:
            decay = tl.load(decay_at)
        s = (
            dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
            third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
            i_low, i_high, trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        lanes = tl.cast(batch, tl.int64) * neurons
        sample = (tl.program_id(0).to(tl.int64) * samples + tl.arange(0, samples))[:, None]
        parts = (steps + keep_every - 1) // keep_every
        for ahead in range(parts):
            part = parts - 1 - ahead
            begin = part * keep_every
            length = tl.minimum(keep_every, steps - begin)
            for start in range(0, neurons, block):
                neuron = start + tl.arange(0, block)[None, :]
                lane, mask = sample * neurons + neuron, (sample < batch) & (neuron < neurons)
                q = coefficients(p, width, lane, mask)
                z = load(kept + part * states * lanes, lanes, lane, mask)
                bias_of = tl.zeros_like(z[0])
                if biased:
                    bias_of = tl.load(bias + lane % bias_width, mask, 0.0)
                for t in range(length):
                    store(path + t * states * lanes, lanes, lane, z, mask)
                    current = tl.load(currents + (begin + t) * lanes + lane, mask, 0.0).to(tl.float32)
                    g = tl.zeros_like(current)
                    if coupled:
                        g = tl.load(y + (begin + t) * lanes + lane, mask, 0.0).to(tl.float32)
                    z, spike = step(z, q, current, g, bias_of, s)
                store(path + length * states * lanes, lanes, lane, z, mask)
            tl.debug_barrier()
            for behind in range(length):
                t = length - 1 - behind
                now = begin + t
                of_next, of_this = of_currents + ((now + 1) % 2) * lanes, of_currents + (now % 2) * lanes
                for start in range(0, neurons, block):
                    neuron = start + tl.arange(0, block)[None, :]
                    lane, mask = sample * neurons + neuron, (sample < batch) & (neuron < neurons)
                    row = now * lanes + lane
                    gs = tl.load(grad_spikes + row, mask, 0.0).to(tl.float32)
                    if now + 1 < steps:
                        for first in range(0, neurons, block):
                            other, target = first + tl.arange(0, block)[None, :], first + tl.arange(0, block)[:, None]
                            inside = (sample < batch) & (other < neurons)
                            found = tl.load(of_next + sample * neurons + other, inside, 0.0)
                            inside = (target < neurons) & (neuron < neurons)
                            weights = tl.load(feedback + target * neurons + neuron, inside, 0.0)
                            gs = tl.dot(found.to(factor), weights.to(factor), gs, input_precision="ieee")
                    gs = gs.to(grad_spikes.dtype.element_ty).to(tl.float32)
                    tl.store(arriving + row, gs, mask)
                    current = tl.load(currents + row, mask, 0.0).to(tl.float32)
                    g = tl.zeros_like(current)
                    if coupled:
                        g = tl.load(y + row, mask, 0.0).to(tl.float32)
                    bias_of = tl.zeros_like(current)
                    if biased:
                        bias_of = tl.load(bias + lane % bias_width, mask, 0.0)
                    z = load(path + t * states * lanes, lanes, lane, mask)
                    after = load(path + (t + 1) * states * lanes, lanes, lane, mask)
                    gz, q = load(grad_state, lanes, lane, mask), coefficients(p, width, lane, mask)
                    gz, gx, gy, to_bias, summed = step_vjp(z, after, gz, q, current, g, bias_of, gs, s)
                    store(grad_state, lanes, lane, gz, mask)
                    tl.store(of_this + lane, gx, mask)
                tl.debug_barrier()

    return backward


def forward(
    plan: Plan, call: SampleCall, state: Tensor, batch: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Spikes as words (B, ⌈T/32⌉, N), currents (T, lanes), every k-th state, the state after the last step."""
    assert call.feedback is not None
    steps, lanes = call.current.shape
    chunks, last = -(-steps // WORD), state.clone()
    words = state.new_empty(batch, chunks, lanes // batch, dtype=torch.int32)
    currents = torch.empty_like(call.current) if keep else call.current.new_empty(0)
    kept = state.new_empty(-(-steps // KEEP_EVERY) if keep else 0, plan.states, lanes)
    of_first = state.new_zeros(lanes) if call.of_first is None else call.of_first
    tensors = (
        call.current, call.conductance, call.bias, call.coefficients, call.decay, of_first.contiguous(),
        call.feedback.t().contiguous(), words, currents, kept, last,
    )  # fmt: skip
    _launch(_forward(plan), call, tensors, (steps, batch, chunks), KEEP_EVERY if keep else 0)
    return words, currents, kept, last


def backward(
    plan: Plan, call: SampleCall, words: Tensor, currents: Tensor, kept: Tensor, grad_spikes: Tensor, grad_last: Tensor
) -> SampleGradients:
    """Gradients of everything that went in."""
    assert call.feedback is not None
    (batch, _, neurons), (steps, lanes) = words.shape, currents.shape
    grad_spikes = grad_spikes.contiguous().view(steps, lanes)
    arriving, of_currents = torch.empty_like(grad_spikes), currents.new_empty(2, lanes)
    path = kept.new_empty(KEEP_EVERY + 1, plan.states, lanes)
    tensors = (
        grad_spikes, currents, call.conductance, call.bias, call.coefficients, call.decay, call.feedback, kept, path,
        grad_last.clone(), of_currents, arriving,
    )  # fmt: skip
    _launch(_backward(replace(plan, learn=())), call, tensors, (steps, batch), KEEP_EVERY)
    alone = Call(currents, call.conductance, call.bias, call.coefficients, call.constants, call.decay)
    g = recurrence.backward(plan, alone, kept, KEEP_EVERY, arriving, grad_last)
    of_next = g.current.view(steps, batch, neurons)[1:]
    fired = events.dense(words, steps, plan.dtype)[:-1]
    of_feedback = of_next.flatten(0, 1).t() @ fired.flatten(0, 1)
    return SampleGradients(
        g.current, None, g.conductance, g.state, g.bias, g.coefficients, of_feedback, g.current[0].float()
    )  # fmt: skip


def _launch(kernel: Any, call: SampleCall, tensors: tuple[Tensor, ...], sizes: tuple[int, ...], keep: int) -> None:
    assert call.feedback is not None
    batch, neurons = sizes[1], len(call.feedback)
    launch(
        kernel, (triton.cdiv(batch, ROWS),), *tensors, *sizes, neurons, call.coefficients.shape[1],
        max(1, call.bias.shape[0]), keep, *call.constants.tolist(), samples=ROWS, block=BLOCK,
    )  # fmt: skip


#: Of recurrent neurons alone: few inputs have torch's product.
SAMPLES = SampleKernels(forward, backward)
