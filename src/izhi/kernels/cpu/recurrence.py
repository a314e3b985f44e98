"""The neuron over time as two Numba kernels: one pass forward, one backward.

Lanes (batch × neurons) are cut into blocks whose state stays in the first-level cache while the loop
over time reads each input and writes each spike once. Blocks run in parallel, and no number here depends
on how many threads there are; torch's products, before and after, may.

Where spikes are fed back to the layer itself, a block is a few whole samples, which stay with one thread for all
steps: forward, each spike adds its row of the recurrent weights; backward, the gradients of a step's currents go
through them in one product.

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
from izhi.kernels.cpu.events import rows_of
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.cpu.lanes import feed_back, feed_back_by_unit, multiply_factors, spread
from izhi.kernels.cpu.matrix_unit import (
    configure_for,
    has_unit,
    matrix_tiles,
    multiply_samples,
    release_tiles,
    tile_memory,
)
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
from izhi.kernels.cpu.tiles import COLUMNS, ROWS, multiply, tiles_of, whole_tiles
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.plan import Call, Constants, FeedbackKernels, Gradients, Plan

#: Lanes of one block, and steps between two of its states that are kept.
BLOCK, KEEP_EVERY = 1024, 4
#: Samples of a block whose spikes are fed back: enough for a part of R in the cache to serve them all. The way back
#: keeps more of each.
SAMPLES, SAMPLES_BACK = 64, 32
#: The same where the matrix unit multiplies: as many as two tiles have rows.
SAMPLES_OF_UNIT = 32
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
    """What the forward kernel takes besides ``_Arguments``; the last four where spikes are fed back."""

    first: Argument
    spikes: Argument
    kept: Argument
    last: Argument
    most: Argument
    neurons: Argument = 0
    room: Argument = 0
    feedback: Argument = 0
    arriving: Argument = 0


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
    most: Argument
    neurons: Argument = 0
    feedback: Argument = 0
    outputs: Argument = 0
    apart: Argument = 1
    weight: Argument = 0


@cache
def _forward(plan: Plan, fed_back: bool) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, _, shared_coefficients, all_constants = lane_functions(plan)
    rows, states = plan.rows, plan.states
    coupled, biased, shared = plan.coupled, plan.biased, plan.shared
    unit, by_unit = fed_back and plan.dtype == torch.bfloat16, has_unit()

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
        spikes = array(data, own.spikes, (steps, lanes), element)
        kept = array(data, own.kept, (steps, states, lanes), f32)
        last = array(data, own.last, (states, lanes), f32)
        most = BLOCK
        if fed_back:
            most = number(data, own.most)
            feedback, arriving = number(data, own.feedback), array(data, own.arriving, (steps, lanes), element)
            places = np.zeros((most // number(data, own.neurons), number(data, own.neurons)), np.int32)
            counts, sums = np.zeros(len(places), np.int64), np.zeros(number(data, own.room), np.float32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (lanes + most - 1) // most
        if unit:
            tiles = tile_memory(by_unit)
        s = all_constants(constants)
        # Of one piece of memory, and a block's size a constant, so that LLVM sees which of these lie apart from each
        # other: else it would not use vectors.
        room = zero_rows(states + rows + 1, most)
        z, q, bias_of = room[:states], room[states : states + rows], room[states + rows]
        for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
            start = block * most
            size = min(most, lanes - start)
            stop = start + size
            for k in range(states):
                copy(first[k, start:stop], z[k], size)
            if not shared:
                for k in range(rows):
                    spread(p[k], start, size, q[k])
            if biased:
                spread(bias, start, size, bias_of)
            if unit:
                configure_for(tiles, size // places.shape[1])
            same = shared_coefficients(p)
            for t in range(steps):
                if keep_every > 0 and t % keep_every == 0:
                    for k in range(states):
                        copy(z[k], kept[t // keep_every, k, start:stop], size)
                x_t, y_t, spikes_t = x[t, start:stop], y[t, start:stop], spikes[t, start:stop]
                if fed_back:
                    if t > 0:
                        before, onto = spikes[t - 1, start:stop], arriving[t, start:stop]
                        if unit:
                            feed_back_by_unit(tiles, x_t, before, feedback, sums, places.shape[1], onto)
                        else:
                            feed_back(x_t, before, feedback, sums, places, counts, onto)
                    else:
                        copy(x_t, arriving[t, start:stop], size)
                    x_t = arriving[t, start:stop]
                for i in range(size):
                    g = load(y_t[i]) if coupled else zero
                    spikes_t[i] = store(step(z, q, same, load(x_t[i]), g, bias_of, s, i))
            for k in range(states):
                copy(z[k], last[k, start:stop], size)
        if unit:
            release_tiles()

    return forward


@cache
def _backward(plan: Plan, fed_back: bool) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, step_vjp, shared_coefficients, all_constants = lane_functions(plan)
    rows, states, summed = plan.rows, plan.states, len(plan.summed)
    coupled, biased, shared, quantized = plan.coupled, plan.biased, plan.shared, plan.quantized
    unit, by_unit = fed_back and plan.dtype == torch.bfloat16, has_unit()
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
        most = BLOCK
        if fed_back:
            most = number(data, own.most)
            neurons, feedback = number(data, own.neurons), number(data, own.feedback)
            samples, columns = whole_tiles(most // neurons, ROWS), whole_tiles(neurons, COLUMNS)
            of_currents = zero_rows(samples, neurons)
            of_spikes = zero_rows(samples, columns)
            fed = np.zeros(most, np.float32)
        if takes_factors:  # for one kernel of both kinds of gradients; without factors there are 0 outputs
            outputs, apart = number(data, own.outputs), number(data, own.apart)
            g_out = array(data, own.grad_spikes, (steps, lanes // apart, outputs), f32)
            weight = array(data, own.weight, (outputs, apart + OUTPUT_BLOCK), f32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (lanes + most - 1) // most
        if unit:
            tiles = tile_memory(by_unit)
        s = all_constants(constants)
        # Of one piece of memory, as forward.
        room = zero_rows(2 * states + rows + summed + 3, most + OUTPUT_BLOCK)
        z, gz, q = room[:states], room[states : 2 * states], room[2 * states : 2 * states + rows]
        others = room[2 * states + rows :]
        bias_of, bias_sum, made, total = others[0], others[1], others[2], others[3:]
        path = empty_rows(states * min(keep_every, steps), most)
        for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
            start = block * most
            size = min(most, lanes - start)
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
            if fed_back:
                for i in range(size):
                    fed[i] = f32(0)
            if unit:
                configure_for(tiles, size // neurons)
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
                        if fed_back:
                            gs += fed[i]
                        g = load(y_t[i]) if coupled else zero
                        gx, gy = step_vjp(
                            before, z, gz, q, same, load(x_t[i]), g, bias_of, gs, total, bias_sum, s, i
                        )  # fmt: skip
                        grad_x_t[i] = store(gx)
                        if coupled:
                            grad_y_t[i] = store(gy)
                    if unit and begin + t > 0:
                        for column in range(0, neurons, 32):
                            multiply_samples(
                                tiles, grad_x_t.ctypes.data, size // neurons, neurons, feedback, column,
                                fed.ctypes.data + 4 * column, 4 * neurons,
                            )  # fmt: skip
                    elif fed_back and begin + t > 0:
                        copy(grad_x_t, of_currents.reshape(-1), size)
                        multiply(of_currents, feedback, of_spikes)
                        for b in range(size // neurons):
                            copy(of_spikes[b], fed[b * neurons : (b + 1) * neurons], neurons)
            for k in range(states):
                copy(gz[k], grad_first[k, start:stop], size)
            if biased:
                copy(bias_sum, grad_bias[start:stop], size)
            for k in range(summed):
                copy(total[k], grad_p[k, start:stop], size)
        if unit:
            release_tiles()

    return backward


def _pieces(call: Call) -> int:
    """Pieces of work: blocks, but no more than are worth a thread."""
    steps, lanes = call.current.shape
    return min(-(-lanes // BLOCK), max(1, steps * lanes // _WORTH))


def _arguments(call: Call, keep_every: int) -> _Arguments:
    steps, lanes = call.current.shape
    return _Arguments(steps, lanes, call.coefficients.shape[1], call.bias.shape[0], keep_every, *call[:-1])


def forward(
    plan: Plan, call: Call, state: torch.Tensor, keep_every: int,
    into: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step.

    Spikes and last state are written ``into`` tensors that are there, or new ones.
    """
    steps, lanes = call.current.shape
    spikes, last = into or (arena.empty_like(call.current), arena.empty_like(state))
    parts = -(-steps // keep_every) if keep_every else 0
    kept = arena.empty(parts, plan.states, lanes)
    own = _Forward(state, spikes, kept, last, BLOCK)
    launch(_forward(plan, False), *_arguments(call, keep_every), *own, pieces=_pieces(call))
    return spikes, kept, last


def _whole_samples(lanes: int, neurons: int, samples: int) -> int:
    """Lanes of a block of whole samples: few enough for every thread to have some."""
    return max(1, min(samples, -(-lanes // neurons // torch.get_num_threads()))) * neurons


def _forward_fed_back(
    plan: Plan, call: Call, state: torch.Tensor, keep: bool, feedback: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """As ``forward``, with R·spikes[t−1] added to the current of t > 0; and currents with that, (T, lanes).

    Args:
        keep: whether states are kept, for the backward pass.
        feedback: R, (N, N).
    """
    (steps, lanes), neurons = call.current.shape, len(feedback)
    spikes, arriving, last = arena.empty_like(call.current), arena.empty_like(call.current), arena.empty_like(state)
    keep_every = KEEP_EVERY if keep else 0
    kept = arena.empty(-(-steps // KEEP_EVERY) if keep else 0, plan.states, lanes)
    if plan.dtype == torch.bfloat16:
        rows, most, room = matrix_tiles(feedback.t()), _whole_samples(lanes, neurons, SAMPLES_OF_UNIT), 32 * 32
    else:
        rows, most = rows_of(feedback), _whole_samples(lanes, neurons, SAMPLES)
        room = rows.shape[2]
    own = _Forward(state, spikes, kept, last, most, neurons, room, rows, arriving)
    launch(_forward(plan, True), *_arguments(call, keep_every), *own, pieces=-(-lanes // most))
    return spikes, kept, last, arriving


def backward(
    plan: Plan, call: Call, kept: torch.Tensor, keep_every: int,
    grad_spikes: torch.Tensor, grad_last: torch.Tensor,
) -> Gradients:  # fmt: skip
    """Gradients of everything that went in."""
    return _gradients(plan, call, kept, keep_every, grad_spikes, grad_last, None)


def _backward_fed_back(
    plan: Plan, call: Call, kept: torch.Tensor, grad_spikes: torch.Tensor, grad_last: torch.Tensor,
    feedback: torch.Tensor,
) -> Gradients:  # fmt: skip
    """As ``backward``, of what ``_forward_fed_back`` kept; the call is that with the currents which it gave."""
    return _gradients(plan, call, kept, KEEP_EVERY, grad_spikes, grad_last, feedback)


def in_pairs(gradient: LowRankGradient) -> tuple[torch.Tensor, torch.Tensor, int]:
    """g (T, B, O) and W (O, N) in float32, with zeros where O is odd, and the even O."""
    g, weight = (x.float() for x in gradient.factors)
    if g.shape[2] % 2:
        g, weight = torch.nn.functional.pad(g, (0, 1)), torch.nn.functional.pad(weight, (0, 0, 0, 1))
    return g.contiguous(), weight.contiguous(), g.shape[2]


def _gradients(
    plan: Plan, call: Call, kept: torch.Tensor, keep_every: int, grad_spikes: torch.Tensor, grad_last: torch.Tensor,
    feedback: torch.Tensor | None,
) -> Gradients:  # fmt: skip
    lanes = call.current.shape[1]
    grad_x, grad_first = arena.empty_like(call.current), arena.empty_like(grad_last)
    grad_y = arena.empty_like(call.conductance) if plan.coupled else None
    grad_bias = arena.empty(lanes) if plan.biased else None
    grad_p = arena.empty(len(plan.summed), lanes) if plan.summed else None
    own = _Backward(
        kept, grad_spikes, grad_last, grad_x, 0 if grad_y is None else grad_y, grad_first,
        0 if grad_bias is None else grad_bias, 0 if grad_p is None else grad_p, BLOCK,
    )  # fmt: skip
    pieces = _pieces(call)
    if feedback is not None:
        most = _whole_samples(lanes, len(feedback), SAMPLES_BACK)
        tiles = tiles_of if plan.dtype == torch.float32 else matrix_tiles
        pieces, own = -(-lanes // most), own._replace(most=most, neurons=len(feedback), feedback=tiles(feedback))
    if isinstance(grad_spikes, LowRankGradient):
        g, weight, outputs = in_pairs(grad_spikes)
        padded = torch.nn.functional.pad(weight, (0, OUTPUT_BLOCK))
        own = own._replace(grad_spikes=g, outputs=outputs, apart=weight.shape[1], weight=padded)
    launch(_backward(plan, feedback is not None), *_arguments(call, keep_every), *own, pieces=pieces)
    return Gradients(grad_x, grad_y, grad_first, grad_bias, grad_p)


FEEDBACK = FeedbackKernels(_forward_fed_back, _backward_fed_back)
