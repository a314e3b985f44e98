"""Triton's ops for the formulas of ``izhi.kernels.dynamics``."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from izhi.kernels.cuda.launch import is_interpreted, jit
from izhi.kernels.ops import OpSet


def constant(value: Any) -> Any:
    return value if is_interpreted() else tl.constexpr(value)


@triton.jit
def _select(condition, a, b):  # type: ignore[no-untyped-def]
    return tl.where(condition, a, b)


@triton.jit
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    # A state that is no number stays one, as on a CPU, instead of becoming a limit.
    return tl.minimum(tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL), high, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _exp(x):  # type: ignore[no-untyped-def]
    return tl.exp(x)


@triton.jit
def _absolute(x):  # type: ignore[no-untyped-def]
    return tl.abs(x)


@triton.jit
def _wide(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float64)


@triton.jit
def _narrow(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float32)


@triton.jit
def _rounded(x, scale, unit):  # type: ignore[no-untyped-def]
    return tl.floor(x * scale + 0.5) * unit


@triton.jit
def divided(a, b):  # type: ignore[no-untyped-def]
    """a/b rounded as on a CPU; of 32 bits, Triton's own division is an approximation."""
    a, b = tl.broadcast(tl.to_tensor(a), tl.to_tensor(b))
    if a.dtype == tl.float64:
        return a / b
    return tl.div_rn(a, b)


OPS = OpSet(
    inlined=jit,
    constant=constant,
    number=constant,
    select=_select,
    clip=_clip,
    exp=_exp,
    absolute=_absolute,
    wide=_wide,
    narrow=_narrow,
    rounded=_rounded,
)
