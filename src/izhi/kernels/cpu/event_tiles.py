"""Products of spikes in bfloat16 by the matrix unit, of the inputs alone that fire at all in a sample.

A dark pixel fires at no step, so that its column of the weights matters at none: a sample's product has 32 steps of
the inputs that fire times their rows of the weights, gathered once for all steps. The gradient of the weights is that
of the same rows alone: the spikes of 16 inputs in all steps times the gradients of the currents.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from izhi.compiled import inlined
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.matrix_unit import (
    INTERLEAVED,
    TILE_BYTES,
    TILE_ROWS,
    add_group,
    configure_tiles,
    has_unit,
    interleave_rows,
    load_tile,
    multiply_tiles,
    pair_rows,
    release_tiles,
    round_row,
    spread_step,
    spread_words,
    store_sums,
    store_tile,
    tile_memory,
    transpose_floats,
    transpose_to_interleaved,
    zero_sums,
    zero_tile,
)
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    four_numbers,
    launch,
    number,
    share,
    share_of_parts,
    wide_vectors,
)
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, SMALL_OUTPUT, copy_row, scatter_rows
from izhi.kernels.cpu.scalars import codec, f32
from izhi.kernels.events import WORD, Events
from izhi.kernels.ops import Value

#: Words of a sample, of 32 steps each, that share the rows of the weights once those are gathered.
TOGETHER = 4
#: Where the columns of a block lie so that weaving puts them in order.
_PLACES = np.array([*INTERLEAVED, *(32 + column for column in INTERLEAVED)])


@inlined
def aligned(size: Value) -> Value:
    """An array of so many bytes, and the address of the first of them that a tile may begin at."""
    room = np.zeros(size + 64, np.uint8)
    return room, (room.ctypes.data + 63) // 64 * 64


@cache
def _gathered(size: int) -> Kernel:
    """Weights (O, I) in float32 → rows of bfloat16 in blocks of outputs, a row of zeros behind the last."""
    _, store, _ = codec(torch.bfloat16)
    wide = size == OUTPUT_BLOCK

    @compile_kernel
    def gather(data):  # type: ignore[no-untyped-def]
        outputs, inputs, blocks = number(data, 0), number(data, 1), number(data, 2)
        weight = array(data, 3, (outputs, inputs), f32)
        out = array(data, 4, (blocks, inputs + 1, size), np.uint16)
        wide_vectors()
        worker, workers = share(data)
        first, last, whole = share_of_parts(data, inputs, TILE_ROWS)
        for block in range(blocks):
            for low in range(0, size, 2 * TILE_ROWS):
                simple = first
                if wide and block * size + low + 2 * TILE_ROWS <= outputs:
                    for i in range(first, whole, TILE_ROWS):
                        source, target = weight[block * size + low, i:], out[block, i, low:]
                        transpose_to_interleaved(source.ctypes.data, 4 * inputs, target.ctypes.data, 2 * size)
                    simple = whole
                for j in range(low, min(size, low + 2 * TILE_ROWS)):
                    place = _PLACES[j] if wide else j
                    for i in range(simple, last):
                        there = block * size + j < outputs
                        out[block, i, place] = store(weight[block * size + j, i]) if there else np.uint16(0)
            if worker == workers - 1:
                for j in range(size):
                    out[block, inputs, j] = np.uint16(0)

    return gather


@inlined
def interleave_pairs(of_block: Value, rows: Value, g: Value, half: Value, right: Value) -> None:
    """The rows of 32 inputs for 32 of a block's outputs, as two tiles."""
    for k in range(TILE_ROWS):
        at = 32 * g + 2 * k
        interleave_rows(
            of_block + rows[at] + 64 * half, of_block + rows[at + 1] + 64 * half,
            right + 2 * TILE_BYTES * g + 64 * k,
        )  # fmt: skip


@inlined
def spread_sample(words: Value, groups: Value, halves: Value, left: Value) -> None:
    """Words of a sample, by their address, as two tiles of 32 steps for each group of 32 inputs."""
    for g in range(groups):
        for t in range(halves * TILE_ROWS):
            spread_step(words + 4 * WORD * g, t, left + 2 * TILE_BYTES * g + 64 * t)


@inlined
def _multiply_narrow(tiles: Value, left: Value, right: Value, groups: Value, is_short: Value, to: Value) -> None:
    """The same for 16 outputs, whose rows lie side by side."""
    zero_tile(tiles, 0)
    zero_tile(tiles, 1)
    for g in range(groups):
        load_tile(tiles, 4, left + 2 * TILE_BYTES * g, 64)
        load_tile(tiles, 6, right + TILE_BYTES * g, 64)
        multiply_tiles(tiles, 0, 4, 6)
        if not is_short:
            load_tile(tiles, 5, left + 2 * TILE_BYTES * g + TILE_BYTES, 64)
            multiply_tiles(tiles, 1, 5, 6)
    store_tile(tiles, 0, to, 64)
    if not is_short:
        store_tile(tiles, 1, to + TILE_BYTES, 64)


@cache
def _product(size: int) -> Kernel:
    wide, by_unit = size == OUTPUT_BLOCK, has_unit()

    @compile_kernel
    def product(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        places = array(data, 4, (batch, inputs), np.int32)
        counts = array(data, 5, batch, np.int32)
        most = (inputs + WORD - 1) // WORD
        words = array(data, 6, (batch, chunks, most * WORD), np.uint32)
        blocks, weight = number(data, 7), number(data, 8)
        out = array(data, 9, (steps, batch, blocks, size), np.uint16)
        wide_vectors()
        worker, workers = share(data)
        together = min(chunks, TOGETHER)
        left_room, left = aligned(together * most * 2 * TILE_BYTES)
        right_room, right = aligned(most * 2 * TILE_BYTES)
        sums_room, sums = aligned(together * WORD * 4 * size)
        rows = np.zeros(most * WORD, np.int64)
        tiles = tile_memory(by_unit)
        configure_tiles(tiles, TILE_ROWS, TILE_ROWS)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            active, found = np.int64(counts[b]), places[b]
            groups = (active + WORD - 1) // WORD
            for k in range(groups * WORD):
                rows[k] = 2 * size * (np.int64(found[k]) if k < active else inputs)
            for start in range(0, chunks, together):
                many = min(together, chunks - start)
                for c in range(many):
                    halves = 1 if steps - WORD * (start + c) <= TILE_ROWS else 2
                    spread_sample(words[b, start + c].ctypes.data, groups, halves, left + c * most * 2 * TILE_BYTES)
                for block in range(blocks):
                    of_block = weight + block * (inputs + 1) * 2 * size
                    for half in range(2 if wide else 1):
                        if wide:
                            for g in range(groups):
                                interleave_pairs(of_block, rows, g, half, right)
                        else:
                            for k in range(groups * TILE_ROWS):
                                pair_rows(
                                    SMALL_OUTPUT, of_block + rows[2 * k], of_block + rows[2 * k + 1], right + 64 * k
                                )
                        for c in range(many):
                            is_short = steps - WORD * (start + c) <= TILE_ROWS
                            spikes, to = left + c * most * 2 * TILE_BYTES, sums + c * WORD * 4 * size + 128 * half
                            if wide:
                                zero_sums(tiles)
                                for g in range(groups):
                                    add_group(tiles, spikes + 2 * TILE_BYTES * g, right + 2 * TILE_BYTES * g, is_short)
                                store_sums(tiles, to, 256, is_short)
                            else:
                                _multiply_narrow(tiles, spikes, right, groups, is_short, to)
                    for c in range(many):
                        begin = WORD * (start + c)
                        for t in range(min(WORD, steps - begin)):
                            source, target = sums + (c * WORD + t) * 4 * size, out[begin + t, b, block].ctypes.data
                            round_row(size, source, target)
        release_tiles()
        # So that their memory lives as long as its addresses are used.
        left_room[0], right_room[0], sums_room[0] = 0, 0, 0

    return product


@cache
def _gradient() -> Kernel:
    """Of the rows of a sample's inputs that fire, added up in the cache; 64 outputs at a time."""
    by_unit = has_unit()

    @compile_kernel
    def gradient(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        places = array(data, 4, (batch, inputs), np.int32)
        counts = array(data, 5, batch, np.int32)
        words = array(data, 6, (batch, chunks, (inputs + WORD - 1) // WORD * WORD), np.uint32)
        blocks, parts = number(data, 7), number(data, 8)
        g = array(data, 9, (steps, batch, blocks, OUTPUT_BLOCK), np.uint16)
        out = array(data, 10, (blocks, inputs, OUTPUT_BLOCK), f32)
        wide_vectors()
        worker, workers = share(data)
        pieces = blocks * parts
        right_room, right = aligned(chunks * 4 * TILE_BYTES)
        left_room, left = aligned(2 * chunks * TILE_BYTES)
        sums_room, sums = aligned(2 * 4 * TILE_BYTES)
        nothing = np.zeros(OUTPUT_BLOCK, np.uint16)
        tiles = tile_memory(by_unit)
        configure_tiles(tiles, TILE_ROWS, TILE_ROWS)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            block, part = piece // parts, piece % parts
            low, high = part * inputs // parts, (part + 1) * inputs // parts
            of_block = out[block]
            for k in range(low, high):
                for i in range(OUTPUT_BLOCK):
                    of_block[k, i] = f32(0)
            for b in range(batch):
                first, found = 0, places[b]
                while first < counts[b] and found[first] < low:
                    first += 1
                last = first
                while last < counts[b] and found[last] < high:
                    last += 1
                if first == last:
                    continue
                for t in range(0, WORD * chunks, 2):
                    one = g[t, b, block].ctypes.data if t < steps else nothing.ctypes.data
                    other = g[t + 1, b, block].ctypes.data if t + 1 < steps else nothing.ctypes.data
                    target = right + t // WORD * 4 * TILE_BYTES + t % WORD * 32
                    pair_rows(OUTPUT_BLOCK, one, other, target)
                add_products(tiles, words[b], found, first, last, right, left, sums, of_block)
        release_tiles()
        right_room[0], left_room[0], sums_room[0] = 0, 0, 0

    return gradient


@inlined
def _multiply_rows(tiles: Value, left: Value, right: Value, chunks: Value) -> None:
    """Spikes of 16 inputs times gradients of 64 outputs over all steps, into tiles 0 to 3."""
    zero_sums(tiles)
    for c in range(chunks):
        at = right + 4 * TILE_BYTES * c
        load_tile(tiles, 4, left + TILE_BYTES * c, 64)
        load_tile(tiles, 5, at, 64)
        load_tile(tiles, 6, at + TILE_BYTES, 64)
        load_tile(tiles, 7, at + 2 * TILE_BYTES, 64)
        multiply_tiles(tiles, 0, 4, 5)
        multiply_tiles(tiles, 1, 4, 6)
        multiply_tiles(tiles, 2, 4, 7)
        load_tile(tiles, 5, at + 3 * TILE_BYTES, 64)
        multiply_tiles(tiles, 3, 4, 5)


@inlined
def add_products(
    tiles: Value, words: Value, found: Value, first: Value, last: Value, right: Value, left: Value, sums: Value,
    into: Value,
) -> None:  # fmt: skip
    """Add, for inputs found[first] to found[last - 1] of a sample, spikes times gradients to their rows of ``into``.

    Args:
        tiles: from ``tile_memory``.
        words: (⌈T/32⌉, …), of the inputs that fire.
        found: inputs that fire.
        first, last: which of those.
        right: gradients of currents as four tiles a word.
        left: room for two tiles a word.
        sums: room for eight tiles.
        into: (I, 64).
    """
    chunks, groups = len(words), (last - first + TILE_ROWS - 1) // TILE_ROWS
    # While the unit is at 16 inputs, the sums of those before are added, and the bits of those behind spread.
    for group in range(-1, groups + 1):
        to, made = sums + group % 2 * 4 * TILE_BYTES, sums + (group + 1) % 2 * 4 * TILE_BYTES
        spikes, spread = left + group % 2 * chunks * TILE_BYTES, left + (group + 1) % 2 * chunks * TILE_BYTES
        if 0 <= group < groups:
            _multiply_rows(tiles, spikes, right, chunks)
        if group + 1 < groups:
            for c in range(chunks):
                behind = words[c].ctypes.data + 4 * (first + TILE_ROWS * (group + 1))
                spread_words(behind, spread + c * TILE_BYTES)
        if group > 0:
            before = first + TILE_ROWS * (group - 1)
            count = min(TILE_ROWS, last - before)
            scatter_rows(made, found.ctypes.data + 4 * before, count, into.ctypes.data)
        if 0 <= group < groups:
            store_tile(tiles, 0, to, 256)
            store_tile(tiles, 1, to + 64, 256)
            store_tile(tiles, 2, to + 128, 256)
            store_tile(tiles, 3, to + 192, 256)


@cache
def _narrow_gradient() -> Kernel:
    """Of 16 outputs, whose sums over all samples stay in the unit; all inputs, 48 at a time."""
    by_unit = has_unit()

    @compile_kernel
    def gradient(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        words = array(data, 4, (batch, chunks, inputs), np.uint32)
        g = array(data, 5, (steps, batch, SMALL_OUTPUT), np.uint16)
        out = array(data, 6, (inputs, SMALL_OUTPUT), f32)
        wide_vectors()
        worker, workers = share(data)
        width = 3 * TILE_ROWS
        pieces = (inputs + width - 1) // width
        right_room, right = aligned(batch * chunks * TILE_BYTES)
        left_room, left = aligned(2 * 3 * TILE_BYTES)
        sums_room, sums = aligned(3 * TILE_BYTES)
        nothing, last_words = np.zeros(SMALL_OUTPUT, np.uint16), np.zeros(width, np.uint32)
        for b in range(batch):
            for t in range(0, WORD * chunks, 2):
                one = g[t, b].ctypes.data if t < steps else nothing.ctypes.data
                other = g[t + 1, b].ctypes.data if t + 1 < steps else nothing.ctypes.data
                pair_rows(SMALL_OUTPUT, one, other, right + (b * chunks + t // WORD) * TILE_BYTES + t % WORD * 32)
        tiles = tile_memory(by_unit)
        configure_tiles(tiles, TILE_ROWS, TILE_ROWS)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            low, high = width * piece, min(inputs, width * (piece + 1))
            zero_tile(tiles, 0)
            zero_tile(tiles, 1)
            zero_tile(tiles, 2)
            for r in range(batch * chunks):
                of_word, spikes = words[r // chunks, r % chunks], left + r % 2 * 3 * TILE_BYTES
                if high - low < width:  # beyond these there may be no memory
                    for i in range(high - low):
                        last_words[i] = of_word[low + i]
                at = of_word.ctypes.data + 4 * low if high - low == width else last_words.ctypes.data
                for k in range(3):
                    spread_words(at + 64 * k, spikes + k * TILE_BYTES)
                load_tile(tiles, 7, right + TILE_BYTES * r, 64)
                load_tile(tiles, 4, spikes, 64)
                multiply_tiles(tiles, 0, 4, 7)
                load_tile(tiles, 5, spikes + TILE_BYTES, 64)
                multiply_tiles(tiles, 1, 5, 7)
                load_tile(tiles, 6, spikes + 2 * TILE_BYTES, 64)
                multiply_tiles(tiles, 2, 6, 7)
            store_tile(tiles, 0, sums, 64)
            store_tile(tiles, 1, sums + TILE_BYTES, 64)
            store_tile(tiles, 2, sums + 2 * TILE_BYTES, 64)
            for i in range(high - low):
                copy_row(SMALL_OUTPUT, sums + 64 * i, out[low + i].ctypes.data)
        release_tiles()
        right_room[0], left_room[0], sums_room[0] = 0, 0, 0

    return gradient


@cache
def _turned() -> Kernel:
    """Parts of blocks (parts, ⌈O/64⌉, I, 64) → their sum (O, I)."""

    @compile_kernel
    def turn(data):  # type: ignore[no-untyped-def]
        outputs, inputs, blocks, parts = four_numbers(data)
        made = array(data, 4, (parts, blocks, inputs, OUTPUT_BLOCK), f32)
        out = array(data, 5, (outputs, inputs), f32)
        wide_vectors()
        worker, workers = share(data)
        pieces = (outputs + TILE_ROWS - 1) // TILE_ROWS
        sums, turned = np.zeros((TILE_ROWS, TILE_ROWS), f32), np.zeros((TILE_ROWS, TILE_ROWS), f32)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            block, low = piece * TILE_ROWS // OUTPUT_BLOCK, piece * TILE_ROWS % OUTPUT_BLOCK
            size = min(TILE_ROWS, outputs - piece * TILE_ROWS)
            for first in range(0, inputs, TILE_ROWS):
                length = min(TILE_ROWS, inputs - first)
                for i in range(length):
                    target = sums[i]
                    copy_row(TILE_ROWS, made[0, block, first + i, low:].ctypes.data, target.ctypes.data)
                    for part in range(1, parts):
                        source = made[part, block, first + i, low : low + TILE_ROWS]
                        for j in range(TILE_ROWS):
                            target[j] += source[j]
                if size == TILE_ROWS and length == TILE_ROWS:
                    target = out[piece * TILE_ROWS, first:].ctypes.data
                    transpose_floats(sums.ctypes.data, 64, target, 4 * inputs)
                else:
                    transpose_floats(sums.ctypes.data, 64, turned.ctypes.data, 64)
                    for j in range(size):
                        for i in range(length):
                            out[piece * TILE_ROWS + j, first + i] = turned[j, i]

    return turn


def _blocks(g: Tensor, size: int) -> Tensor:
    """(T, B, O) in bfloat16 → (T, B, ⌈O/size⌉, size), zeros behind the last column."""
    g = nn.functional.pad(g, (0, -g.shape[-1] % size)) if g.shape[-1] % size else g
    return g.reshape(*g.shape[:-1], -1, size).contiguous()


def gathered(weight: Tensor, size: int) -> Tensor:
    """Weights (O, I) in float32 as kernels gather them: bfloat16 (⌈O/size⌉, I + 1, size), a row of zeros the last."""
    outputs, inputs = weight.shape
    rows = arena.empty(-(-outputs // size), inputs + 1, size, dtype=torch.bfloat16)
    launch(_gathered(size), outputs, inputs, len(rows), weight.contiguous(), rows, pieces=-(-inputs // TILE_ROWS))
    return rows


def turned(made: Tensor, outputs: int) -> Tensor:
    """The sum over parts of gradients of weights in blocks, (parts, ⌈O/64⌉, I, 64) → (O, I)."""
    parts, blocks, inputs, _ = made.shape
    out = arena.empty(outputs, inputs)
    launch(_turned(), outputs, inputs, blocks, parts, made, out, pieces=-(-outputs // TILE_ROWS))
    return out


def product(events: Events, weight: Tensor) -> Tensor:
    """Spikes·weightᵀ in bfloat16: spikes (T, B, I), weight (O, I) in float32 → (T, B, O), summed in float32."""
    (batch, chunks, inputs), outputs = events.words.shape, len(weight)
    size = SMALL_OUTPUT if outputs <= SMALL_OUTPUT else OUTPUT_BLOCK
    blocks, rows = -(-outputs // size), gathered(weight, size)
    out = arena.empty(events.steps, batch, blocks, size, dtype=torch.bfloat16)
    launch(_product(size), events.steps, batch, chunks, inputs, *events[1:4], blocks, rows, out, pieces=batch)
    found = out.flatten(2)
    return found if found.shape[2] == outputs else found[..., :outputs].contiguous()


def weight_gradient(events: Events, g: Tensor) -> Tensor:
    """gᵀ·spikes in float32: spikes (T, B, I), g (T, B, O) in bfloat16 → (O, I)."""
    (batch, chunks, inputs), outputs = events.words.shape, g.shape[-1]
    if outputs <= SMALL_OUTPUT:
        narrow = arena.empty(inputs, SMALL_OUTPUT)
        launch(
            _narrow_gradient(), events.steps, batch, chunks, inputs, events.words, _blocks(g, SMALL_OUTPUT), narrow,
            pieces=-(-inputs // (3 * TILE_ROWS)),
        )  # fmt: skip
        return narrow.t()[:outputs].contiguous()
    arriving = _blocks(g, OUTPUT_BLOCK)
    blocks = arriving.shape[2]
    made = arena.empty(1, blocks, inputs, OUTPUT_BLOCK)
    parts = -(-torch.get_num_threads() // blocks)
    launch(
        _gradient(), events.steps, batch, chunks, inputs, *events[1:4], blocks, parts, arriving, made,
        pieces=blocks * parts,
    )  # fmt: skip
    return turned(made, outputs)
