"""Rate coding in Triton, with the random bits, and so the spikes, of ``izhi.kernels.cpu.rate``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

#: Pairs of elements of one program.
BLOCK = 256


@triton.jit
def _mix(h):  # type: ignore[no-untyped-def]
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)


@triton.jit  # type: ignore[untyped-decorator]
def _encode(limits, key, out, rows, width, half, block: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    i = tl.program_id(1) * block + tl.arange(0, block)
    key0 = tl.load(key).to(tl.uint32, bitcast=True)
    key1 = tl.load(key + 1).to(tl.uint32, bitcast=True)
    base = _mix(row.to(tl.uint32) ^ key0) ^ key1
    h = _mix(i.to(tl.uint32) * 0x9E3779B9 + base)
    limit = limits + (row % rows) * width + i
    place = out + row.to(tl.int64) * width + i
    first, second = i < half, i + half < width
    low = (h & 0xFFFF).to(tl.int32) < tl.load(limit, first, 0)
    high = (h >> 16).to(tl.int32) < tl.load(limit + half, second, 0)
    tl.store(place, low.to(tl.float32), first)
    tl.store(place + half, high.to(tl.float32), second)


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Bernoulli spikes (T, B, N) with probability values (B, N), a function of the seed alone."""
    rows, width = values.shape
    limits = (values.float() * float(1 << 16)).round_().to(torch.int32).contiguous()
    state = np.random.SeedSequence(seed).generate_state(2, np.uint32).view(np.int32)
    key = torch.from_numpy(state).to(values.device)
    out = torch.empty((steps, rows, width), dtype=dtype, device=values.device)
    half = (width + 1) // 2
    grid: Any = (steps * rows, triton.cdiv(half, BLOCK))
    if out.numel():
        _encode[grid](limits, key, out, rows, width, half, block=BLOCK)
    return out
