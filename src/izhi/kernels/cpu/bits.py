"""Spikes as single bits along time: bit t of word (b, c, i) is the spike of input i of sample b in step 32·c + t."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from torch import Tensor

from izhi.kernels.cpu import arena
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
from izhi.kernels.cpu.scalars import codec, emitted, everywhere, f32, load_at, store_at
from izhi.kernels.events import WORD

if TYPE_CHECKING:
    from llvmlite import ir
    from llvmlite.ir import IRBuilder


_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


@emitted(types.uint32, types.uint32)
def lowest_bit(builder: IRBuilder, word: ir.Value) -> ir.Value:
    """The place of the lowest bit that is set in a word that is not zero."""
    return builder.cttz(word, cgutils.true_bit)


@emitted(types.uint32, types.uint32)
def number_of_bits(builder: IRBuilder, word: ir.Value) -> ir.Value:
    """How many bits of a word are set."""
    return builder.ctpop(word)


@emitted(types.uint32, types.int64)
def word_of(builder: IRBuilder, address: ir.Value) -> ir.Value:
    """The word whose bits say which of 32 bytes are not zero."""
    kind = ir.VectorType(_I8, WORD)
    flags = load_at(builder, address, kind, align=1)
    return builder.bitcast(builder.icmp_unsigned("!=", flags, ir.Constant(kind, [0] * WORD)), _I32)


@emitted(types.uint64, types.int64)
def words_of_floats(builder: IRBuilder, address: ir.Value) -> ir.Value:
    """The word whose bits say which of 32 float32 are not 0; above it, in 64 bits, which of those are not 1 either."""
    kind = ir.VectorType(ir.FloatType(), WORD)
    x = load_at(builder, address, kind)
    fires, odd = (builder.fcmp_unordered("!=", x, ir.Constant(kind, [value] * WORD)) for value in (0.0, 1.0))
    words = [builder.zext(builder.bitcast(flags, _I32), _I64) for flags in (fires, builder.and_(fires, odd))]
    return builder.or_(words[0], builder.shl(words[1], ir.Constant(_I64, 32)))


@emitted(types.none, *[types.int64] * 2)
def transpose_words(builder: IRBuilder, source: ir.Value, target: ir.Value) -> None:
    """32 words side by side → 32 others, by their addresses: bit r of word i is bit i of word r."""
    kind = ir.VectorType(_I8, WORD)
    all_bytes = load_at(builder, source, ir.VectorType(_I8, 4 * WORD))
    for k in range(4):
        every = ir.Constant(ir.VectorType(_I32, WORD), [4 * r + k for r in range(WORD)])
        of_words = builder.shuffle_vector(all_bytes, ir.Constant(all_bytes.type, ir.Undefined), every)
        for i in reversed(range(8)):
            # The sign of each byte is its highest bit, which an instruction collects.
            signs = builder.icmp_signed("<", of_words, ir.Constant(kind, [0] * WORD))
            place = builder.add(target, ir.Constant(_I64, 4 * (8 * k + i)))
            store_at(builder, builder.bitcast(signs, _I32), place)
            of_words = builder.add(of_words, of_words)


@emitted(types.uint32, types.int64, types.uint32, types.uint32, types.int64)
def turn_over(builder: IRBuilder, source: ir.Value, limit: ir.Value, every: ir.Value, target: ir.Value) -> ir.Value:
    """32 words side by side → the same, but for those of more bits than a limit, of which all of ``every`` turn over.

    Source and target by their addresses; which words these are, a bit each.
    """
    kind = ir.VectorType(_I32, WORD)
    words = load_at(builder, source, kind)
    count_bits = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), f"llvm.ctpop.v{WORD}i32")
    many = builder.icmp_unsigned(">", builder.call(count_bits, [words]), everywhere(builder, limit, WORD))
    turned = builder.select(many, everywhere(builder, every, WORD), ir.Constant(kind, [0] * WORD))
    store_at(builder, builder.xor(words, turned), target)
    return builder.bitcast(many, _I32)


@cache
def _expand(dtype: torch.dtype) -> Kernel:
    _, store, element = codec(dtype)
    one, zero = f32(1), f32(0)

    @compile_kernel
    def expand(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        words = array(data, 4, (batch, chunks, inputs), np.uint32)
        out = array(data, 5, (steps, batch, inputs), element)
        wide_vectors()
        worker, workers = share(data)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            for t in range(steps):
                source, target, step = words[b, t // WORD], out[t, b], np.uint32(t % WORD)
                for i in range(inputs):
                    target[i] = store(one if (source[i] >> step) & np.uint32(1) else zero)

    return expand


@cache
def _pack() -> Kernel:
    @compile_kernel
    def pack(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, inputs = four_numbers(data)
        x = array(data, 4, (steps, batch, inputs), f32)
        words = array(data, 5, (batch, chunks, inputs), np.uint32)
        counts = array(data, 6, batch, np.int32)
        wide_vectors()
        worker, workers = share(data)
        whole, groups = inputs // WORD, (inputs + WORD - 1) // WORD
        of_steps, of_inputs = np.zeros((groups, WORD), np.uint32), np.zeros(WORD, np.uint32)
        last = np.zeros(WORD, f32)
        rest = last.ctypes.data
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            total, odd = 0, np.uint64(0)
            for c in range(chunks):
                of_steps[:] = np.uint32(0)
                for t in range(min(WORD, steps - WORD * c)):
                    row = x[WORD * c + t, b]
                    for i in range(WORD * whole, inputs):
                        last[i - WORD * whole] = row[i]
                    for w in range(groups):
                        found = words_of_floats(row.ctypes.data + 4 * WORD * w if w < whole else rest)
                        of_steps[w, t] = found
                        total += number_of_bits(np.uint32(found))
                        odd |= found >> np.uint64(32)
                for w in range(groups):
                    transpose_words(of_steps[w].ctypes.data, of_inputs.ctypes.data)
                    for i in range(min(WORD, inputs - WORD * w)):
                        words[b, c, WORD * w + i] = of_inputs[i]
            counts[b] = -1 if odd else total

    return pack


@cache
def _counted() -> Kernel:
    @compile_kernel
    def counted(data):  # type: ignore[no-untyped-def]
        rows, inputs = number(data, 0), number(data, 1)
        words = array(data, 2, (rows, inputs), np.uint32)
        out = array(data, 3, inputs, np.int64)
        wide_vectors()
        worker, workers = share(data)
        low, high = worker * inputs // workers, (worker + 1) * inputs // workers
        for i in range(low, high):
            out[i] = 0
        for row in range(rows):
            for i in range(low, high):
                out[i] += number_of_bits(words[row, i])

    return counted


def counted(words: Tensor) -> Tensor:
    """How many bits each input has in all words (B, ⌈T/32⌉, N) → (N,) in float32."""
    batch, chunks, inputs = words.shape
    out = torch.empty(inputs, dtype=torch.int64)
    launch(_counted(), batch * chunks, inputs, words.contiguous(), out, pieces=inputs)
    return out.float()


def packed(x: Tensor) -> tuple[Tensor, float] | None:
    """Spikes (T, B, N) in float32 as words (B, ⌈T/32⌉, N), and the share of 1 in them; None if some are not 0 or 1."""
    steps, batch, inputs = x.shape
    words = arena.empty(batch, -(-steps // WORD), inputs, dtype=torch.int32)
    counts = torch.empty(batch, dtype=torch.int32)
    launch(_pack(), steps, batch, words.shape[1], inputs, x.contiguous(), words, counts, pieces=batch)
    return None if int(counts.min()) < 0 else (words, int(counts.sum()) / x.numel())


def packed_nonzero(x: Tensor) -> Tensor:
    """Spikes (T, B, N) as words (B, ⌈T/32⌉, N); whatever is not 0 counts as 1."""
    found = (packed(x) if x.dtype == torch.float32 else None) or packed((x != 0).float())
    assert found is not None
    return found[0]


def dense(words: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Words (B, ⌈T/32⌉, N) → spikes (T, B, N) of 0 and 1."""
    if dtype not in (torch.float32, torch.bfloat16):
        return dense(words, steps, torch.float32).to(dtype)
    batch, chunks, inputs = words.shape
    out = arena.empty(steps, batch, inputs, dtype=dtype)
    launch(_expand(dtype), steps, batch, chunks, inputs, words.contiguous(), out, pieces=batch)
    return out
