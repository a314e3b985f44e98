"""Spikes as single bits: bit i of word w is the spike of neuron 32·w + i."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from torch import Tensor

from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    launch,
    number,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import codec, f32, load_at, store_at
from izhi.kernels.vocabulary import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llvmlite import ir
    from llvmlite.ir import IRBuilder
    from numba.core.base import BaseContext
    from numba.core.typing import Context, Signature


WORD = 32
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing: Context, word: Value) -> Value:
    """The place of the lowest bit that is set in a word that is not zero."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        return builder.cttz(args[0], cgutils.true_bit)

    return types.uint32(types.uint32), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def number_of_bits(typing: Context, word: Value) -> Value:
    """How many bits of a word are set."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        return builder.ctpop(args[0])

    return types.uint32(types.uint32), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def word_of(typing: Context, address: Value) -> Value:
    """The word whose bits say which of 32 bytes are not zero."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        kind = ir.VectorType(_I8, WORD)
        flags = load_at(builder, args[0], kind, align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", flags, ir.Constant(kind, [0] * WORD)), _I32)

    return types.uint32(types.int64), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def words_of_floats(typing: Context, address: Value) -> Value:
    """The word whose bits say which of 32 float32 are not 0; above it, in 64 bits, which of those are not 1 either."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        kind = ir.VectorType(ir.FloatType(), WORD)
        x = load_at(builder, args[0], kind)
        fires, odd = (builder.fcmp_unordered("!=", x, ir.Constant(kind, [value] * WORD)) for value in (0.0, 1.0))
        words = [builder.zext(builder.bitcast(flags, _I32), _I64) for flags in (fires, builder.and_(fires, odd))]
        return builder.or_(words[0], builder.shl(words[1], ir.Constant(_I64, 32)))

    return types.uint64(types.int64), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def transpose_words(typing: Context, source: Value, stride: Value, target: Value) -> Value:
    """32 words a stride (bytes) apart → 32 words side by side: bit r of word i is bit i of word r."""

    def generate(context: BaseContext, builder: IRBuilder, signature: Signature, args: Sequence[ir.Value]) -> ir.Value:
        kind = ir.VectorType(_I32, WORD)
        words = ir.Constant(kind, ir.Undefined)
        for r in range(WORD):
            place = builder.add(args[0], builder.mul(args[1], ir.Constant(_I64, r)))
            word = load_at(builder, place, _I32)
            words = builder.insert_element(words, word, ir.Constant(_I32, r))
        for i in range(WORD):
            bit = builder.and_(words, ir.Constant(kind, [1 << i] * WORD))
            turned = builder.icmp_unsigned("!=", bit, ir.Constant(kind, [0] * WORD))
            place = builder.add(args[2], ir.Constant(_I64, 4 * i))
            store_at(builder, builder.bitcast(turned, _I32), place)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 3), generate


@cache
def _expand(dtype: torch.dtype) -> Kernel:
    _, store, element = codec(dtype)
    one, zero = f32(1), f32(0)

    @compile_kernel
    def expand(data):  # type: ignore[no-untyped-def]
        rows, features = number(data, 0), number(data, 1)
        width = (features + WORD - 1) // WORD
        words = array(data, 2, (rows, width), np.uint32)
        out = array(data, 3, (rows, features), element)
        wide_vectors()
        worker, workers = share(data)
        for row in range(worker * rows // workers, (worker + 1) * rows // workers):
            for w in range(width):
                word, line = words[row, w], out[row, 32 * w : min(features, 32 * w + 32)]
                for i in range(len(line)):
                    line[i] = store(one if (word >> np.uint32(i)) & np.uint32(1) else zero)

    return expand


@cache
def _pack() -> Kernel:
    @compile_kernel
    def pack(data):  # type: ignore[no-untyped-def]
        rows, features = number(data, 0), number(data, 1)
        width = (features + WORD - 1) // WORD
        x = array(data, 2, (rows, features), f32)
        words = array(data, 3, (rows, width), np.uint32)
        most = array(data, 4, rows, np.int32)
        wide_vectors()
        worker, workers = share(data)
        last = np.zeros(WORD, f32)
        for row in range(worker * rows // workers, (worker + 1) * rows // workers):
            count = 0
            for w in range(width):
                size, address = min(WORD, features - 32 * w), x[row].ctypes.data + 4 * 32 * w
                if size < WORD:
                    for i in range(size):
                        last[i] = x[row, 32 * w + i]
                    address = last.ctypes.data
                found = words_of_floats(address)
                word = np.uint32(found & np.uint64(0xFFFFFFFF))
                words[row, w] = word
                if found >> np.uint64(32) != 0:
                    count = -1
                    break
                count += number_of_bits(word)
            most[row] = count

    return pack


def packed(x: Tensor) -> tuple[Tensor, float] | None:
    """Spikes (…, N) in float32 as words (…, ⌈N/32⌉), and the share of 1 in them; None if some are neither 0 nor 1."""
    features = x.shape[-1]
    words = torch.empty(*x.shape[:-1], -(-features // WORD), dtype=torch.int32)
    rows = x.numel() // features
    counts = torch.empty(rows, dtype=torch.int32)
    launch(_pack(), rows, features, x.contiguous(), words, counts, pieces=rows)
    return None if int(counts.min()) < 0 else (words, int(counts.sum()) / x.numel())


def dense(words: Tensor, features: int, dtype: torch.dtype) -> Tensor:
    """Words (…, ⌈N/32⌉) → spikes (…, N) of 0 and 1 in float32 or bfloat16."""
    out = torch.empty(*words.shape[:-1], features, dtype=dtype)
    rows = words.numel() // words.shape[-1]
    launch(_expand(dtype), rows, features, words.contiguous(), out, pieces=rows)
    return out


__all__ = ["WORD", "dense", "lowest_bit", "number_of_bits", "packed", "transpose_words", "word_of", "words_of_floats"]
