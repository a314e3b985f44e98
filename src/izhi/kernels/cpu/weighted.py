"""A layer, product and neurons, over time as two Numba kernels, for spikes that are bits; here the way forward.

A sample goes through 64 neurons at a time: the currents of all its steps, of the inputs alone that fire at all in it,
and the neurons' steps, while all of it is in the first-level cache. The way back takes 64 neurons through all samples:
their states again, the gradient of their spikes, which may still be two factors, and the gradient of the weights, of
the inputs alone that fire. Nothing but the currents, and spikes as bits along time, is written to memory. Where spikes
that arrive learn too, the gradient of the currents takes their place; a sample's steps then lie side by side, for the
product with the weights: with a whole batch between two steps they would all want the same few places of the cache.

In bfloat16 products are those of tiles (``event_tiles.py``), in float32 sums over spikes (``events.py``).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.event_tiles import TOGETHER, aligned, gathered, interleave_pairs, spread_sample
from izhi.kernels.cpu.events import PLACES, STARTS, list_steps, rows_of, sum_baseline, sum_weights
from izhi.kernels.cpu.lane import lane_functions
from izhi.kernels.cpu.matrix_unit import (
    TILE_BYTES,
    TILE_ROWS,
    add_group,
    configure_tiles,
    has_unit,
    release_tiles,
    round_and_widen,
    store_sums,
    tile_memory,
    zero_sums,
)
from izhi.kernels.cpu.parallel import (
    Argument,
    Kernel,
    argument_places,
    array,
    array_at,
    compile_kernel,
    copy_floats,
    launch,
    number,
    share,
    wide_vectors,
    zero_rows,
)
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, copy_row, prefetch_for_write
from izhi.kernels.cpu.scalars import codec, f32, zero
from izhi.kernels.events import WORD
from izhi.kernels.plan import Constants, LayerCall, Plan

#: Constants of a call.
CONSTANTS = len(Constants._fields)
#: Samples that go through the weights of 64 neurons while these are in the second-level cache.
SAMPLES = 8


def rows_in(dtype: torch.dtype) -> tuple[type, int]:
    """How kernels know a format's numbers, and the bytes of as many as ``OUTPUT_BLOCK``."""
    return codec(dtype)[2], OUTPUT_BLOCK * dtype.itemsize


class LayerArguments(NamedTuple):
    """What both kernels take: sizes, events, what neurons receive, and what is kept of the forward pass."""

    steps: Argument
    batch: Argument
    chunks: Argument
    inputs: Argument
    places: Argument
    counts: Argument
    words: Argument
    neurons: Argument
    blocks: Argument
    bias: Argument
    coefficients: Argument
    constants: Argument
    currents: Argument
    #: rows of 64 currents between two blocks of neurons, and between two steps
    to_block: Argument
    to_step: Argument
    kept: Argument


class _Forward(NamedTuple):
    """What the forward kernel takes besides ``LayerArguments``."""

    weight: Argument
    first: Argument
    last: Argument
    fired: Argument


@cache
def _forward(plan: Plan, keep: bool) -> Kernel:
    step, _, shared_coefficients, all_constants = lane_functions(plan)
    rows_of_neuron, states, biased, shared = plan.rows, plan.states, plan.biased, plan.shared
    by_tiles, by_unit = plan.dtype == torch.bfloat16, has_unit()
    element, size_of_row = rows_in(plan.dtype)
    several = 1 if by_tiles else SAMPLES

    call, own = argument_places(LayerArguments), argument_places(_Forward, behind=LayerArguments)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = (
            number(data, call.steps),
            number(data, call.batch),
            number(data, call.chunks),
            number(data, call.inputs),
        )
        places = array(data, call.places, (batch, inputs), np.int32)
        counts = array(data, call.counts, batch, np.int32)
        words = array(data, call.words, (batch, chunks, (inputs + WORD - 1) // WORD * WORD), np.uint32)
        neurons, blocks, weight = number(data, call.neurons), number(data, call.blocks), number(data, own.weight)
        bias, coefficients_at = number(data, call.bias), number(data, call.coefficients)
        first, last, fired = number(data, own.first), number(data, own.last), number(data, own.fired)
        p = array(data, call.coefficients, (rows_of_neuron, 1 if shared else neurons), f32)
        constants = array(data, call.constants, CONSTANTS, f32)
        currents, to_block, to_step = (
            number(data, call.currents),
            number(data, call.to_block),
            number(data, call.to_step),
        )
        kept = array(data, call.kept, (batch, blocks, chunks, states, OUTPUT_BLOCK), f32)
        wide_vectors()
        worker, workers = share(data)
        most, together = (inputs + WORD - 1) // WORD, min(chunks, TOGETHER)
        if by_tiles:
            size_of_left, size_of_right = most * 2 * TILE_BYTES, most * 2 * TILE_BYTES
            size_of_block, size_of_sums = (inputs + 1) * size_of_row, WORD * 4 * OUTPUT_BLOCK
            left_room, left = aligned(together * size_of_left)
            right_room, right = aligned(2 * size_of_right)
            sums_room, sums = aligned(together * size_of_sums)
            rows = np.zeros(most * WORD, np.int64)
            tiles = tile_memory(by_unit)
            configure_tiles(tiles, TILE_ROWS, steps - TILE_ROWS if TILE_ROWS < steps < WORD else TILE_ROWS)
        else:
            size_of_block = inputs * size_of_row
            of_steps = np.zeros(2 * most * WORD, np.uint32)
            fires = np.empty(several * together * PLACES * inputs, np.int32)
            starts, who = np.zeros(several * together * STARTS, np.int64), fires.ctypes.data
        # Of one piece of memory, so that LLVM sees which of these lie apart from each other.
        room = zero_rows(4 + states + rows_of_neuron, OUTPUT_BLOCK)
        bias_of, current_of, usual, z, q = room[0], room[1], room[3], room[4 : 4 + states], room[4 + states :]
        word = array_at(room[2].ctypes.data, OUTPUT_BLOCK, np.uint32)
        s = all_constants(constants)
        same = shared_coefficients(p)
        end = (worker + 1) * batch // workers
        for low in range(worker * batch // workers, end, several):
            for beginning in range(0, chunks, together):
                many, count, high = min(together, chunks - beginning), 0, min(end, low + several)
                for b in range(low, high):
                    active, found = np.int64(counts[b]), places[b]
                    if by_tiles:
                        groups = (active + WORD - 1) // WORD
                        for k in range(groups * WORD):
                            rows[k] = size_of_row * (np.int64(found[k]) if k < active else inputs)
                        for c in range(many):
                            halves = 1 if steps - WORD * (beginning + c) <= TILE_ROWS else 2
                            spread_sample(words[b, beginning + c].ctypes.data, groups, halves, left + c * size_of_left)
                        for g in range(groups):
                            interleave_pairs(weight, rows, g, 0, right)
                    else:
                        for c in range(many):
                            length, of_words = min(WORD, steps - WORD * (beginning + c)), words[b, beginning + c]
                            listed = starts[((b - low) * together + c) * STARTS :]
                            count = list_steps(
                                of_words.ctypes.data, found, active, length, of_steps, fires, listed, count
                            )
                for place in range(blocks * (high - low)):
                    block, b = place // (high - low), low + place % (high - low)
                    length = min(WORD * many, steps - WORD * beginning)
                    later = min(place + 1, blocks * (high - low) - 1)
                    b_later, block_later = low + later % (high - low), later // (high - low)
                    if by_tiles:
                        for half in range(2):
                            now, behind = right + half * size_of_right, right + (1 - half) * size_of_right
                            following = weight + (block + half) * size_of_block
                            for c in range(many):
                                is_short = steps - WORD * (beginning + c) <= TILE_ROWS
                                weaves = c == 0 and (half == 0 or block + 1 < blocks)
                                zero_sums(tiles)
                                for g in range(groups):
                                    at = 2 * TILE_BYTES * g
                                    add_group(tiles, left + c * size_of_left + at, now + at, is_short)
                                    if weaves:  # while the unit multiplies
                                        interleave_pairs(following, rows, g, 1 - half, behind)
                                store_sums(tiles, sums + c * size_of_sums + 128 * half, 256, is_short)
                    start = block * OUTPUT_BLOCK
                    size = min(OUTPUT_BLOCK, neurons - start)
                    before = first if beginning == 0 else last
                    for k in range(states):
                        copy_floats(before + 4 * ((k * batch + b) * neurons + start), z[k].ctypes.data, size)
                    if not shared:
                        for k in range(rows_of_neuron):
                            copy_floats(coefficients_at + 4 * (k * neurons + start), q[k].ctypes.data, size)
                    if biased:
                        copy_floats(bias + 4 * start, bias_of.ctypes.data, size)
                    for c in range(many):
                        begin = WORD * (beginning + c)
                        for i in range(OUTPUT_BLOCK):
                            word[i] = np.uint32(0)
                        if not by_tiles:
                            rows_of_block = weight + block * size_of_block
                            listed = starts[((b - low) * together + c) * STARTS :]
                            sum_baseline(OUTPUT_BLOCK, rows_of_block, who, listed, usual)
                        if keep:
                            for k in range(states):
                                copy_row(OUTPUT_BLOCK, z[k].ctypes.data, kept[b, block, beginning + c, k].ctypes.data)
                        for t in range(min(WORD, steps - begin)):
                            # Without keeping them, a thread writes those of a word to the same place each time.
                            row = worker * WORD + t
                            if keep:
                                row = b * blocks * steps + block * to_block + (begin + t) * to_step
                            x_t = currents + row * size_of_row
                            if by_tiles:
                                source = sums + c * size_of_sums + 256 * t
                                round_and_widen(OUTPUT_BLOCK, source, x_t, current_of.ctypes.data)
                            else:
                                sum_weights(OUTPUT_BLOCK, rows_of_block, who, listed, t, usual, current_of)
                                if keep:
                                    copy_row(OUTPUT_BLOCK, current_of.ctypes.data, x_t)
                            bit = np.uint32(np.uint32(1) << np.uint32(t))
                            if keep:
                                row = b_later * blocks * steps + block_later * to_block + (begin + t) * to_step
                                for line in range(0, size_of_row, 64):
                                    prefetch_for_write(currents + row * size_of_row + line)
                            for i in range(OUTPUT_BLOCK):
                                spike = step(z, q, same, current_of[i], zero, bias_of, s, i)
                                word[i] |= bit if spike != zero else np.uint32(0)
                        to = fired + 4 * ((b * chunks + beginning + c) * neurons + start)
                        copy_floats(word.ctypes.data, to, size)
                    for k in range(states):
                        copy_floats(z[k].ctypes.data, last + 4 * ((k * batch + b) * neurons + start), size)
        if by_tiles:
            release_tiles()
            # So that their memory lives as long as its addresses are used.
            left_room[0], right_room[0], sums_room[0] = 0, 0, 0

    return forward


def arguments_of(call: LayerCall, currents: Tensor, kept: Tensor) -> LayerArguments:
    """Of both kernels; currents are (B, blocks, T, 64), with the blocks or the steps of a sample side by side."""
    events, neurons = call.events, len(call.weight)
    batch, chunks, inputs = events.words.shape
    to_block, to_step = (x // OUTPUT_BLOCK for x in currents.stride()[1:3])
    return LayerArguments(
        events.steps, batch, chunks, inputs, *events[1:4], neurons, -(-neurons // OUTPUT_BLOCK),
        call.bias, call.coefficients, call.constants, currents, to_block, to_step, kept,
    )  # fmt: skip


def forward(
    plan: Plan, call: LayerCall, state: Tensor, keep: bool, spikes_learn: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes as words (B, ⌈T/32⌉, N), currents and states as ``backward`` takes them, the state after the last step."""
    events, neurons = call.events, len(call.weight)
    (batch, chunks, _), blocks = events.words.shape, -(-neurons // OUTPUT_BLOCK)
    rows = rows_of(call.weight) if plan.dtype == torch.float32 else gathered(call.weight, OUTPUT_BLOCK)
    fired, last = arena.empty(batch, chunks, neurons, dtype=torch.int32), arena.empty_like(state)
    parts = (events.steps, blocks) if spikes_learn else (blocks, events.steps)
    sizes = (batch, *parts, OUTPUT_BLOCK) if keep else (torch.get_num_threads(), 1, WORD, OUTPUT_BLOCK)
    currents = arena.empty(*sizes, dtype=plan.dtype)
    if keep and spikes_learn:
        currents = currents.transpose(1, 2)
    kept = arena.empty(batch if keep else 0, blocks, chunks, plan.states, OUTPUT_BLOCK)
    own = _Forward(rows, state, last, fired)
    launch(_forward(plan, keep), *arguments_of(call, currents, kept), *own, pieces=batch)
    return fired, currents, kept, last
