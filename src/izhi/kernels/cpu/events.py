"""Products of spikes that only visit the spikes: each adds one row of a matrix, and zeros cost nothing.

The current of a step is the sum of the weights' rows of the inputs that fire in it; the gradient of an input's
weights is the sum, over samples, of the currents' gradients in the steps in which it fires. Both go through the
columns in blocks of which a sum stays in registers, and a sample's rows in the nearest cache, for all its steps.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from torch import Tensor, nn

from izhi.kernels.cpu.bits import WORD, lowest_bit, number_of_bits, transpose_words
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    four_numbers,
    launch,
    number,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import f32, inlined, load_at, store_at
from izhi.kernels.vocabulary import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite.ir import IRBuilder
    from numba.core.base import BaseContext
    from numba.core.typing import Context, Signature

#: Columns of a block: of few neurons such as a readout's, of currents, whose rows must stay in the cache, and of
#: gradients.
_OF_FEW, _OF_CURRENTS, _OF_GRADIENTS = 16, 64, 128
#: The share of spikes above which a dense product is faster; it lies lower where bfloat16 has units of its own.
DENSE = {torch.float32: 0.25, torch.bfloat16: 0.03}
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _adder(size: int) -> Value:
    """An intrinsic for rows of so many float32: into += Σ_k rows[places[k]] over k < count, all by their addresses."""

    @numba.extending.intrinsic  # type: ignore[untyped-decorator]
    def add_rows(typing: Context, rows: Value, places: Value, count: Value, into: Value) -> Value:
        def generate(
            context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]
        ) -> ir.Value:
            kind = ir.VectorType(ir.FloatType(), size)
            rows, places, count, into = args

            begin, total = builder.block, load_at(builder, into, kind)
            loop, end = builder.append_basic_block("row"), builder.append_basic_block("done")
            builder.cbranch(builder.icmp_signed(">", count, ir.Constant(_I64, 0)), loop, end)
            builder.position_at_end(loop)
            k, before = builder.phi(_I64), builder.phi(kind)
            place = builder.zext(
                load_at(builder, builder.add(places, builder.mul(k, ir.Constant(_I64, 4))), _I32), _I64
            )
            row = load_at(builder, builder.add(rows, builder.mul(place, ir.Constant(_I64, 4 * size))), kind)
            after, following = builder.fadd(before, row), builder.add(k, ir.Constant(_I64, 1))
            for phi, first, then in ((k, ir.Constant(_I64, 0), following), (before, total, after)):
                phi.add_incoming(first, begin)
                phi.add_incoming(then, loop)
            builder.cbranch(builder.icmp_signed("<", following, count), loop, end)
            builder.position_at_end(end)
            found = builder.phi(kind)
            found.add_incoming(total, begin)
            found.add_incoming(after, loop)
            store_at(builder, found, into)
            return context.get_dummy_value()

        return types.none(*[types.int64] * 4), generate

    return add_rows


# Known to the kernels by name: one that captured an intrinsic would never be found again in the cache on disk.
_add_few, _add_narrow_rows, _add_wide_rows = _adder(_OF_FEW), _adder(_OF_CURRENTS), _adder(_OF_GRADIENTS)


@inlined
def add_rows(size: Value, rows: Value, places: Value, count: Value, into: Value) -> None:
    """The adder for rows of one of these sizes."""
    if size == _OF_FEW:
        _add_few(rows, places, count, into)
    elif size == _OF_CURRENTS:
        _add_narrow_rows(rows, places, count, into)
    else:
        _add_wide_rows(rows, places, count, into)


@inlined
def list_bits(word: Value, first: Value, places: Value, count: Value) -> Value:
    """Put where a word has bits, counted from ``first``, behind so many places; how many there are then."""
    while word != 0:
        places[count] = np.int32(first) + np.int32(lowest_bit(word))
        count += 1
        word = np.uint32(word & np.uint32(word - np.uint32(1)))
    return count


@cache
def _product(size: int) -> Kernel:
    @compile_kernel
    def product(data):  # type: ignore[no-untyped-def]
        steps, batch, per_row, blocks = four_numbers(data)
        inputs = number(data, 4)
        words = array(data, 5, (steps, batch, per_row), np.uint32)
        weights = number(data, 6)
        out = array(data, 7, (steps, batch, blocks, size), f32)
        wide_vectors()
        worker, workers = share(data)
        places, starts = np.zeros(32 * 32 * per_row, np.int32), np.zeros(33, np.int64)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            for first in range(0, steps, 32):
                length, count = min(32, steps - first), 0
                for t in range(length):
                    starts[t] = count
                    for w in range(per_row):
                        count = list_bits(words[first + t, b, w], 32 * w, places, count)
                starts[length] = count
                for block in range(blocks):
                    rows = weights + 4 * size * inputs * block
                    for t in range(length):
                        total = out[first + t, b, block]
                        for i in range(size):
                            total[i] = f32(0)
                        fired = places.ctypes.data + 4 * starts[t]
                        add_rows(size, rows, fired, starts[t + 1] - starts[t], total.ctypes.data)

    return product


@cache
def _gradient(size: int) -> Kernel:
    @compile_kernel
    def gradient(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, blocks = four_numbers(data)
        inputs, parts, per_row = number(data, 4), number(data, 5), number(data, 6)
        along_time = array(data, 7, (batch, chunks, per_row), np.uint32)
        g = array(data, 8, (steps, batch, blocks, size), f32)
        out = array(data, 9, (blocks, inputs, size), f32)
        wide_vectors()
        worker, workers = share(data)
        pieces = blocks * parts
        rows, places = np.zeros((32, size), f32), np.zeros(32, np.int32)
        for piece in range(worker * pieces // workers, (worker + 1) * pieces // workers):
            block, part = piece // parts, piece % parts
            low, high = part * inputs // parts, (part + 1) * inputs // parts
            of_block = out[block]
            for k in range(low, high):
                for i in range(size):
                    of_block[k, i] = f32(0)
            for b in range(batch):
                for c in range(chunks):
                    # Side by side: steps lie so far apart that they would push each other out of the cache.
                    for t in range(min(32, steps - 32 * c)):
                        source, target = g[32 * c + t, b, block], rows[t]
                        for i in range(size):
                            target[i] = source[i]
                    for k in range(low, high):
                        count = list_bits(along_time[b, c, k], 0, places, 0)
                        if count:
                            add_rows(size, rows.ctypes.data, places.ctypes.data, count, of_block[k].ctypes.data)

    return gradient


@cache
def _along_time() -> Kernel:
    @compile_kernel
    def along_time(data):  # type: ignore[no-untyped-def]
        chunks, batch, per_row = number(data, 0), number(data, 1), number(data, 2)
        source, target = number(data, 3), number(data, 4)
        wide_vectors()
        worker, workers = share(data)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            for c in range(chunks):
                for w in range(per_row):
                    transpose_words(
                        source + 4 * ((32 * c * batch + b) * per_row + w),
                        4 * batch * per_row,
                        target + 4 * 32 * ((b * chunks + c) * per_row + w),
                    )

    return along_time


def along_time(words: Tensor) -> Tensor:
    """Words (T, B, W) of each step → words (B, ⌈T/32⌉, 32·W) of each input: bit t of (b, c, i) is its step 32·c + t."""
    steps, batch, per_row = words.shape
    chunks = -(-steps // WORD)
    if steps % WORD:
        words = torch.cat([words, words.new_zeros(-steps % WORD, batch, per_row)])
    out = words.new_empty(batch, chunks, WORD * per_row)
    launch(_along_time(), chunks, batch, per_row, words.contiguous(), out, pieces=batch)
    return out


@cache
def _count() -> Kernel:
    @compile_kernel
    def count(data):  # type: ignore[no-untyped-def]
        size = number(data, 0)
        words = array(data, 1, size, np.uint32)
        total = array(data, 2, 1, np.int64)
        for i in range(size):
            total[0] += number_of_bits(words[i])

    return count


def density(words: Tensor, features: int) -> float:
    """The share of 1 among the spikes (…, features) of words (…, W)."""
    total = torch.zeros(1, dtype=torch.int64)
    launch(_count(), words.numel(), words, total, pieces=1)
    return int(total) / max(1, features * (words.numel() // words.shape[-1]))


def pays(words: Tensor, outputs: int, inputs: int, dtype: torch.dtype) -> bool:
    """Whether these products are faster than dense ones with a weight (outputs, inputs)."""
    return fits(outputs) and dtype in DENSE and density(words, inputs) < DENSE[dtype]


def fits(outputs: int) -> bool:
    """Whether the columns fill their blocks well enough for dense products to be slower."""
    return outputs <= _OF_FEW or outputs >= _OF_CURRENTS


def _blocks(x: Tensor, size: int) -> Tensor:
    """(…, N) → (…, ⌈N/size⌉, size), zeros behind the last column."""
    x = nn.functional.pad(x, (0, -x.shape[-1] % size)) if x.shape[-1] % size else x
    return x.reshape(*x.shape[:-1], -1, size)


def rows_of(weight: Tensor) -> Tensor:
    """A weight (O, I) as ``summed`` takes it: what each input adds, in blocks of outputs (⌈O/size⌉, I, size)."""
    size = _OF_FEW if len(weight) <= _OF_FEW else _OF_CURRENTS
    return _blocks(weight.float().t(), size).transpose(0, 1).contiguous()


def summed(words: Tensor, rows: Tensor, outputs: int) -> Tensor:
    """Words (T, B, W) of spikes and the rows of a weight → (T, B, O) in float32."""
    (steps, batch, per_row), (blocks, inputs, size) = words.shape, rows.shape
    out = torch.empty(steps, batch, blocks, size)
    launch(_product(size), steps, batch, per_row, blocks, inputs, words, rows, out, pieces=batch)
    return out.flatten(2)[..., :outputs].contiguous()


def product(words: Tensor, weight: Tensor) -> Tensor:
    """Spikes·weightᵀ in float32: words (T, B, W) of spikes (T, B, I), weight (O, I) → (T, B, O)."""
    return summed(words, rows_of(weight), len(weight))


def weight_gradient(words: Tensor, inputs: int, g: Tensor) -> Tensor:
    """gᵀ·spikes in float32: words (T, B, W) of spikes (T, B, I), g (T, B, O) float32 → (O, I)."""
    (steps, batch, _), outputs = words.shape, g.shape[-1]
    size = next((size for size in (_OF_FEW, _OF_CURRENTS) if outputs <= size), _OF_GRADIENTS)
    arriving, fired = _blocks(g, size).contiguous(), along_time(words)
    blocks, chunks = arriving.shape[2], fired.shape[1]
    out = torch.empty(blocks, inputs, size)
    parts = -(-torch.get_num_threads() // blocks)
    launch(
        _gradient(size), steps, batch, chunks, blocks, inputs, parts, fired.shape[2], fired, arriving, out,
        pieces=blocks * parts,
    )  # fmt: skip
    return out.transpose(1, 2).flatten(0, 1)[:outputs].contiguous()


__all__ = [
    "DENSE",
    "add_rows",
    "along_time",
    "density",
    "fits",
    "list_bits",
    "pays",
    "product",
    "rows_of",
    "summed",
    "weight_gradient",
]
