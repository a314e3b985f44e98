"""Rate coding in Triton, with the random bits, and so the spikes, of ``izhi.kernels.cpu.rate``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from izhi.kernels.cuda.launch import kernel, launch
from izhi.kernels.events import WORD

#: Pairs of elements of one program.
BLOCK = 256


@triton.jit
def _mix(h):  # type: ignore[no-untyped-def]
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)


@kernel
def _encode(limits, key0, key1, out, rows, width, half, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    i = tl.program_id(1) * block + tl.arange(0, block)
    key0, key1 = key0.to(tl.uint32, bitcast=True), key1.to(tl.uint32, bitcast=True)
    base = _mix(row.to(tl.uint32) ^ key0) ^ key1
    h = _mix(i.to(tl.uint32) * 0x9E3779B9 + base)
    limit = limits + (row % rows) * width + i
    place = out + row.to(tl.int64) * width + i
    first, second = i < half, i + half < width
    low = (h & 0xFFFF).to(tl.int32) < tl.load(limit, first, 0)
    high = (h >> 16).to(tl.int32) < tl.load(limit + half, second, 0)
    tl.store(place, low.to(tl.float32), first)
    tl.store(place + half, high.to(tl.float32), second)


@kernel
def _encode_bits(limits, key0, key1, words, steps, rows, width, half, chunks, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """The same spikes, along time: a word of an input at once."""
    sample, c = tl.program_id(0) // chunks, tl.program_id(0) % chunks
    i = tl.program_id(1) * block + tl.arange(0, block)
    key0, key1 = key0.to(tl.uint32, bitcast=True), key1.to(tl.uint32, bitcast=True)
    salt = i.to(tl.uint32) * 0x9E3779B9
    first, second = i < half, i + half < width
    limit = limits + sample * width + i
    low_limit, high_limit = tl.load(limit, first, 0), tl.load(limit + half, second, 0)
    low, high = tl.zeros((block,), tl.int32), tl.zeros((block,), tl.int32)
    for k in range(tl.minimum(32, steps - c * 32)):
        row = (c * 32 + k) * rows + sample
        h = _mix(salt + (_mix(row.to(tl.uint32) ^ key0) ^ key1))
        low = low | (((h & 0xFFFF).to(tl.int32) < low_limit).to(tl.int32) << k)
        high = high | (((h >> 16).to(tl.int32) < high_limit).to(tl.int32) << k)
    place = words + (sample.to(tl.int64) * chunks + c) * width + i
    tl.store(place, low, first)
    tl.store(place + half, high, second)


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype | None) -> Tensor:
    """Bernoulli spikes with probability values (B, N), a function of the seed alone.

    In a format, (T, B, N); for None as words (B, ⌈T/32⌉, N) of single bits along time.
    """
    rows, width = values.shape
    limits = (values.float() * float(1 << 16)).round_().to(torch.int32).contiguous()
    key = np.random.SeedSequence(seed).generate_state(2, np.uint32).view(np.int32).tolist()
    half, chunks = (width + 1) // 2, -(-steps // WORD)
    if dtype is None:
        words = limits.new_empty(rows, chunks, width)
        grid: Any = (rows * chunks, triton.cdiv(half, BLOCK))
        if words.numel():
            launch(_encode_bits, grid, limits, *key, words, steps, rows, width, half, chunks, block=BLOCK)
        return words
    out = torch.empty((steps, rows, width), dtype=dtype, device=values.device)
    grid = (steps * rows, triton.cdiv(half, BLOCK))
    if out.numel():
        launch(_encode, grid, limits, *key, out, rows, width, half, block=BLOCK)
    return out
