"""The neuron over time as two Numba kernels: one pass forward, one backward.

Lanes (batch × neurons) are cut into blocks whose state stays in the first-level cache while the loop
over time reads each input and writes each spike once. Blocks run in parallel, and no number here depends
on how many threads there are; torch's products, before and after, may.

The forward pass keeps the state of every k-th step. The backward pass computes the states
between two of them again, into memory of its own that fits the second-level cache, and then goes back
through them: that is cheaper than reading them from memory, exact in every format, and gives
gradients of all coefficients.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.cpu.lanes import multiply_factors, spread
from izhi.kernels.cpu.parallel import (
    Argument,
    Kernel,
    argument_places,
    array,
    compile_kernel,
    copy,
    empty_rows,
    launch,
    number,
    share,
    wide_vectors,
    zero_rows,
)
from izhi.kernels.cpu.rows import OUTPUT_BLOCK
from izhi.kernels.cpu.scalars import codec, f32, zero
from izhi.kernels.events import WORD
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.plan import Call, Constants, Gradients, Plan

#: Lanes of one block.
BLOCK = 1024
#: Steps of lanes that are worth a thread.
_WORTH = 16384
_CONSTANTS = len(Constants._fields)


class _Arguments(NamedTuple):
    """What both kernels take: sizes, then the tensors of a ``Call`` up to its constants."""

    steps: Argument
    lanes: Argument
    width: Argument
    bias_width: Argument
    keep_every: Argument
    current: Argument
    conductance: Argument
    bias: Argument
    coefficients: Argument
    constants: Argument


class _Forward(NamedTuple):
    """What the forward kernel takes besides ``_Arguments``."""

    first: Argument
    spikes: Argument
    kept: Argument
    last: Argument
    neurons: Argument


class _Backward(NamedTuple):
    """What the backward kernel takes besides ``_Arguments``."""

    kept: Argument
    grad_spikes: Argument
    grad_last: Argument
    grad_x: Argument
    grad_y: Argument
    grad_first: Argument
    grad_bias: Argument
    grad_p: Argument
    outputs: Argument = 0
    apart: Argument = 1
    weight: Argument = 0


@cache
def _forward(plan: Plan, as_bits: bool) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, _, shared_coefficients, all_constants = lane_functions(plan)
    rows, states = plan.rows, plan.states
    coupled, biased, shared = plan.coupled, plan.biased, plan.shared

    call, own = argument_places(_Arguments), argument_places(_Forward, behind=_Arguments)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        steps, lanes, keep_every = number(data, call.steps), number(data, call.lanes), number(data, call.keep_every)
        width, bias_width = number(data, call.width), number(data, call.bias_width)
        x = array(data, call.current, (steps, lanes), element)
        y = array(data, call.conductance, (steps, lanes), element)
        bias = array(data, call.bias, bias_width, f32)
        p = array(data, call.coefficients, (rows, width), f32)
        constants = array(data, call.constants, _CONSTANTS, f32)
        first = array(data, own.first, (states, lanes), f32)
        if as_bits:
            neurons = number(data, own.neurons)
            words = array(data, own.spikes, (lanes // neurons, (steps + WORD - 1) // WORD, neurons), np.uint32)
        else:
            spikes = array(data, own.spikes, (steps, lanes), element)
        kept = array(data, own.kept, (steps, states, lanes), f32)
        last = array(data, own.last, (states, lanes), f32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (lanes + BLOCK - 1) // BLOCK
        s = all_constants(constants)
        # Of one piece of memory, and a block's size a constant, so that LLVM sees which of these lie apart from each
        # other: else it would not use vectors.
        room = zero_rows(states + rows + 2, BLOCK)
        z, q, bias_of = room[:states], room[states : states + rows], room[states + rows]
        fired = room[states + rows + 1].view(np.uint32)
        for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            stop = start + size
            for k in range(states):
                copy(first[k, start:stop], z[k], size)
            if not shared:
                for k in range(rows):
                    spread(p[k], start, size, q[k])
            if biased:
                spread(bias, start, size, bias_of)
            same = shared_coefficients(p)
            for t in range(steps):
                if keep_every > 0 and t % keep_every == 0:
                    for k in range(states):
                        copy(z[k], kept[t // keep_every, k, start:stop], size)
                x_t, y_t = x[t, start:stop], y[t, start:stop]
                if as_bits:
                    bit = np.uint32(t % WORD)
                    for i in range(size):
                        g = load(y_t[i]) if coupled else zero
                        fires = np.uint32(np.int32(step(z, q, same, load(x_t[i]), g, bias_of, s, i)))
                        fired[i] = (fired[i] if bit else np.uint32(0)) | (fires << bit)
                    if bit == WORD - 1 or t == steps - 1:
                        lane = start
                        while lane < stop:
                            sample = lane // neurons
                            end = min(stop, (sample + 1) * neurons)
                            target = words[sample, t // WORD, lane - sample * neurons :]
                            copy(fired[lane - start :], target, end - lane)
                            lane = end
                else:
                    spikes_t = spikes[t, start:stop]
                    for i in range(size):
                        g = load(y_t[i]) if coupled else zero
                        spikes_t[i] = store(step(z, q, same, load(x_t[i]), g, bias_of, s, i))
            for k in range(states):
                copy(z[k], last[k, start:stop], size)

    return forward


@cache
def _backward(plan: Plan) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, step_vjp, shared_coefficients, all_constants = lane_functions(plan)
    rows, states, summed = plan.rows, plan.states, len(plan.learn)
    coupled, biased, shared, quantized = plan.coupled, plan.biased, plan.shared, plan.quantized
    takes_factors = plan.dtype == torch.float32

    call, own = argument_places(_Arguments), argument_places(_Backward, behind=_Arguments)

    @compile_kernel
    def backward(data):  # type: ignore[no-untyped-def]
        steps, lanes, keep_every = number(data, call.steps), number(data, call.lanes), number(data, call.keep_every)
        width, bias_width = number(data, call.width), number(data, call.bias_width)
        x = array(data, call.current, (steps, lanes), element)
        y = array(data, call.conductance, (steps, lanes), element)
        bias = array(data, call.bias, bias_width, f32)
        p = array(data, call.coefficients, (rows, width), f32)
        constants = array(data, call.constants, _CONSTANTS, f32)
        kept = array(data, own.kept, (steps, states, lanes), f32)
        grad_spikes = array(data, own.grad_spikes, (steps, lanes), element)
        grad_last = array(data, own.grad_last, (states, lanes), f32)
        grad_x = array(data, own.grad_x, (steps, lanes), element)
        grad_y = array(data, own.grad_y, (steps, lanes), element)
        grad_first = array(data, own.grad_first, (states, lanes), f32)
        grad_bias = array(data, own.grad_bias, lanes, f32)
        grad_p = array(data, own.grad_p, (summed, lanes), f32)
        if takes_factors:  # for one kernel of both kinds of gradients; without factors there are 0 outputs
            outputs, apart = number(data, own.outputs), number(data, own.apart)
            g_out = array(data, own.grad_spikes, (steps, lanes // apart, outputs), f32)
            weight = array(data, own.weight, (outputs, apart + OUTPUT_BLOCK), f32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (lanes + BLOCK - 1) // BLOCK
        s = all_constants(constants)
        # Of one piece of memory, as forward.
        room = zero_rows(2 * states + rows + summed + 3, BLOCK + OUTPUT_BLOCK)
        z, gz, q = room[:states], room[states : 2 * states], room[2 * states : 2 * states + rows]
        others = room[2 * states + rows :]
        bias_of, bias_sum, made, total = others[0], others[1], others[2], others[3:]
        path = empty_rows(states * min(keep_every, steps), BLOCK)
        for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            stop = start + size
            for k in range(states):
                copy(grad_last[k, start:stop], gz[k], size)
            if not shared:
                for k in range(rows):
                    spread(p[k], start, size, q[k])
            if biased:
                spread(bias, start, size, bias_of)
                for i in range(size):
                    bias_sum[i] = f32(0)
            for k in range(summed):
                for i in range(size):
                    total[k, i] = zero
            same = shared_coefficients(p)
            for back in range((steps + keep_every - 1) // keep_every):
                part = (steps + keep_every - 1) // keep_every - 1 - back
                begin = part * keep_every
                length = min(keep_every, steps - begin)
                for k in range(states):
                    copy(kept[part, k, start:stop], z[k], size)
                for t in range(length):
                    x_t, y_t = x[begin + t, start:stop], y[begin + t, start:stop]
                    for k in range(states):
                        copy(z[k], path[states * t + k], size)
                    if t == length - 1 and not quantized:
                        break  # nothing asks for the state after the last step
                    for i in range(size):
                        g = load(y_t[i]) if coupled else zero
                        step(z, q, same, load(x_t[i]), g, bias_of, s, i)
                for ahead in range(length):
                    t = length - 1 - ahead
                    x_t, y_t = x[begin + t, start:stop], y[begin + t, start:stop]
                    grad_spikes_t = grad_spikes[begin + t, start:stop]
                    if takes_factors:
                        if outputs > 0:
                            multiply_factors(g_out[begin + t], weight, apart, start, size, made)
                        else:
                            copy(grad_spikes_t, made, size)
                    grad_x_t, grad_y_t = (
                        grad_x[begin + t, start:stop],
                        grad_y[begin + t, start:stop],
                    )
                    before = path[states * t : states * t + states]
                    for i in range(size):
                        gs = made[i] if takes_factors else load(grad_spikes_t[i])
                        g = load(y_t[i]) if coupled else zero
                        gx, gy = step_vjp(
                            before, z, gz, q, same, load(x_t[i]), g, bias_of, gs, total, bias_sum, s, i
                        )  # fmt: skip
                        grad_x_t[i] = store(gx)
                        if coupled:
                            grad_y_t[i] = store(gy)
            for k in range(states):
                copy(gz[k], grad_first[k, start:stop], size)
            if biased:
                copy(bias_sum, grad_bias[start:stop], size)
            for k in range(summed):
                copy(total[k], grad_p[k, start:stop], size)

    return backward


def _pieces(call: Call) -> int:
    """Pieces of work: blocks, but no more than are worth a thread."""
    steps, lanes = call.current.shape
    return min(-(-lanes // BLOCK), max(1, steps * lanes // _WORTH))


def _arguments(call: Call, keep_every: int) -> _Arguments:
    steps, lanes = call.current.shape
    return _Arguments(steps, lanes, call.coefficients.shape[1], call.bias.shape[0], keep_every, *call[:-1])


def empty_spikes(call: Call, batch: int) -> torch.Tensor:
    """Memory for spikes (T, lanes), or for words (B, ⌈T/32⌉, N) of ``batch`` samples."""
    if not batch:
        return arena.empty_like(call.current)
    steps, lanes = call.current.shape
    return arena.empty(batch, -(-steps // WORD), lanes // batch, dtype=torch.int32)


def forward(
    plan: Plan, call: Call, state: torch.Tensor, keep_every: int,
    into: tuple[torch.Tensor, torch.Tensor] | None = None, batch: int = 0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step.

    Spikes and last state are written ``into`` tensors that are there, or new ones. Of ``batch`` samples, spikes are
    words (B, ⌈T/32⌉, N); of 0, numbers.
    """
    steps, lanes = call.current.shape
    spikes, last = into or (empty_spikes(call, batch), arena.empty_like(state))
    parts = -(-steps // keep_every) if keep_every else 0
    kept = arena.empty(parts, plan.states, lanes)
    own = _Forward(state, spikes, kept, last, lanes // max(1, batch))
    launch(_forward(plan, batch > 0), *_arguments(call, keep_every), *own, pieces=_pieces(call))
    return spikes, kept, last


def in_pairs(g: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Factors (T, B, O) and (O, N) in float32, with zeros where O is odd, and the even O."""
    g, weight = g.float(), weight.float()
    if g.shape[2] % 2:
        g, weight = torch.nn.functional.pad(g, (0, 1)), torch.nn.functional.pad(weight, (0, 0, 0, 1))
    return g.contiguous(), weight.contiguous(), g.shape[2]


def backward(
    plan: Plan, call: Call, kept: torch.Tensor, keep_every: int,
    grad_spikes: torch.Tensor, grad_last: torch.Tensor,
) -> Gradients:  # fmt: skip
    """Gradients of everything that went in."""
    lanes = call.current.shape[1]
    grad_x, grad_first = arena.empty_like(call.current), arena.empty_like(grad_last)
    grad_y = arena.empty_like(call.conductance) if plan.coupled else None
    grad_bias = arena.empty(lanes) if plan.biased else None
    grad_p = arena.empty(len(plan.learn), lanes) if plan.learn else None
    own = _Backward(
        kept, grad_spikes, grad_last, grad_x, 0 if grad_y is None else grad_y, grad_first,
        0 if grad_bias is None else grad_bias, 0 if grad_p is None else grad_p,
    )  # fmt: skip
    if isinstance(grad_spikes, LowRankGradient):
        g, weight, outputs = in_pairs(*grad_spikes.factors)
        padded = torch.nn.functional.pad(weight, (0, OUTPUT_BLOCK))
        own = own._replace(grad_spikes=g, outputs=outputs, apart=weight.shape[1], weight=padded)
    launch(_backward(plan), *_arguments(call, keep_every), *own, pieces=_pieces(call))
    return Gradients(grad_x, grad_y, grad_first, grad_bias, grad_p)
