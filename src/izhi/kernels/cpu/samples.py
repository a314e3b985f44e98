"""Layers with feedback, with few inputs, or both, over time as two Numba kernels that take whole samples.

A block of samples stays with one thread for all steps. What arrives in a step is made there: an input's value times its
weights, if the inputs are few, and for each spike of the step before a row of the recurrent weights. The way back
makes it again, from the spikes, which are kept as bits along time, and the state of every k-th step. It sums the
gradients of both weights as it goes: for each spike, the gradients of the next step's currents are added to a row of
R's. Spikes of a step get theirs through R by one product for all samples of a block. So what a call takes of memory is
those states, and the currents only where they come from elsewhere.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from izhi.compiled import inlined
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.events import rows_of
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.cpu.lanes import add_outer, feed_back, list_spikes, multiply_factors, of_step, spread
from izhi.kernels.cpu.matrix_unit import (
    TILE_ROWS,
    configure_tiles,
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
    array_at,
    compile_kernel,
    copy,
    copy_floats,
    empty_rows,
    launch,
    number,
    share,
    wide_vectors,
    zero_rows,
)
from izhi.kernels.cpu.recurrence import in_pairs
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, SMALL_OUTPUT, add_row_to
from izhi.kernels.cpu.scalars import codec, f32, zero
from izhi.kernels.cpu.tiles import COLUMNS, ROWS, multiply, tiles_of, whole_tiles
from izhi.kernels.events import WORD
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.ops import Value
from izhi.kernels.plan import Constants, Plan, SampleCall, SampleGradients

#: Samples of a block, and steps between two states that are kept: what a block needs of both fits the second-level
#: cache beside a layer's weights.
SAMPLES, KEEP_EVERY = TILE_ROWS, 8
#: Neurons of a block's samples together, without feedback at least, and at most: a constant, by which LLVM sees that
#: arrays of a block lie apart, without which it would not use vectors.
_LANES, MOST_LANES = 1024, 8192
#: Sums of the gradient of R, at least: one for each of so many parts of the samples; and numbers in all of them.
_PARTS, _NUMBERS = 16, 1 << 24
_CONSTANTS = len(Constants._fields)


class _Arguments(NamedTuple):
    """What both kernels take: sizes, then what neurons receive, and what is kept of the forward pass."""

    steps: Argument
    batch: Argument
    neurons: Argument
    samples: Argument
    keep_every: Argument
    inputs: Argument
    width: Argument
    bias_width: Argument
    current: Argument
    weight: Argument
    conductance: Argument
    bias: Argument
    coefficients: Argument
    constants: Argument
    of_first: Argument
    rows: Argument
    room: Argument
    words: Argument
    kept: Argument


class _Forward(NamedTuple):
    """What the forward kernel takes besides ``_Arguments``."""

    first: Argument
    last: Argument


class _Backward(NamedTuple):
    """What the backward kernel takes besides ``_Arguments``."""

    parts: Argument
    tiles: Argument
    grad_spikes: Argument
    step_apart: Argument
    sample_apart: Argument
    outputs: Argument
    weight_above: Argument
    tiles_above: Argument
    grad_last: Argument
    grad_current: Argument
    grad_weight: Argument
    grad_conductance: Argument
    grad_of_first: Argument
    grad_first: Argument
    grad_bias: Argument
    grad_p: Argument
    grad_feedback: Argument


@inlined
def _receive(
    weighted: Value, fed_back: Value, t: Value, values: Value, weight: Value, neurons: Value, start: Value, size: Value,
    of_first: Value, feedback: Value, fired: Value, places: Value, counts: Value, sums: Value, current: Value,
) -> None:  # fmt: skip
    """The currents of a block's step, from those given or by few inputs: on the way back the same as forward."""
    if weighted:
        multiply_factors(values[t], weight, neurons, start, size, current)
    if fed_back and t > 0:
        list_spikes(fired, size, places, counts)
        feed_back(current[:size], places, counts, feedback, sums)
    elif of_first and t == 0:
        before = array_at(of_first + 4 * start, size, f32)
        for i in range(size):
            current[i] += before[i]


@cache
def _forward(plan: Plan, weighted: bool, fed_back: bool) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, _, shared_coefficients, all_constants = lane_functions(plan)
    rows, states = plan.rows, plan.states
    coupled, biased, shared = plan.coupled, plan.biased, plan.shared

    call, own = argument_places(_Arguments), argument_places(_Forward, behind=_Arguments)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        steps, batch, neurons = number(data, call.steps), number(data, call.batch), number(data, call.neurons)
        samples, keep_every = number(data, call.samples), number(data, call.keep_every)
        inputs, room = number(data, call.inputs), number(data, call.room)
        lanes, most, chunks = batch * neurons, samples * neurons, (steps + WORD - 1) // WORD
        x = array(data, call.current, (steps, lanes), element)
        values = array(data, call.current, (steps, batch, inputs), f32)
        weight = array(data, call.weight, (inputs, neurons + OUTPUT_BLOCK), f32)
        y = array(data, call.conductance, (steps, lanes), element)
        bias = array(data, call.bias, number(data, call.bias_width), f32)
        p = array(data, call.coefficients, (rows, number(data, call.width)), f32)
        constants = array(data, call.constants, _CONSTANTS, f32)
        of_first, feedback = number(data, call.of_first), number(data, call.rows)
        words = array(data, call.words, (batch, chunks, neurons), np.uint32)
        kept = array(data, call.kept, (steps, states, lanes), f32)
        first = array(data, own.first, (states, lanes), f32)
        last = array(data, own.last, (states, lanes), f32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (batch + samples - 1) // samples
        s = all_constants(constants)
        same = shared_coefficients(p)
        # Of one piece of memory, so that LLVM sees which of these lie apart from each other.
        whole = zero_rows(states + rows + 5, MOST_LANES + OUTPUT_BLOCK)
        z, q, others = whole[:states], whole[states : states + rows], whole[states + rows :]
        bias_of, current_of, fired, sums = others[0], others[1], others[2], others[3]
        word = array_at(others[4].ctypes.data, most, np.uint32)
        places, counts = np.zeros((samples, neurons), np.int32), np.zeros(samples, np.int64)
        for block in range(worker * blocks // workers, (worker + 1) * blocks // workers):
            size = min(samples, batch - block * samples) * neurons
            start = block * most
            stop = start + size
            for k in range(states):
                copy(first[k, start:stop], z[k], size)
            if not shared:
                for k in range(rows):
                    spread(p[k], start, size, q[k])
            if biased:
                spread(bias, start, size, bias_of)
            for t in range(steps):
                if keep_every > 0 and t % keep_every == 0:
                    for k in range(states):
                        copy(z[k], kept[t // keep_every, k, start:stop], size)
                if not weighted:
                    x_t = x[t, start:stop]
                    for i in range(size):
                        current_of[i] = load(x_t[i])
                _receive(
                    weighted, fed_back, t, values, weight, neurons, start, size, of_first, feedback, fired, places,
                    counts, sums[:room], current_of,
                )  # fmt: skip
                y_t, bit = y[t, start:stop], np.uint32(np.uint32(1) << np.uint32(t % WORD))
                if t % WORD == 0:
                    for i in range(size):
                        word[i] = np.uint32(0)
                for i in range(size):
                    g = load(y_t[i]) if coupled else zero
                    current_of[i] = load(store(current_of[i]))
                    spike = step(z, q, same, current_of[i], g, bias_of, s, i)
                    if fed_back:
                        fired[i] = spike
                    word[i] |= bit if spike != zero else np.uint32(0)
                if t % WORD == WORD - 1 or t == steps - 1:
                    for b in range(size // neurons):
                        target = words[block * samples + b, t // WORD].ctypes.data
                        copy_floats(word[b * neurons :].ctypes.data, target, neurons)
            for k in range(states):
                copy(z[k], last[k, start:stop], size)

    return forward


@cache
def _backward(plan: Plan, weighted: bool, fed_back: bool) -> Kernel:
    load, store, element = codec(plan.dtype)
    step, step_vjp, shared_coefficients, all_constants = lane_functions(plan)
    rows, states, summed = plan.rows, plan.states, len(plan.learn)
    coupled, biased, shared, quantized = plan.coupled, plan.biased, plan.shared, plan.quantized
    unit, by_unit = fed_back and plan.dtype == torch.bfloat16, has_unit()

    call, own = argument_places(_Arguments), argument_places(_Backward, behind=_Arguments)

    @compile_kernel
    def backward(data):  # type: ignore[no-untyped-def]
        steps, batch, neurons = number(data, call.steps), number(data, call.batch), number(data, call.neurons)
        samples, keep_every = number(data, call.samples), number(data, call.keep_every)
        inputs, room = number(data, call.inputs), number(data, call.room)
        lanes, most, chunks = batch * neurons, samples * neurons, (steps + WORD - 1) // WORD
        x = array(data, call.current, (steps, lanes), element)
        values = array(data, call.current, (steps, batch, inputs), f32)
        weight = array(data, call.weight, (inputs, neurons + OUTPUT_BLOCK), f32)
        y = array(data, call.conductance, (steps, lanes), element)
        bias = array(data, call.bias, number(data, call.bias_width), f32)
        p = array(data, call.coefficients, (rows, number(data, call.width)), f32)
        constants = array(data, call.constants, _CONSTANTS, f32)
        of_first, feedback, tiles_of_r = number(data, call.of_first), number(data, call.rows), number(data, own.tiles)
        words = array(data, call.words, (batch, chunks, neurons), np.uint32)
        kept = array(data, call.kept, (steps, states, lanes), f32)
        parts, outputs, grad_spikes = number(data, own.parts), number(data, own.outputs), number(data, own.grad_spikes)
        step_apart, sample_apart = number(data, own.step_apart), number(data, own.sample_apart)
        factors = array(data, own.grad_spikes, (steps, batch, outputs), f32)
        weight_above = array(data, own.weight_above, (outputs, neurons + OUTPUT_BLOCK), f32)
        tiles_above = number(data, own.tiles_above)
        grad_last = array(data, own.grad_last, (states, lanes), f32)
        grad_x = array(data, own.grad_current, (steps, lanes), element)
        grad_weight = array(data, own.grad_weight, (inputs, lanes), f32)
        grad_y = array(data, own.grad_conductance, (steps, lanes), element)
        grad_of_first = array(data, own.grad_of_first, lanes, f32)
        grad_first = array(data, own.grad_first, (states, lanes), f32)
        grad_bias = array(data, own.grad_bias, lanes, f32)
        grad_p = array(data, own.grad_p, (summed, lanes), f32)
        columns = (neurons + OUTPUT_BLOCK - 1) // OUTPUT_BLOCK
        grad_feedback = array(data, own.grad_feedback, (parts, columns, neurons, OUTPUT_BLOCK), f32)
        wide_vectors()
        worker, workers = share(data)
        blocks = (batch + samples - 1) // samples
        if unit:
            tiles = tile_memory(by_unit)
            rounded = np.zeros(MOST_LANES, np.uint16)
        s = all_constants(constants)
        same = shared_coefficients(p)
        # Of one piece of memory, as forward.
        whole = zero_rows(2 * states + rows + summed + 7, MOST_LANES + OUTPUT_BLOCK)
        z, gz, q = whole[:states], whole[states : 2 * states], whole[2 * states : 2 * states + rows]
        others = whole[2 * states + rows :]
        bias_of, bias_sum, made, fired, sums, of_x = others[0], others[1], others[2], others[3], others[4], others[5]
        fed, total, of_weight = others[6], others[7:], zero_rows(inputs, MOST_LANES)
        of_currents = zero_rows(whole_tiles(samples, ROWS), neurons)
        of_spikes = zero_rows(whole_tiles(samples, ROWS), whole_tiles(neurons, COLUMNS))
        of_outputs = zero_rows(whole_tiles(samples, ROWS), outputs)
        path, currents = empty_rows(states * keep_every, MOST_LANES), empty_rows(keep_every, MOST_LANES + OUTPUT_BLOCK)
        places, counts = np.zeros((keep_every, samples, neurons), np.int32), np.zeros((keep_every, samples), np.int64)
        for part in range(worker * parts // workers, (worker + 1) * parts // workers):
            of_feedback = grad_feedback[part]
            if fed_back:
                for k in range(columns):
                    for j in range(neurons):
                        for i in range(OUTPUT_BLOCK):
                            of_feedback[k, j, i] = f32(0)
            for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                count = min(samples, batch - block * samples)
                start, size = block * most, count * neurons
                stop = start + size
                for k in range(states):
                    copy(grad_last[k, start:stop], gz[k], size)
                if not shared:
                    for k in range(rows):
                        spread(p[k], start, size, q[k])
                if biased:
                    spread(bias, start, size, bias_of)
                for i in range(size):
                    bias_sum[i], fed[i] = zero, zero
                for k in range(summed):
                    for i in range(size):
                        total[k, i] = zero
                for k in range(inputs):
                    for i in range(size):
                        of_weight[k, i] = zero
                if unit:
                    configure_tiles(tiles, count, TILE_ROWS)
                for back in range((steps + keep_every - 1) // keep_every):
                    part_of_time = (steps + keep_every - 1) // keep_every - 1 - back
                    begin = part_of_time * keep_every
                    length = min(keep_every, steps - begin)
                    for k in range(states):
                        copy(kept[part_of_time, k, start:stop], z[k], size)
                    if fed_back and begin > 0:
                        for b in range(count):
                            of_step(words[block * samples + b], begin - 1, fired[b * neurons :])
                    for t in range(length):
                        y_t, current_of = y[begin + t, start:stop], currents[t]
                        for k in range(states):
                            copy(z[k], path[states * t + k], size)
                        if not weighted:
                            x_t = x[begin + t, start:stop]
                            for i in range(size):
                                current_of[i] = load(x_t[i])
                        _receive(
                            weighted, fed_back, begin + t, values, weight, neurons, start, size, of_first, feedback,
                            fired, places[t], counts[t], sums[:room], current_of,
                        )  # fmt: skip
                        for i in range(size):
                            current_of[i] = load(store(current_of[i]))
                        if t == length - 1 and not quantized:
                            break  # nothing asks for the state after the last step
                        for i in range(size):
                            g = load(y_t[i]) if coupled else zero
                            spike = step(z, q, same, current_of[i], g, bias_of, s, i)
                            if fed_back:
                                fired[i] = spike
                    for ahead in range(length):
                        t = length - 1 - ahead
                        y_t, current_of = y[begin + t, start:stop], currents[t]
                        if tiles_above:
                            for b in range(count):
                                place = (begin + t) * step_apart + (block * samples + b) * sample_apart
                                copy_floats(grad_spikes + place, of_outputs[b].ctypes.data, outputs)
                            multiply(of_outputs, tiles_above, of_spikes)
                            for b in range(count):
                                copy(of_spikes[b], made[b * neurons : (b + 1) * neurons], neurons)
                        elif outputs > 0:
                            multiply_factors(factors[begin + t], weight_above, neurons, start, size, made)
                        else:
                            for b in range(count):
                                place = (begin + t) * step_apart + (block * samples + b) * sample_apart
                                source = array_at(grad_spikes + place, neurons, element)
                                for i in range(neurons):
                                    made[b * neurons + i] = load(source[i])
                        before = path[states * t : states * t + states]
                        grad_y_t = grad_y[begin + t, start:stop]
                        for i in range(size):
                            gs = made[i] + fed[i] if fed_back else made[i]
                            g = load(y_t[i]) if coupled else zero
                            gx, gy = step_vjp(
                                before, z, gz, q, same, current_of[i], g, bias_of, gs, total, bias_sum, s, i
                            )  # fmt: skip
                            of_x[i] = gx
                            if coupled:
                                grad_y_t[i] = store(gy)
                        if weighted:
                            add_outer(values[begin + t], of_x, neurons, start, size, of_weight)
                        else:
                            grad_x_t = grad_x[begin + t, start:stop]
                            for i in range(size):
                                grad_x_t[i] = store(of_x[i])
                        if begin + t == 0:
                            copy(of_x, grad_of_first[start:stop], size)
                        elif fed_back:
                            if unit:
                                for i in range(size):
                                    rounded[i] = store(of_x[i])
                                for column in range(0, neurons, 32):
                                    multiply_samples(
                                        tiles, rounded.ctypes.data, neurons, tiles_of_r, column,
                                        fed.ctypes.data + 4 * column, 4 * neurons,
                                    )  # fmt: skip
                            else:
                                copy(of_x, of_currents.reshape(-1), size)
                                multiply(of_currents, tiles_of_r, of_spikes)
                                for b in range(count):
                                    copy(of_spikes[b], fed[b * neurons : (b + 1) * neurons], neurons)
                            for k in range(columns):
                                for b in range(count):
                                    add_row_to(
                                        of_x[b * neurons + k * OUTPUT_BLOCK :].ctypes.data, places[t, b].ctypes.data,
                                        counts[t, b], of_feedback[k].ctypes.data,
                                    )  # fmt: skip
                for k in range(states):
                    copy(gz[k], grad_first[k, start:stop], size)
                if biased:
                    copy(bias_sum, grad_bias[start:stop], size)
                for k in range(summed):
                    copy(total[k], grad_p[k, start:stop], size)
                for k in range(inputs):
                    copy(of_weight[k], grad_weight[k, start:stop], size)
        if unit:
            release_tiles()

    return backward


def _samples(batch: int, neurons: int, fed_back: bool) -> int:
    """Samples of a block: the same for any number of threads, on which no sum may depend."""
    most = min(SAMPLES if fed_back else _LANES // neurons, -(-batch // _PARTS))
    return min(batch, max(ROWS, most), MOST_LANES // neurons)


def _arguments(
    plan: Plan, call: SampleCall, words: Tensor, kept: Tensor, keep_every: int, samples: int
) -> _Arguments:  # fmt: skip
    batch, _, neurons = words.shape
    current, inputs, weight, rows = call.current, 0, None, None
    if call.weight is not None:
        current, weight, inputs = in_pairs(current, call.weight.t())
        weight = nn.functional.pad(weight, (0, OUTPUT_BLOCK))
    if call.feedback is not None:
        rows = rows_of(call.feedback)
    return _Arguments(
        len(call.current), batch, neurons, samples, keep_every, inputs, call.coefficients.shape[1], call.bias.shape[0],
        current, _or_none(weight), call.conductance, call.bias, call.coefficients, call.constants,
        _or_none(call.of_first), _or_none(rows), 0 if rows is None else rows.shape[2], words, kept,
    )  # fmt: skip


def _or_none(x: Tensor | None) -> Tensor | int:
    """A tensor, or the address 0 as kernels know that there is none."""
    return 0 if x is None else x


def forward(
    plan: Plan, call: SampleCall, state: Tensor, batch: int, keep: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Spikes as words (B, ⌈T/32⌉, N), no currents, every k-th state, the state after the last step."""
    steps, lanes = len(call.current), state.shape[1]
    words, last = arena.empty(batch, -(-steps // WORD), lanes // batch, dtype=torch.int32), arena.empty_like(state)
    kept = arena.empty(-(-steps // KEEP_EVERY) if keep else 0, plan.states, lanes)
    samples = _samples(batch, lanes // batch, call.feedback is not None)
    every = _arguments(plan, call, words, kept, KEEP_EVERY if keep else 0, samples)
    kernel = _forward(plan, call.weight is not None, call.feedback is not None)
    launch(kernel, *every, state, last, pieces=-(-batch // samples))
    return words, state.new_empty(0), kept, last


def backward(
    plan: Plan, call: SampleCall, words: Tensor, currents: Tensor, kept: Tensor, grad_spikes: Tensor, grad_last: Tensor
) -> SampleGradients:
    """Gradients of everything that went in."""
    (batch, _, neurons), steps, lanes = words.shape, len(call.current), grad_last.shape[1]
    samples = _samples(batch, neurons, call.feedback is not None)
    parts = -(-batch // samples)
    grad_x = grad_weight = grad_y = grad_bias = grad_p = grad_feedback = tiles = None
    if call.weight is None:
        grad_x = arena.empty(steps, lanes, dtype=plan.dtype)
    else:
        inputs = call.weight.shape[1]
        grad_weight = arena.empty(inputs + inputs % 2, batch, neurons)
    if plan.coupled:
        grad_y = arena.empty(steps, lanes, dtype=plan.dtype)
    if plan.biased:
        grad_bias = arena.empty(lanes)
    if plan.learn:
        grad_p = arena.empty(len(plan.learn), lanes)
    if call.feedback is not None:
        parts = min(parts, max(_PARTS, _NUMBERS // neurons**2))
        tiles = (tiles_of if plan.dtype == torch.float32 else matrix_tiles)(call.feedback)
        grad_feedback = arena.empty(parts, -(-neurons // OUTPUT_BLOCK), neurons, OUTPUT_BLOCK)
    grad_of_first, grad_first = arena.empty(lanes), arena.empty_like(grad_last)
    outputs, above, tiles_above = 0, None, None
    if isinstance(grad_spikes, LowRankGradient):
        grad_spikes, weight_above = grad_spikes.factors
        outputs = len(weight_above)
        if outputs > SMALL_OUTPUT:
            tiles_above = tiles_of(weight_above)
        else:
            grad_spikes, above, outputs = in_pairs(grad_spikes, weight_above)
            above = nn.functional.pad(above, (0, OUTPUT_BLOCK))
    # Steps and samples may come in any order.
    grad_spikes = grad_spikes if grad_spikes.stride(2) == 1 else grad_spikes.contiguous()
    step_apart, sample_apart = (x * grad_spikes.element_size() for x in grad_spikes.stride()[:2])
    own = _Backward(
        parts, _or_none(tiles), grad_spikes, step_apart, sample_apart, outputs, _or_none(above),
        _or_none(tiles_above), grad_last, _or_none(grad_x), _or_none(grad_weight), _or_none(grad_y), grad_of_first,
        grad_first, _or_none(grad_bias), _or_none(grad_p), _or_none(grad_feedback),
    )  # fmt: skip
    every = _arguments(plan, call, words, kept, KEEP_EVERY, samples)
    launch(_backward(plan, call.weight is not None, call.feedback is not None), *every, *own, pieces=parts)
    of_feedback = None
    if grad_feedback is not None:
        of_feedback = grad_feedback.sum(0).transpose(0, 1).flatten(1)[:, :neurons].t()
    return SampleGradients(
        grad_x, None if grad_weight is None else grad_weight[:inputs].sum(1).t(), grad_y, grad_first, grad_bias,
        grad_p, of_feedback, grad_of_first,
    )  # fmt: skip
