"""A layer, product and neurons, over time as one Triton kernel forward, for spikes that are bits.

A program makes the currents of one sample for 64 neurons and 32 steps, of the inputs alone that fire in it, writes them
once in bfloat16, and takes the neurons through these steps. The way back is that of the neurons alone, with all lanes
at once, and then the gradient of the weights from bits: to do both for one sample after another, as on a CPU, would
leave most of a GPU idle.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from izhi.kernels.cuda import events, recurrence
from izhi.kernels.cuda.events import currents_of
from izhi.kernels.cuda.lane import lane_functions
from izhi.kernels.cuda.launch import jit, launch
from izhi.kernels.cuda.scalars import constant
from izhi.kernels.events import WORD
from izhi.kernels.lazy import dense
from izhi.kernels.plan import Call, LayerCall, LayerGradients, LayerKernels, Plan


@cache
def _forward(plan: Plan) -> Any:
    of_lane = lane_functions(plan)
    step, load, store, coefficients = of_lane.step, of_lane.load, of_lane.store, of_lane.coefficients
    biased, states, filtered = (constant(x) for x in (plan.biased, plan.states, plan.form.filtered))

    @jit
    def forward(  # type: ignore[no-untyped-def]
        gathered, places, counts, rows, bias, p, decay_at, first, fired, currents, kept, last,
        steps, batch, chunks, inputs, room, neurons, width, keep,
        dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
        decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
        third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
        i_low, i_high, trace_scale, trace_unit, trace_low, trace_high, block: tl.constexpr, group: tl.constexpr,
    ):  # fmt: skip
        if filtered:
            decay = tl.load(decay_at)
        s = (
            dt, substep, v_low, v_high, jacobian_limit, per_span, surrogate_first, surrogate_second,
            decay, implicit, v_scale, v_unit, u_scale, u_unit, u_low, u_high,
            third_scale, third_unit, third_low, third_high, fourth_scale, fourth_unit, fourth_low, fourth_high,
            i_low, i_high, trace_scale, trace_unit, trace_low, trace_high,
        )  # fmt: skip
        sample = tl.program_id(0).to(tl.int64)
        neuron = tl.program_id(1) * block + tl.arange(0, block)
        mask, lane, lanes = neuron < neurons, sample * neurons + neuron, tl.cast(batch, tl.int64) * neurons
        q = coefficients(p, width, neuron, mask)
        z = load(first, lanes, lane, mask)
        bias_of = tl.zeros_like(z[0])
        if biased:
            bias_of = tl.load(bias + neuron, mask)
        count, of_sample = tl.load(counts + sample), places + sample * inputs
        for c in range(chunks):
            of_steps = gathered + (sample * chunks + c) * room
            sums = currents_of(of_steps, of_sample, count, rows, neurons, neuron, block, group)
            # Without keeping them, those of every 32 steps are written to the same place.
            begin, length = c * 32 * keep, tl.minimum(32, steps - c * 32)
            t = tl.arange(0, 32)
            to = currents + (begin + t)[:, None] * lanes + lane[None, :]
            tl.store(to, sums.to(tl.bfloat16), (t < length)[:, None] & mask[None, :])
            if keep > 0:
                store(kept + c * states * lanes, lanes, lane, z, mask)
            tl.debug_barrier()
            word = tl.zeros((block,), tl.int32)
            for k in range(length):
                current = tl.load(currents + (begin + k) * lanes + lane, mask).to(tl.float32)
                z, spike = step(z, q, current, tl.zeros_like(current), bias_of, s)
                word = word | (spike.to(tl.int32) << k)
            tl.store(fired + (sample * chunks + c) * neurons + neuron, word, mask)
            tl.debug_barrier()
        store(last, lanes, lane, z, mask)

    return forward


def forward(
    plan: Plan, call: LayerCall, state: Tensor, keep: bool, spikes_learn: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes as words (B, ⌈T/32⌉, N), currents (T, lanes), states (⌈T/32⌉, states, lanes), the state after the end."""
    found, neurons = call.events, len(call.weight)
    (batch, chunks, inputs), lanes = found.words.shape, state.shape[1]
    fired, last = found.words.new_empty(batch, chunks, neurons), torch.empty_like(state)
    currents = state.new_empty(found.steps if keep else min(WORD, found.steps), lanes, dtype=torch.bfloat16)
    kept = state.new_empty(chunks if keep else 0, plan.states, lanes)
    block = events.block_of(neurons)
    grid = (batch, triton.cdiv(neurons, block))
    if lanes:
        launch(
            _forward(plan), grid, found.gathered, found.places, found.counts, events.rows_of(call.weight), call.bias,
            call.coefficients, call.decay, state, fired, currents, kept, last, found.steps, batch, chunks, inputs,
            found.gathered.shape[2], neurons, call.coefficients.shape[1], int(keep), *call.constants.tolist(),
            block=block, group=events.GROUP, num_warps=max(1, block // 32),
        )  # fmt: skip
    return fired, currents, kept, last


def backward(
    plan: Plan, call: LayerCall, currents: Tensor, kept: Tensor, grad_spikes: Tensor, grad_last: Tensor | None,
    wants_first: bool, needs_input_grad: bool,
) -> LayerGradients:  # fmt: skip
    """Gradients of everything that went in, but for the spikes."""
    steps, neurons = call.events.steps, len(call.weight)
    arriving = dense(grad_spikes).to(plan.dtype).contiguous().view(steps, -1)
    last = kept.new_zeros(plan.states, currents.shape[1]) if grad_last is None else grad_last
    alone = Call(currents, currents.new_empty(steps, 0), *call[2:])
    g = recurrence.backward(plan, alone, kept, WORD, arriving, last)
    of_currents = g.current.view(steps, -1, neurons)
    return LayerGradients(
        events.weight_gradient(call.events, of_currents),
        g.state if wants_first else None,
        None if g.bias is None else g.bias.view(-1, neurons).sum(0),
        g.coefficients,
        of_currents if needs_input_grad else None,
    )


LAYER = LayerKernels(forward, backward)
