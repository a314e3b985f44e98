"""``reference.lif`` as one pass over time forward and one backward."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from izhi.kernels.cpu.scalars import (
    BLOCK,
    DERIVATIVES,
    as_numpy,
    codec,
    compile_kernel,
    f32,
    surrogate_kind,
)
from izhi.kernels.reference import LIFSettings


@cache
def _lif_forward(settings: tuple[str, bool], dtype: torch.dtype, keep: bool) -> Callable[..., None]:
    load, store = codec(dtype)
    reset, delay = settings
    subtract, to_zero = reset == "subtract", reset == "zero"

    @compile_kernel
    def forward(current, v0, s, spikes, w, v1):  # type: ignore[no-untyped-def]
        steps, lanes = current.shape
        beta, threshold = s[0], s[1]
        zero, one = f32(0), f32(1)
        for block in prange((lanes + BLOCK - 1) // BLOCK):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            v = np.empty(BLOCK, np.float32)
            for i in range(size):
                v[i] = v0[start + i]
            for t in range(steps):
                now = current[t]
                for i in range(size):
                    lane = start + i
                    old = v[i]
                    above = one if old > threshold else zero
                    if to_zero:
                        old = (one - above) * old
                    vn = beta * old + load(now[lane])
                    if subtract:
                        vn = vn - above * threshold
                    fires = one if vn - threshold > zero else zero
                    spikes[t, lane] = store(fires)
                    if keep:
                        w[t, lane] = vn
                    if not delay:
                        if subtract:
                            vn = vn - (fires - above) * threshold
                        elif to_zero:
                            vn = vn - (fires - above) * vn
                    v[i] = vn
            for i in range(size):
                v1[start + i] = v[i]

    return forward  # type: ignore[no-any-return]


@cache
def _lif_backward(dtype: torch.dtype, to_zero: bool, surrogate: Any) -> Callable[..., None]:
    load, store = codec(dtype)
    derivative = DERIVATIVES[surrogate]

    @compile_kernel
    def backward(grad_spikes, w, v0, s, grad_v1, grad_current, grad_v0):  # type: ignore[no-untyped-def]
        steps, lanes = grad_spikes.shape
        beta, threshold, slope = s[0], s[1], s[2]
        zero = f32(0)
        for block in prange((lanes + BLOCK - 1) // BLOCK):
            start = block * BLOCK
            size = min(BLOCK, lanes - start)
            gv = np.empty(BLOCK, np.float32)
            for i in range(size):
                gv[i] = grad_v1[start + i]
            for back in range(steps):
                t = steps - 1 - back
                for i in range(size):
                    lane = start + i
                    x = w[t, lane] - threshold
                    g = gv[i] + load(grad_spikes[t, lane]) * derivative(x, slope)
                    grad_current[t, lane] = store(g)
                    g = beta * g
                    if to_zero:
                        before = w[t - 1, lane] if t > 0 else v0[lane]
                        g = zero if before > threshold else g
                    gv[i] = g
            for i in range(size):
                grad_v0[start + i] = gv[i]

    return backward  # type: ignore[no-any-return]


class _LIF(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        v: Tensor,
        beta: float,
        threshold: float,
        s: LIFSettings,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        rows = (current.shape[0], v.numel())
        w = torch.empty(rows if keep else (0, 0), dtype=torch.float32)
        spikes = torch.empty_like(current, memory_format=torch.contiguous_format)
        v1 = torch.empty_like(v)
        slope = s.surrogate.slope  # type: ignore[attr-defined]
        numbers = np.array((beta, threshold, slope), np.float32)
        _lif_forward((s.reset, s.reset_delay), current.dtype, keep)(
            as_numpy(current).reshape(rows), as_numpy(v).reshape(-1), numbers,
            as_numpy(spikes).reshape(rows), w.numpy(), v1.numpy().reshape(-1),
        )  # fmt: skip
        if keep:
            ctx.save_for_backward(w, v)
            ctx.call = (s, current.dtype, numbers, current.shape)
        return spikes, v1

    @staticmethod
    def backward(ctx: Any, grad_spikes: Tensor, grad_v1: Tensor) -> Any:
        w, v = ctx.saved_tensors
        s, dtype, numbers, shape = ctx.call
        grad_current = torch.empty(shape, dtype=dtype)
        grad_v0 = torch.empty_like(grad_v1)
        _lif_backward(dtype, s.reset == "zero", surrogate_kind(s.surrogate))(
            as_numpy(grad_spikes.to(dtype)).reshape(w.shape), w.numpy(), as_numpy(v).reshape(-1), numbers,
            as_numpy(grad_v1).reshape(-1), as_numpy(grad_current).reshape(w.shape),
            grad_v0.numpy().reshape(-1),
        )  # fmt: skip
        return grad_current, grad_v0, None, None, None, None


def lif(
    current: Tensor, v: Tensor, beta: float, threshold: float, s: LIFSettings
) -> tuple[Tensor, Tensor]:
    """``reference.lif`` for constant β and threshold on a CPU, with a delayed reset."""
    keep = torch.is_grad_enabled() and (current.requires_grad or v.requires_grad)
    out: tuple[Tensor, Tensor] = _LIF.apply(  # type: ignore[no-untyped-call]
        current, v.float().contiguous(), beta, threshold, s, keep
    )
    return out
