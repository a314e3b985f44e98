"""Convolutions of images that visit the numbers that are not 0 alone, and the gradients of both sides.

An input that is not 0 adds its weights to the currents of all places whose window it lies in, and in the backward pass
their gradients to those of its weights: the same steps with the roles exchanged. The gradient of the images is spread
over the windows from the currents' gradients, of which few are not 0 behind a pool of the largest currents. Channels
lie side by side where they are added, and places in memory: what is read and written is turned.
"""

from __future__ import annotations

from functools import cache, lru_cache, reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor, nn

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.bits import lowest_bit
from izhi.kernels.cpu.geometry import Convolution, windows
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
from izhi.kernels.cpu.scalars import LITERAL, codec, emitted, everywhere, f32, load_at, repeat, store_at
from izhi.kernels.cpu.vectors import (
    FLOATS,
    IS_BFLOAT16,
    VECTOR,
    add_listed,
    add_scaled,
    multiply_add,
    nonzero,
    turn_in,
    turn_out,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder

#: Channels that are summed at a time where there are few, beside ``SMALL_OUTPUT``.
_MIDDLE_OUTPUT = 32
#: Parts of a batch whose gradients of weights are summed one after the other, at most, and bytes of them all.
_PARTS, _BYTES_OF_PARTS = 16, 1 << 25
#: Vectors whose sums fit the registers.
_SUMS = 24
#: Bytes of the weights that stay in the nearest cache.
_NEAREST = 24 << 10
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _block(outputs: int) -> int:
    """Channels that are summed at a time."""
    return next((size for size in (SMALL_OUTPUT, _MIDDLE_OUTPUT) if outputs <= size), OUTPUT_BLOCK)


def _vectors(size: int, run: int) -> int:
    """Vectors of a row of a kernel that are added at once: all, or those of one tap."""
    return (run if run * size <= _SUMS * VECTOR else 1) * size // VECTOR


@cache
def _forward(size: int, run: int, dtype: torch.dtype) -> Kernel:
    load, _, element = codec(dtype)
    is_bfloat16, bytes_of_number = IS_BFLOAT16[dtype], 2 if dtype == torch.bfloat16 else 4
    vectors = _vectors(size, run)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        images, channels, height, width = four_numbers(data)
        groups, outputs, rows, columns = number(data, 4), number(data, 5), number(data, 6), number(data, 7)
        kernel, down, right = number(data, 8), number(data, 9), number(data, 10)
        gap, top, left = number(data, 11), number(data, 12), number(data, 13)
        across, blocks = number(data, 14), (outputs + size - 1) // size
        x = array(data, 15, (images, groups, channels, height, width), element)
        weights = array(data, 16, (groups, blocks, channels, kernel, right, run, size), f32)
        out = array(data, 17, (images, groups, outputs, rows, columns), element)
        wide_vectors()
        worker, workers = share(data)
        image, counts = zero_rows(rows * across + VECTOR, size), np.zeros(height, np.int64)
        places, taps_of_row = np.zeros((height, kernel), np.int64), np.zeros((height, kernel), np.int64)
        for row in range(height):
            for tap in range(kernel):
                from_top = row + top - tap * gap
                if from_top % down == 0 and 0 <= from_top // down < rows:
                    places[row, counts[row]], taps_of_row[row, counts[row]] = from_top // down * across, tap
                    counts[row] += 1
        to_image, apart = image.ctypes.data, rows * columns * bytes_of_number
        for n in range(worker * images // workers, (worker + 1) * images // workers):
            for group in range(groups):
                for block in range(blocks):
                    zero_floats(to_image, rows * across * size)
                    for channel in range(channels):
                        for row in range(height):
                            for first in range(0, width, VECTOR):
                                line = x[n, group, channel, row, first:]
                                word = nonzero(is_bfloat16, line.ctypes.data, min(VECTOR, width - first))
                                while word != 0:
                                    bit = np.int64(lowest_bit(word))
                                    word = np.uint32(word & np.uint32(word - np.uint32(1)))
                                    factor, column = load(line[bit]), first + bit + left
                                    of_column, place = column % right, column // right
                                    for k in range(counts[row]):
                                        tap = taps_of_row[row, k]
                                        weight = weights[group, block, channel, tap, of_column].ctypes.data
                                        current = to_image + 4 * size * (places[row, k] + place)
                                        for piece in range(0, 4 * run * size, 4 * VECTOR * vectors):
                                            add_scaled(vectors, factor, weight + piece, current + piece)
                    for place in range(rows):
                        for lane in range(0, min(size, outputs - block * size), VECTOR):
                            for first in range(0, columns, VECTOR):
                                source = to_image + 4 * ((place * across + run - 1 + first) * size + lane)
                                channel = block * size + lane
                                target = out[n, group, channel, place, first:].ctypes.data
                                high, long = min(VECTOR, outputs - channel), min(VECTOR, columns - first)
                                turn_out(is_bfloat16, source, 4 * size, target, apart, high, long)

    return forward


@cache
def _weight_gradient(size: int, run: int, dtype: torch.dtype) -> Kernel:
    load, _, element = codec(dtype)
    is_bfloat16, bytes_of_number = IS_BFLOAT16[dtype], 2 if dtype == torch.bfloat16 else 4
    sums = _vectors(size, run)
    taps = sums * VECTOR // size

    @compile_kernel
    def weight_gradient(data):  # type: ignore[no-untyped-def]
        images, channels, height, width = four_numbers(data)
        groups, outputs, rows, columns = number(data, 4), number(data, 5), number(data, 6), number(data, 7)
        kernel, down, right = number(data, 8), number(data, 9), number(data, 10)
        gap, top, left = number(data, 11), number(data, 12), number(data, 13)
        across, above, deep = number(data, 14), number(data, 15), number(data, 16)
        parts, blocks = number(data, 17), (outputs + size - 1) // size
        x = array(data, 18, (images, groups, channels, height, width), element)
        g = array(data, 19, (images, groups, outputs, rows, columns), element)
        out = array(data, 20, (parts, groups, blocks, channels, kernel, right, run, size), f32)
        wide_vectors()
        worker, workers = share(data)
        image, counts = zero_rows((above + deep) * across + VECTOR, size), np.zeros(down * right, np.int64)
        places, factors = np.empty((down * right, height * width), np.int32), zero_rows(down * right, height * width)
        to_image, apart = image.ctypes.data, rows * columns * bytes_of_number
        for part in range(worker * parts // workers, (worker + 1) * parts // workers):
            zero_floats(out[part].ctypes.data, out[part].size)
            for n in range(part * images // parts, (part + 1) * images // parts):
                for group in range(groups):
                    for block in range(blocks):
                        high = min(size, outputs - block * size)
                        for place in range(rows):
                            for lane in range(0, high, VECTOR):
                                for first in range(0, columns, VECTOR):
                                    source = g[n, group, block * size + lane, place, first:].ctypes.data
                                    at = (above + place) * across + run - 1 + first
                                    target, long = to_image + 4 * (at * size + lane), min(VECTOR, columns - first)
                                    turn_in(
                                        is_bfloat16, source, apart, min(VECTOR, high - lane), long, target, 4 * size
                                    )
                        for channel in range(channels):
                            counts[:] = 0
                            for row in range(height):
                                of_row, at = (row + top) % down * right, (above + (row + top) // down) * across
                                for first in range(0, width, VECTOR):
                                    line = x[n, group, channel, row, first:]
                                    word = nonzero(is_bfloat16, line.ctypes.data, min(VECTOR, width - first))
                                    while word != 0:
                                        bit = np.int64(lowest_bit(word))
                                        word = np.uint32(word & np.uint32(word - np.uint32(1)))
                                        column = first + bit + left
                                        kind = of_row + column % right
                                        places[kind, counts[kind]] = (at + column // right) * size
                                        factors[kind, counts[kind]] = load(line[bit])
                                        counts[kind] += 1
                            for tap in range(kernel):
                                of_tap, back = tap * gap % down, tap * gap // down
                                for of_column in range(right):
                                    kind = of_tap * right + of_column
                                    for k in range(0, run, taps):
                                        add_listed(
                                            sums, places[kind].ctypes.data, factors[kind].ctypes.data, counts[kind],
                                            to_image + 4 * size * (k - back * across),
                                            out[part, group, block, channel, tap, of_column, k].ctypes.data,
                                        )  # fmt: skip

    return weight_gradient


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
        one, two = (everywhere(builder, load_at(builder, place, ir.FloatType()), VECTOR) for place in places)
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


@lru_cache(maxsize=64)
def _classes(c: Convolution) -> Tensor:
    """The columns of a kernel that meet each class of an image's columns, (stride, run); the kernel's width for none.

    Those of a class lie side by side, for places of the result that lie side by side.
    """
    run = -(-c.kernel[1] // c.stride[1])
    taps = torch.arange(c.stride[1])[:, None] + c.stride[1] * torch.arange(run - 1, -1, -1)
    return taps.clamp(max=c.kernel[1])


def _across(c: Convolution, run: int) -> int:
    """Places of a row of the result, with room around them for the weights that meet columns at the border."""
    return max((c.size[1] - 1 + c.before[1]) // c.stride[1] + run, c.places[1] + run - 1)


def forward(c: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    """x * weight: x (T, B, C, H, W), weight (O, C/groups, *kernel) → (T, B, O, rows, columns) in the format of x."""
    (channels, outputs), size, taps = c.of_group, _block(c.of_group[1]), _classes(c)
    # One output and one column more, of zeros, for blocks and classes that are not full.
    padded = nn.functional.pad(weight.float().view(c.groups, outputs, channels, *c.kernel), (0, 1))
    padded = nn.functional.pad(padded[..., taps], (0, 0) * 4 + (0, -outputs % size))
    blocks = padded.view(c.groups, -1, size, channels, c.kernel[0], *taps.shape)
    rows = blocks.permute(0, 1, 3, 4, 5, 6, 2).contiguous()
    out = arena.empty(*x.shape[:2], c.outputs, *c.places, dtype=x.dtype)
    images, run = x.shape[0] * x.shape[1], taps.shape[1]
    launch(
        _forward(size, run, x.dtype), images, channels, *c.size, c.groups, outputs, *c.places, c.kernel[0], *c.stride,
        c.dilation[0], *c.before, _across(c, run), x, rows, out, pieces=images,
    )  # fmt: skip
    return out


def weight_gradient(c: Convolution, x: Tensor, g: Tensor) -> Tensor:
    """The gradient of the weight, in float32, from those of the currents, (T, B, O, rows, columns)."""
    (channels, outputs), size, taps = c.of_group, _block(c.of_group[1]), _classes(c)
    shape = c.groups, -(-outputs // size), channels, c.kernel[0], taps.numel(), size
    images, run = x.shape[0] * x.shape[1], taps.shape[1]
    parts = max(1, min(_PARTS, images, _BYTES_OF_PARTS // (4 * prod(shape))))
    out = arena.empty(parts, *shape)
    # Rows of zeros around the gradients, where weights meet inputs at the border.
    above = (c.kernel[0] - 1) * c.dilation[0] // c.stride[0]
    deep = max((c.size[0] - 1 + c.before[0]) // c.stride[0] + 1, c.places[0])
    launch(
        _weight_gradient(size, run, x.dtype), images, channels, *c.size, c.groups, outputs, *c.places, c.kernel[0],
        *c.stride, c.dilation[0], *c.before, _across(c, run), above, deep, parts, x, g, out, pieces=parts,
    )  # fmt: skip
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
