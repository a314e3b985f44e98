"""Products of spikes that only visit the spikes, of the inputs that fire at all in a sample.

The current of a step is the sum of the weights' rows of the inputs that fire in it; of those that usually fire it is
made once for a word of steps, and less the rows of those that do not in a step. Which those are is listed once for
a sample, which then goes through the columns in blocks, whose sum stays in registers. The gradient of an input's
weights is the sum, over samples, of the currents' gradients in the steps in which it fires. Where inputs fire often,
the sums of every subset of four steps are made first, for all inputs of a sample, and each input then adds one of them
for four steps at a time (the method of the Four Russians, Arlazarov et al. 1970).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from izhi.compiled import inlined
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.bits import number_of_bits, transpose_words, turn_over
from izhi.kernels.cpu.matrix_unit import TILE_ROWS, transpose_floats
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    copy_floats,
    four_numbers,
    launch,
    number,
    share,
    share_of_parts,
    wide_vectors,
    zero_rows,
)
from izhi.kernels.cpu.rows import (
    GROUP,
    OUTPUT_BLOCK,
    SMALL_OUTPUT,
    add_rows,
    add_sums,
    copy_row,
    list_bits,
    list_names,
    prefetch_row,
    subtract_rows,
    sum_subsets,
)
from izhi.kernels.cpu.scalars import f32
from izhi.kernels.events import WORD, Events, Totals
from izhi.kernels.ops import Value

#: The share of steps in which inputs fire from which it pays, for few outputs and for many, to make the sums of every
#: four steps, or inputs, first.
_WORTH_TABLES = {SMALL_OUTPUT: 0.05, OUTPUT_BLOCK: 0.09}


@cache
def _listed() -> Kernel:
    @compile_kernel
    def listed(data):  # type: ignore[no-untyped-def]
        batch, chunks, inputs = number(data, 0), number(data, 1), number(data, 2)
        words = array(data, 3, (batch, chunks, inputs), np.uint32)
        places = array(data, 4, (batch, inputs), np.int32)
        counts = array(data, 5, batch, np.int32)
        totals = array(data, 6, (batch, 2), np.int64)
        gathered = array(data, 7, (batch, chunks, (inputs + WORD - 1) // WORD * WORD), np.uint32)
        steps = number(data, 8)
        wide_vectors()
        worker, workers = share(data)
        ever = np.zeros(inputs, np.uint32)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            spikes, visits, count, found = 0, 0, 0, places[b]
            ever[:] = np.uint32(0)
            for c in range(chunks):
                source, length = words[b, c], np.uint32(min(WORD, steps - WORD * c))
                for i in range(inputs):
                    ever[i] |= source[i]
                    bits = number_of_bits(source[i])
                    spikes += bits
                    visits += min(bits, np.uint32(length + np.uint32(1) - bits))
            for i in range(inputs):
                found[count] = i
                count += 1 if ever[i] else 0
            counts[b], totals[b, 0], totals[b, 1] = count, spikes, visits
            for c in range(chunks):
                source, target = words[b, c], gathered[b, c]
                for k in range(count):
                    target[k] = source[found[k]]
                for k in range(count, (count + WORD - 1) // WORD * WORD):
                    target[k] = np.uint32(0)

    return listed


def listed(words: Tensor, steps: int) -> Events:
    """The events of words (B, ⌈T/32⌉, N)."""
    batch, chunks, inputs = words.shape
    words, places, counts = words.contiguous(), words.new_empty(batch, inputs), words.new_empty(batch)
    totals = torch.empty(batch, 2, dtype=torch.int64)
    room = -(-inputs // WORD) * WORD
    # Tiles may begin at any of the words and are read whole.
    size = batch * chunks * room
    gathered = arena.empty(size + WORD, dtype=words.dtype)[:size].view(batch, chunks, room)
    launch(_listed(), batch, chunks, inputs, words, places, counts, totals, gathered, steps, pieces=batch)
    spikes, visits = totals.numpy().sum(0).tolist()
    return Events(words, places, counts, gathered, steps, Totals(spikes, visits, int(counts.numpy().sum())))


#: Numbers that say where the steps of a word lie in a list of ``list_steps``, and places of it for each input.
STARTS, PLACES = 2 * WORD + 2, WORD // 2


@inlined
def list_steps(
    words: Value, found: Value, active: Value, length: Value, of_steps: Value, fired: Value, starts: Value, count: Value
) -> Value:
    """Put who fires, step by step, behind so many places of ``fired``.

    Inputs that fire in more than half of the steps are listed once, in front of all steps, and then in those in which
    they do not fire: a step's current is the sum of their weights, less the weights of those that do not fire in it,
    and the weights of the others that do.

    Args:
        words: address of the words of a sample's inputs that fire, zeros up to whole groups of 32.
        found: which inputs these are.
        active: how many.
        length: steps, at most 32.
        of_steps: room for 64 words for each group of 32 inputs.
        fired: room for ``PLACES`` for each input.
        starts: where those begin that usually fire, and then, for each step, the others that do and those that do not;
            where the last step ends. ``STARTS`` numbers at most.
        count: places that are taken.

    Returns:
        How many places are taken then.
    """
    limit, every = np.uint32((length + 1) // 2), np.uint32(np.uint32(0xFFFFFFFF) >> np.uint32(WORD - length))
    any_usual = np.uint32(0)
    names, to, turned = found.ctypes.data, fired.ctypes.data, of_steps.ctypes.data
    starts[0] = count
    for first in range(0, active, WORD):
        word = turn_over(words + 4 * first, limit, every, turned + 8 * first)
        transpose_words(turned + 8 * first, turned + 8 * first + 4 * WORD)
        of_steps[2 * first] = word
        any_usual |= word
        count = list_names(word, names + 4 * first, to, count)
    for t in range(length):
        for kind in range(2):
            starts[1 + 2 * t + kind] = count
            for first in range(0, 0 if kind and not any_usual else active, WORD):
                word, often = of_steps[2 * first + WORD + t], of_steps[2 * first]
                count = list_names(np.uint32(word & (often if kind else ~often)), names + 4 * first, to, count)
    starts[1 + 2 * length] = count
    return count


@inlined
def sum_baseline(size: Value, weight: Value, fired: Value, starts: Value, total: Value) -> None:
    """The sum of a block's rows of the inputs that usually fire in a word, whose list of ``list_steps`` this is."""
    for i in range(size):
        total[i] = f32(0)
    add_rows(size, weight, fired + 4 * starts[0], starts[1] - starts[0], total.ctypes.data)


@inlined
def sum_weights(size: Value, weight: Value, fired: Value, starts: Value, t: Value, usual: Value, total: Value) -> None:
    """The current of a step of a word, from the sum that it usually is."""
    fires, does_not, end = starts[1 + 2 * t], starts[2 + 2 * t], starts[3 + 2 * t]
    copy_floats(usual.ctypes.data, total.ctypes.data, size)
    subtract_rows(size, weight, fired + 4 * does_not, end - does_not, total.ctypes.data)
    add_rows(size, weight, fired + 4 * fires, does_not - fires, total.ctypes.data)


@cache
def _product(size: int) -> Kernel:
    @compile_kernel
    def product(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        places = array(data, 4, (batch, inputs), np.int32)
        counts = array(data, 5, batch, np.int32)
        groups = (inputs + WORD - 1) // WORD
        words = array(data, 6, (batch, chunks, groups * WORD), np.uint32)
        blocks = number(data, 7)
        weight = array(data, 8, (blocks, inputs, size), f32)
        out = array(data, 9, (steps, batch, blocks, size), f32)
        wide_vectors()
        worker, workers = share(data)
        of_steps, usual = np.zeros(2 * groups * WORD, np.uint32), zero_rows(1, size)[0]
        fired, starts = np.empty(PLACES * inputs, np.int32), np.zeros(STARTS, np.int64)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            active, found = np.int64(counts[b]), places[b]
            for c in range(chunks):
                length = min(WORD, steps - WORD * c)
                list_steps(words[b, c].ctypes.data, found, active, length, of_steps, fired, starts, 0)
                for block in range(blocks):
                    rows, listed = weight[block].ctypes.data, fired.ctypes.data
                    sum_baseline(size, rows, listed, starts, usual)
                    for t in range(length):
                        sum_weights(size, rows, listed, starts, t, usual, out[WORD * c + t, b, block])

    return product


@cache
def _product_of_few() -> Kernel:
    """The same for few outputs by tables: of every four inputs that fire, each step adds one of the sums."""

    @compile_kernel
    def product_of_few(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        places = array(data, 4, (batch, inputs), np.int32)
        counts = array(data, 5, batch, np.int32)
        words = array(data, 6, (batch, chunks, (inputs + WORD - 1) // WORD * WORD), np.uint32)
        weight = array(data, 8, (inputs, SMALL_OUTPUT), f32)
        out = array(data, 9, (steps, batch, SMALL_OUTPUT), f32)
        wide_vectors()
        worker, workers = share(data)
        of_steps, total, rows = np.zeros(WORD, np.uint32), zero_rows(steps, SMALL_OUTPUT), zero_rows(WORD, SMALL_OUTPUT)
        sums = zero_rows(WORD // GROUP << GROUP, SMALL_OUTPUT)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            active, found = np.int64(counts[b]), places[b]
            for t in range(steps):
                for i in range(SMALL_OUTPUT):
                    total[t, i] = f32(0)
            for first in range(0, active, WORD):
                for k in range(min(WORD, active - first)):
                    copy_row(SMALL_OUTPUT, weight[found[first + k]].ctypes.data, rows[k].ctypes.data)
                sum_subsets(SMALL_OUTPUT, rows.ctypes.data, min(WORD, active - first), sums.ctypes.data)
                for c in range(chunks):
                    transpose_words(words[b, c, first:].ctypes.data, of_steps.ctypes.data)
                    for t in range(min(WORD, steps - WORD * c)):
                        to = total[WORD * c + t].ctypes.data
                        add_sums(SMALL_OUTPUT, sums.ctypes.data, of_steps[t], WORD // GROUP, to)
            for t in range(steps):
                copy_row(SMALL_OUTPUT, total[t].ctypes.data, out[t, b].ctypes.data)

    return product_of_few


@cache
def _gradient(size: int, tabled: bool) -> Kernel:
    """Of few spikes, listed input by input, or of many by tables of sums."""

    @compile_kernel
    def gradient(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        words = array(data, 4, (batch, chunks, inputs), np.uint32)
        places = array(data, 5, (batch, inputs), np.int32)
        counts = array(data, 6, batch, np.int32)
        blocks, parts = number(data, 7), number(data, 8)
        g = array(data, 9, (steps, batch, blocks, size), f32)
        out = array(data, 10, (blocks, inputs, size), f32)
        wide_vectors()
        worker, workers = share(data)
        pieces = blocks * parts
        rows, fired = zero_rows(WORD, size), np.zeros(WORD, np.int32)
        sums = zero_rows((WORD // GROUP if tabled else 1) << GROUP, size)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            block, part = piece // parts, piece % parts
            low, high = part * inputs // parts, (part + 1) * inputs // parts
            of_block = out[block]
            for k in range(low, high):
                for i in range(size):
                    of_block[k, i] = f32(0)
            for b in range(batch):
                active, found = counts[b], places[b]
                for c in range(chunks):
                    length = min(WORD, steps - WORD * c)
                    groups = (length + GROUP - 1) // GROUP
                    # Side by side: steps lie so far apart that they would push each other out of the cache.
                    for t in range(length):
                        copy_row(size, g[WORD * c + t, b, block].ctypes.data, rows[t].ctypes.data)
                        if b + 1 < batch:
                            prefetch_row(size, g[WORD * c + t, b + 1, block].ctypes.data)
                    if tabled:
                        sum_subsets(size, rows.ctypes.data, length, sums.ctypes.data)
                    of_word = words[b, c]
                    for place in range(active):
                        k = np.int64(found[place])
                        if low <= k < high:
                            if tabled:
                                add_sums(size, sums.ctypes.data, of_word[k], groups, of_block[k].ctypes.data)
                            else:
                                many = list_bits(of_word[k], 0, fired, 0)
                                add_rows(size, rows.ctypes.data, fired.ctypes.data, many, of_block[k].ctypes.data)

    return gradient


def fire_often(events: Events, size: int) -> bool:
    """Whether it pays, for blocks of so many outputs, to make the sums of every four steps or inputs first."""
    return events.totals.spikes > _WORTH_TABLES[size] * events.steps * events.totals.active


def _blocks(x: Tensor, size: int) -> Tensor:
    """(…, N) → (…, ⌈N/size⌉, size), zeros behind the last column."""
    x = nn.functional.pad(x, (0, -x.shape[-1] % size)) if x.shape[-1] % size else x
    return x.reshape(*x.shape[:-1], -1, size)


@cache
def _rows() -> Kernel:
    """Weights (O, I) → (⌈O/64⌉, I, 64), zeros behind the last output."""

    @compile_kernel
    def rows(data):  # type: ignore[no-untyped-def]
        outputs, inputs, blocks = number(data, 0), number(data, 1), number(data, 2)
        weight = array(data, 3, (outputs, inputs), f32)
        out = array(data, 4, (blocks, inputs, OUTPUT_BLOCK), f32)
        wide_vectors()
        first, last, whole = share_of_parts(data, inputs, TILE_ROWS)
        for block in range(blocks):
            for low in range(0, OUTPUT_BLOCK, TILE_ROWS):
                start, simple = block * OUTPUT_BLOCK + low, first
                if start + TILE_ROWS <= outputs:
                    for i in range(first, whole, TILE_ROWS):
                        source, target = weight[start, i:], out[block, i, low:]
                        transpose_floats(source.ctypes.data, 4 * inputs, target.ctypes.data, 4 * OUTPUT_BLOCK)
                    simple = whole
                for j in range(TILE_ROWS):
                    for i in range(simple, last):
                        out[block, i, low + j] = weight[start + j, i] if start + j < outputs else f32(0)

    return rows


def rows_of(weight: Tensor) -> Tensor:
    """A weight (O, I) as products take it: what each input adds, in blocks of outputs (⌈O/size⌉, I, size)."""
    outputs, inputs = weight.shape
    if outputs <= SMALL_OUTPUT:
        return _blocks(weight.float().t(), SMALL_OUTPUT).transpose(0, 1).contiguous()
    rows = arena.empty(-(-outputs // OUTPUT_BLOCK), inputs, OUTPUT_BLOCK)
    pieces = -(-inputs // TILE_ROWS)
    launch(_rows(), outputs, inputs, len(rows), weight.float().contiguous(), rows, pieces=pieces)
    return rows


def product(events: Events, weight: Tensor) -> Tensor:
    """Spikes·weightᵀ in float32: spikes (T, B, I), weight (O, I) → (T, B, O)."""
    rows, (batch, chunks, _) = rows_of(weight), events.words.shape
    blocks, inputs, size = rows.shape
    out = arena.empty(events.steps, batch, blocks, size)
    kernel = _product_of_few() if size == SMALL_OUTPUT and fire_often(events, SMALL_OUTPUT) else _product(size)
    launch(kernel, events.steps, batch, chunks, inputs, *events[1:4], blocks, rows, out, pieces=batch)
    return out.flatten(2)[..., : len(weight)].contiguous()


def weight_gradient(events: Events, g: Tensor) -> Tensor:
    """gᵀ·spikes in float32: spikes (T, B, I), g (T, B, O) float32 → (O, I)."""
    (batch, chunks, inputs), outputs = events.words.shape, g.shape[-1]
    size = SMALL_OUTPUT if outputs <= SMALL_OUTPUT else OUTPUT_BLOCK
    arriving = _blocks(g, size).contiguous()
    blocks = arriving.shape[2]
    out = arena.empty(blocks, inputs, size)
    parts = -(-torch.get_num_threads() // blocks)
    tabled = fire_often(events, size)
    launch(
        _gradient(size, tabled), events.steps, batch, chunks, inputs, *events[:3], blocks, parts, arriving, out,
        pieces=blocks * parts,
    )  # fmt: skip
    return out.transpose(1, 2).flatten(0, 1)[:outputs].contiguous()
