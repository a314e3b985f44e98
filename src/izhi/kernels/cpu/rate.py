"""Rate coding as a Numba kernel with random bits of its own, the same for any number of threads.

Each element of the output has a counter, hashed with the seed by the finaliser of MurmurHash3 (32 bit,
Appleby, public domain), twice; the spike is 1 where the hash is below the value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from izhi.kernels.cpu.scalars import as_numpy, codec, compile_kernel, inlined

_u32 = np.uint32


@inlined
def _mix(h: Any) -> Any:
    # Numba widens products of 32-bit numbers to 64 bits: each must be cut back.
    h = _u32(_u32(h ^ (h >> _u32(16))) * _u32(0x85EBCA6B))
    h = _u32(_u32(h ^ (h >> _u32(13))) * _u32(0xC2B2AE35))
    return _u32(h ^ (h >> _u32(16)))


@cache
def _rate(dtype: torch.dtype) -> Callable[..., None]:
    _, store = codec(dtype)

    @compile_kernel
    def encode(limits, key, out):  # type: ignore[no-untyped-def]
        steps, rows, width = out.shape
        for row in prange(steps * rows):
            t, b = row // rows, row % rows
            base = _u32(_mix(_u32(_u32(row) ^ key[0])) ^ key[1])
            for i in range(width):
                h = _mix(_u32(_u32(_u32(i) * _u32(0x9E3779B9)) + base))
                out[t, b, i] = store(
                    np.float32(1) if (h >> _u32(8)) < limits[b, i] else np.float32(0)
                )

    return encode  # type: ignore[no-any-return]


def rate(values: Tensor, steps: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Bernoulli spikes (T, B, N) with probability values (B, N), a function of the seed alone."""
    limits = (values.float() * float(1 << 24)).to(torch.int32).numpy().astype(np.uint32)
    out = torch.empty((steps, *values.shape), dtype=dtype)
    mixed = np.random.SeedSequence(seed).generate_state(2, np.uint32)
    _rate(dtype)(limits, mixed, as_numpy(out))
    return out
