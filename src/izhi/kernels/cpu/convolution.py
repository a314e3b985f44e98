"""Convolutions of images that visit the numbers that are not 0 alone, and the gradients of both sides.

An input that is not 0 adds its weights to the currents of all places whose window it lies in, and in the backward pass
their gradients to those of its weights: the same steps with the roles exchanged. The gradient of the images is spread
over the windows from the currents' gradients, of which few are not 0 behind a pool of the largest currents. Channels
lie side by side where they are added, and places in memory: what is read and written is turned.
"""

from __future__ import annotations

from functools import cache, reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor, nn

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.bits import lowest_bit
from izhi.kernels.cpu.geometry import Convolution, reach, windows
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    four_numbers,
    launch,
    number,
    share,
    wide_vectors,
    zero_floats,
    zero_rows,
)
from izhi.kernels.cpu.rows import OUTPUT_BLOCK, SMALL_OUTPUT
from izhi.kernels.cpu.scalars import LITERAL, codec, emitted, f32, load_at, repeat, store_at
from izhi.kernels.cpu.vectors import (
    FLOATS,
    IS_BFLOAT16,
    VECTOR,
    add_scaled,
    everywhere,
    multiply_add,
    nonzero,
    turn_in,
    turn_out,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder

#: Channels that are summed at a time where there are few, beside ``SMALL_OUTPUT``.
MIDDLE_OUTPUT = 32
#: Parts of a batch whose gradients of weights are summed one after the other, at most, and bytes of them all.
_PARTS, _BYTES_OF_PARTS = 16, 1 << 25
#: Numbers that are added without a loop.
_UNROLLED = 24 * VECTOR
#: Bytes of the weights that stay in the nearest cache.
_NEAREST = 24 << 10
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _block(outputs: int) -> int:
    """Channels that are summed at a time."""
    return next((size for size in (SMALL_OUTPUT, MIDDLE_OUTPUT) if outputs <= size), OUTPUT_BLOCK)


@cache
def _visit(size: int, run: int, dtype: torch.dtype, learns: bool) -> Kernel:
    """Adds, for each input that is not 0, its weights to the currents; to learn, their gradients to its weights'."""
    load, _, element = codec(dtype)
    is_bfloat16, bytes_of_number = IS_BFLOAT16[dtype], 2 if dtype == torch.bfloat16 else 4
    # What a row of the kernel adds, in pieces that fit the registers and the code.
    piece = run * size if run * size <= _UNROLLED else size
    pieces = run * size // piece

    @compile_kernel
    def visit(data):  # type: ignore[no-untyped-def]
        images, channels, height, width = four_numbers(data)
        groups, outputs, rows, columns = number(data, 4), number(data, 5), number(data, 6), number(data, 7)
        across, of_kernel, classes = number(data, 8), number(data, 9), number(data, 10)
        parts, blocks = number(data, 11), (outputs + size - 1) // size
        starts, of_columns = array(data, 12, height + 1, np.int32), array(data, 13, (width, 2), np.int32)
        of_rows = array(data, 14, (starts[height] + 1, 2), np.int32)
        x = array(data, 15, (images, groups, channels, height, width), element)
        currents = array(data, 16, (images, groups, outputs, rows, columns), element)
        shape = (parts if learns else 1, groups, blocks, channels, of_kernel, classes, run * size)
        weights = array(data, 17, shape, f32)
        wide_vectors()
        worker, workers = share(data)
        apart = rows * columns * bytes_of_number
        image = zero_rows(rows * across + VECTOR, size)
        to_image = image.ctypes.data
        for part in range(worker * parts // workers, (worker + 1) * parts // workers):
            if learns:
                zero_floats(weights[part].ctypes.data, weights[part].size)
            for n in range(part * images // parts, (part + 1) * images // parts):
                for group in range(groups):
                    for block in range(blocks):
                        wide, numbers = min(size, outputs - block * size), currents[n, group, block * size :]
                        table = weights[part if learns else 0, group, block]
                        if not learns:
                            zero_floats(to_image, rows * across * size)
                        for row in range(rows if learns else 0):
                            for lane in range(0, wide, VECTOR):
                                for first in range(0, columns, VECTOR):
                                    source = numbers[lane, row, first:].ctypes.data
                                    target = to_image + 4 * ((row * across + run - 1 + first) * size + lane)
                                    high, long = min(VECTOR, wide - lane), min(VECTOR, columns - first)
                                    turn_in(is_bfloat16, source, apart, high, long, target, 4 * size)
                        for channel in range(channels):
                            for row in range(height):
                                for first in range(0, width, VECTOR):
                                    line = x[n, group, channel, row, first:]
                                    word = nonzero(is_bfloat16, line.ctypes.data, min(VECTOR, width - first))
                                    while word != 0:
                                        bit = np.int64(lowest_bit(word))
                                        word = np.uint32(word & np.uint32(word - np.uint32(1)))
                                        factor, place = load(line[bit]), of_columns[first + bit, 0]
                                        kind = of_columns[first + bit, 1]
                                        for a in range(starts[row], starts[row + 1]):
                                            weight = table[channel, of_rows[a, 1], kind].ctypes.data
                                            current = to_image + 4 * size * (of_rows[a, 0] + place)
                                            for k in range(pieces):
                                                source = 4 * piece * k + (current if learns else weight)
                                                target = 4 * piece * k + (weight if learns else current)
                                                add_scaled(piece, factor, source, target)
                        for row in range(0 if learns else rows):
                            for lane in range(0, wide, VECTOR):
                                for first in range(0, columns, VECTOR):
                                    source = to_image + 4 * ((row * across + run - 1 + first) * size + lane)
                                    target = numbers[lane, row, first:].ctypes.data
                                    high, long = min(VECTOR, wide - lane), min(VECTOR, columns - first)
                                    turn_out(is_bfloat16, source, 4 * size, target, apart, high, long)

    return visit


@emitted(types.none, LITERAL, *[types.int64] * 8)
def _spread(
    builder: IRBuilder, vectors: int, factors: ir.Value, apart: ir.Value, listed: ir.Value, count: ir.Value,
    rows: ir.Value, image: ir.Value, other: ir.Value, into: ir.Value,
) -> None:  # fmt: skip
    """image[into[v]] += Σ_k factors[listed[k]]·rows[listed[k], v] over k < count, and the same for another image.

    By their addresses; the factors of the other lie ``apart`` bytes behind these. Rows are of so many vectors of 16
    float32, and ``into`` says in float32 where in an image each belongs. Both images may be parts of one.
    """

    def element(start: ir.Value, k: ir.Value) -> ir.Value:
        return builder.add(start, builder.shl(k, ir.Constant(_I64, 2)))

    def add(k: ir.Value, *totals: ir.Value) -> tuple[Sequence[ir.Value], ir.Value]:
        name = builder.zext(load_at(builder, element(listed, k), _I32), _I64)
        places = element(factors, name), builder.add(element(factors, name), apart)
        one, two = (everywhere(builder, load_at(builder, place, ir.FloatType())) for place in places)
        row = builder.add(rows, builder.mul(name, ir.Constant(_I64, 4 * VECTOR * vectors)))
        after = []
        for v in range(vectors):
            part = load_at(builder, builder.add(row, ir.Constant(_I64, 4 * VECTOR * v)), FLOATS)
            after.append(multiply_add(builder, one, part, totals[2 * v]))
            after.append(multiply_add(builder, two, part, totals[2 * v + 1]))
        following = builder.add(k, ir.Constant(_I64, 1))
        return (following, *after), builder.icmp_signed("<", following, count)

    none, nothing = ir.Constant(_I64, 0), ir.Constant(FLOATS, [0.0] * VECTOR)
    _, *found = repeat(builder, (none, *[nothing] * (2 * vectors)), add, builder.icmp_signed(">", count, none))
    for k, start in enumerate((image, other)):
        for v in range(vectors):
            place = load_at(builder, builder.add(into, ir.Constant(_I64, 4 * v)), _I32)
            target = element(start, builder.zext(place, _I64))
            store_at(builder, builder.fadd(load_at(builder, target, FLOATS), found[2 * v + k]), target)


@cache
def _input_gradient(vectors: int, dtype: torch.dtype) -> Kernel:
    _, _, element = codec(dtype)
    is_bfloat16 = IS_BFLOAT16[dtype]

    @compile_kernel
    def input_gradient(data):  # type: ignore[no-untyped-def]
        images, channels, places, groups = four_numbers(data)
        outputs, blocks = number(data, 4), number(data, 5)
        height, width, top, left = number(data, 6), number(data, 7), number(data, 8), number(data, 9)
        padded, across, deep = number(data, 10), number(data, 11), (channels + VECTOR - 1) // VECTOR * VECTOR
        begins = array(data, 12, places, np.int32)
        into = array(data, 13, (blocks, vectors), np.int32)
        weight = array(data, 14, (groups, blocks, outputs, vectors * VECTOR), f32)
        g = array(data, 15, (images, groups, outputs, places), element)
        out = array(data, 16, (images, groups, channels, height, width), element)
        wide_vectors()
        worker, workers = share(data)
        room = (outputs + VECTOR - 1) // VECTOR * VECTOR
        # Vectors that fill a block up are spread behind the image, as far from it as their window from its begin.
        bytes_of_number, image = 2 if is_bfloat16 else 4, zero_rows(2 * padded + 2 * VECTOR, deep)
        rows, fired, counts = zero_rows(VECTOR, room), np.empty((VECTOR, room), np.int32), np.zeros(VECTOR, np.int64)
        for n in range(worker * images // workers, (worker + 1) * images // workers):
            for group in range(groups):
                arriving, to_image = g[n, group], image.ctypes.data
                zero_floats(image.ctypes.data, padded * deep)
                for first in range(0, places, VECTOR):
                    many = min(VECTOR, places - first)
                    for lane in range(0, outputs, VECTOR):
                        turn_in(
                            is_bfloat16,
                            arriving[lane, first:].ctypes.data,
                            places * bytes_of_number,
                            min(VECTOR, outputs - lane),
                            many,
                            rows.ctypes.data + 4 * lane,
                            4 * room,
                        )
                    for pair in range((many + 1) // 2):
                        count = 0
                        for i in range(outputs):
                            fired[pair, count] = i
                            count += 1 if (rows[2 * pair, i] != f32(0)) | (rows[2 * pair + 1, i] != f32(0)) else 0
                        counts[pair] = count
                    for block in range(blocks):
                        table, where = weight[group, block].ctypes.data, into[block].ctypes.data
                        for pair in range((many + 1) // 2):
                            one, two = first + 2 * pair, min(first + 2 * pair + 1, places - 1)
                            _spread(
                                vectors, rows[2 * pair].ctypes.data, 4 * room, fired[pair].ctypes.data, counts[pair],
                                table, to_image + 4 * deep * begins[one], to_image + 4 * deep * begins[two], where,
                            )  # fmt: skip
                for lane in range(0, channels, VECTOR):
                    for row in range(height):
                        for column in range(0, width, VECTOR):
                            start = (row + top) * across + column + left
                            source = image.ctypes.data + 4 * (deep * start + lane)
                            turn_out(
                                is_bfloat16,
                                source,
                                4 * deep,
                                out[n, group, lane, row, column:].ctypes.data,
                                height * width * bytes_of_number,
                                min(VECTOR, channels - lane),
                                min(VECTOR, width - column),
                            )

    return input_gradient


def _visit_all(c: Convolution, x: Tensor, currents: Tensor, weights: Tensor, learns: bool, parts: int) -> None:
    (channels, outputs), found, size = c.of_group, reach(c), _block(c.of_group[1])
    images = x.shape[0] * x.shape[1]
    launch(
        _visit(size, found.run, x.dtype, learns), images, channels, *c.size, c.groups, outputs, *c.places, found.across,
        c.kernel[0], c.stride[1], parts, found.starts, found.columns, found.rows, x, currents, weights, pieces=parts,
    )  # fmt: skip


def forward(c: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """x * weight: x (T, B, C, H, W), weight (O, C/groups, *kernel) → (T, B, O, rows, columns) in the format of x."""
    (channels, outputs), size = c.of_group, _block(c.of_group[1])
    # One output and one column more, of zeros, for blocks and classes that are not full.
    padded = nn.functional.pad(weight.float().view(c.groups, outputs, channels, *c.kernel), (0, 1))
    padded = nn.functional.pad(padded[..., reach(c).taps], (0, 0) * 4 + (0, -outputs % size))
    blocks = padded.view(c.groups, -1, size, channels, c.kernel[0], *reach(c).taps.shape)
    rows = blocks.permute(0, 1, 3, 4, 5, 6, 2).contiguous()
    out = arena.empty(*x.shape[:2], c.outputs, *c.places, dtype=x.dtype)
    _visit_all(c, x, out, rows, learns=False, parts=x.shape[0] * x.shape[1])
    return out


def weight_gradient(c: Convolution, x: Tensor, g: Tensor) -> Tensor:
    """The gradient of the weight, in float32, from those of the currents, (T, B, O, rows, columns)."""
    (channels, outputs), size, taps = c.of_group, _block(c.of_group[1]), reach(c).taps
    shape = c.groups, -(-outputs // size), channels, c.kernel[0], taps.numel(), size
    parts = max(1, min(_PARTS, x.shape[0] * x.shape[1], _BYTES_OF_PARTS // (4 * prod(shape))))
    out = arena.empty(parts, *shape)
    _visit_all(c, x, g, out, learns=True, parts=parts)
    # One after the other: the order of a sum by torch may depend on the number of threads.
    total: Tensor = reduce(torch.add, out)
    found = total[..., taps.flatten().argsort()[: c.kernel[1]], :]
    return found.permute(0, 1, 5, 2, 3, 4).flatten(1, 2)[:, :outputs].reshape(c.outputs, channels, *c.kernel)


def input_gradient(c: Convolution, weight: Tensor, g: Tensor) -> Tensor:
    """The gradient of the spikes, (T, B, C, H, W), in the format of those of the currents."""
    (channels, outputs), (begins, taps) = c.of_group, windows(c)
    deep = -(-channels // VECTOR)
    room = -(-outputs // VECTOR) * VECTOR
    vectors = len(taps) * deep
    most = max(4, min(12, _NEAREST // (4 * VECTOR * room)))
    blocks = -(-vectors // most)
    of_block = -(-vectors // blocks)
    # (groups, outputs, taps, channels), in vectors of channels
    rows = weight.float().view(c.groups, outputs, channels, -1).transpose(2, 3)
    rows = nn.functional.pad(rows, (0, deep * VECTOR - channels)).flatten(2)
    rows = nn.functional.pad(rows, (0, (blocks * of_block - vectors) * VECTOR))
    rows = rows.view(c.groups, outputs, blocks, -1).transpose(1, 2).contiguous()
    lanes = torch.arange(deep, dtype=torch.int32) * VECTOR
    into = (taps[:, None] * (deep * VECTOR) + lanes).flatten()
    behind = prod(c.padded) * deep * VECTOR + torch.arange(blocks * of_block - vectors, dtype=torch.int32) * VECTOR
    into = torch.cat([into, behind])
    out = arena.empty(*g.shape[:2], c.inputs, *c.size, dtype=g.dtype)
    images = g.shape[0] * g.shape[1]
    launch(
        _input_gradient(of_block, g.dtype), images, channels, prod(c.places), c.groups, outputs, blocks, *c.size,
        *c.before, prod(c.padded), c.padded[1], begins, into, rows, g, out, pieces=images,
    )  # fmt: skip
    return out
