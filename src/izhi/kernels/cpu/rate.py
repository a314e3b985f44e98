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

from izhi.kernels.cpu.bits import WORD, word_of
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    launch,
    number,
    share,
    wide_vectors,
)
from izhi.kernels.cpu.scalars import codec, inlined
from izhi.kernels.vocabulary import Value

_u32 = np.uint32


@inlined
def mix(h: Value) -> Value:
    # Numba widens products of 32-bit numbers to 64 bits: each must be cut back.
    h = _u32(_u32(h ^ (h >> _u32(16))) * _u32(0x85EBCA6B))
    h = _u32(_u32(h ^ (h >> _u32(13))) * _u32(0xC2B2AE35))
    return _u32(h ^ (h >> _u32(16)))


@inlined
def _flag(x: Value) -> Value:
    return np.uint8(x)


@cache
def _rate(dtype: torch.dtype | None) -> Kernel:
    """Into numbers of a format, or into single bits for None."""
    packed = dtype is None
    store, element = (_flag, np.uint8) if dtype is None else codec(dtype)[1:]
    zero, one = np.float32(0), np.float32(1)

    @compile_kernel
    def encode(data):  # type: ignore[no-untyped-def]
        steps, rows, width = number(data, 0), number(data, 1), number(data, 2)
        limits = array(data, 3, (rows, width), np.uint32)
        key = array(data, 4, 2, np.uint32)
        per_row = (width + WORD - 1) // WORD
        words = array(data, 5, (steps * rows, per_row), np.uint32)
        out = array(data, 5, (steps * rows, width), element)
        flags = np.zeros((1, per_row * WORD), np.uint8)
        wide_vectors()
        worker, workers = share(data)
        total = steps * rows
        for row in range(worker * total // workers, (worker + 1) * total // workers):
            b = row % rows
            base = _u32(mix(_u32(_u32(row) ^ key[0])) ^ key[1])
            # Each hash serves an element of the first half of the row and one of the second.
            limit, half = limits[b], (width + 1) // 2
            line = flags[0, :width] if packed else out[row]
            first, second = line[:half], line[half:]
            later = limits[b, half:]
            for i in range(width - half):
                h = mix(_u32(_u32(_u32(i) * _u32(0x9E3779B9)) + base))
                first[i] = store(one if _u32(h & _u32(0xFFFF)) < limit[i] else zero)
                second[i] = store(one if _u32(h >> _u32(16)) < later[i] else zero)
            if width % 2:
                h = mix(_u32(_u32(_u32(half - 1) * _u32(0x9E3779B9)) + base))
                first[half - 1] = store(one if _u32(h & _u32(0xFFFF)) < limit[half - 1] else zero)
            if packed:
                for w in range(per_row):
                    words[row, w] = word_of(flags.ctypes.data + WORD * w)

    return encode


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype | None) -> Tensor:
    """Bernoulli spikes with probability values (B, N), a function of the seed alone.

    In a format, (T, B, N); for None as words (T, B, ⌈N/32⌉) of single bits.
    """
    limits = (values.float() * float(1 << 16)).round_().to(torch.int32).contiguous()
    batch, width = values.shape
    if dtype is None:
        out = torch.empty(steps, batch, -(-width // WORD), dtype=torch.int32)
    else:
        out = torch.empty(steps, batch, width, dtype=dtype)
    mixed = torch.from_numpy(np.random.SeedSequence(seed).generate_state(2, np.uint32).view(np.int32))
    launch(_rate(dtype), steps, batch, width, limits, mixed, out, pieces=steps * batch)
    return out
