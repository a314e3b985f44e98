"""Rate coding as a Numba kernel with random bits of its own, the same for any number of threads.

Two elements of the output share a counter, hashed with the seed by the finaliser of MurmurHash3 (32 bit,
Appleby, public domain), twice; a spike is 1 where its half of the hash is below the value, which is so
rounded to a multiple of 1/65,536.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.compiled import inlined
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.bits import word_of
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    launch,
    number,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import codec
from izhi.kernels.events import WORD
from izhi.kernels.ops import Value

_u32 = np.uint32


@inlined
def mix(h: Value) -> Value:
    # Numba widens products of 32-bit numbers to 64 bits: each must be cut back.
    h = _u32(_u32(h ^ (h >> _u32(16))) * _u32(0x85EBCA6B))
    h = _u32(_u32(h ^ (h >> _u32(13))) * _u32(0xC2B2AE35))
    return _u32(h ^ (h >> _u32(16)))


@inlined
def _base(row: Value, key: Value) -> Value:
    """What the hashes of a row of elements, one step of one sample, begin with."""
    return _u32(mix(_u32(_u32(row) ^ key[0])) ^ key[1])


@inlined
def _salted(i: Value) -> Value:
    """What tells the elements of a row apart."""
    return _u32(_u32(i) * _u32(0x9E3779B9))


@inlined
def _limit(value: Value) -> Value:
    """A probability in units of 1/65,536, the nearest, of two as near the even one."""
    nearest = np.float32(np.float32(value * np.float32(1 << 16)) + np.float32(3 << 22)) - np.float32(3 << 22)
    return _u32(nearest)


@cache
def _rate(dtype: torch.dtype) -> Kernel:
    _, store, element = codec(dtype)
    zero, one = np.float32(0), np.float32(1)

    @compile_kernel
    def encode(data):  # type: ignore[no-untyped-def]
        steps, rows, width = number(data, 0), number(data, 1), number(data, 2)
        values = array(data, 3, (rows, width), np.float32)
        key = array(data, 4, 2, np.uint32)
        out = array(data, 5, (steps * rows, width), element)
        wide_vectors()
        worker, workers = share(data)
        total = steps * rows
        for row in range(worker * total // workers, (worker + 1) * total // workers):
            b = row % rows
            base = _base(row, key)
            # Each hash serves an element of the first half of the row and one of the second.
            value, half = values[b], (width + 1) // 2
            first, second = out[row, :half], out[row, half:]
            later = values[b, half:]
            for i in range(width - half):
                h = mix(_u32(_salted(i) + base))
                first[i] = store(one if _u32(h & _u32(0xFFFF)) < _limit(value[i]) else zero)
                second[i] = store(one if _u32(h >> _u32(16)) < _limit(later[i]) else zero)
            if width % 2:
                h = mix(_u32(_salted(half - 1) + base))
                first[half - 1] = store(one if _u32(h & _u32(0xFFFF)) < _limit(value[half - 1]) else zero)

    return encode


@cache
def _rate_bits() -> Kernel:
    """The same spikes, along time: all steps of an input at once, and none of those that never fire."""

    @compile_kernel
    def encode(data):  # type: ignore[no-untyped-def]
        steps, rows, width = number(data, 0), number(data, 1), number(data, 2)
        values = array(data, 3, (rows, width), np.float32)
        key = array(data, 4, 2, np.uint32)
        chunks = (steps + WORD - 1) // WORD
        words = array(data, 5, (rows, chunks, width), np.uint32)
        bases, flags = np.zeros(WORD, np.uint32), np.zeros(WORD, np.uint8)
        limits, lit = np.zeros(width, np.uint32), np.zeros(width + 1, np.int64)
        wide_vectors()
        worker, workers = share(data)
        half, address = (width + 1) // 2, flags.ctypes.data
        for b in range(worker * rows // workers, (worker + 1) * rows // workers):
            value = values[b]
            for i in range(width):
                limits[i] = _limit(value[i])
            count = 0
            for i in range(width):  # without a branch, which nobody could foresee
                lit[count] = i
                count += 1 if limits[i] else 0
            for c in range(chunks):
                length = min(WORD, steps - WORD * c)
                within = _u32(0xFFFFFFFF) >> _u32(WORD - length)
                for t in range(WORD):
                    bases[t] = _base((WORD * c + t) * rows + b, key)
                words[b, c, :] = _u32(0)
                for k in range(count):
                    i = lit[k]
                    limit, word = limits[i], _u32(0xFFFFFFFF)
                    if limit <= _u32(0xFFFF):
                        salt, shift = (_salted(i), _u32(0)) if i < half else (_salted(i - half), _u32(16))
                        for t in range(WORD):
                            h = mix(_u32(salt + bases[t]))
                            flags[t] = _u32(_u32(h >> shift) & _u32(0xFFFF)) < limit
                        word = word_of(address)
                    words[b, c, i] = word & within

    return encode


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype | None) -> Tensor:
    """Bernoulli spikes with probability values (B, N), a function of the seed alone.

    In a format, (T, B, N); for None as words (B, ⌈T/32⌉, N) of single bits along time.
    """
    batch, width = values.shape
    if dtype is None:
        out = arena.empty(batch, -(-steps // WORD), width, dtype=torch.int32)
    else:
        out = arena.empty(steps, batch, width, dtype=dtype)
    mixed = torch.from_numpy(np.random.SeedSequence(seed).generate_state(2, np.uint32).view(np.int32))
    kernel, pieces = (_rate_bits(), batch) if dtype is None else (_rate(dtype), steps * batch)
    launch(kernel, steps, batch, width, values.float().contiguous(), mixed, out, pieces=pieces)
    return out
