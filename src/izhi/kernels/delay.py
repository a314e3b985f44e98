"""Delays of spikes as a differentiable operation: kernels on a CPU, a gather in torch elsewhere."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from izhi.kernels.cpu import delay as cpu


class _Delayed(torch.autograd.Function):
    """Spikes (T, B, N), those before (D + 1, B, N), delays (N,) in steps → delayed spikes (T, B, N).

    Spikes arrive in whole steps: a delay is rounded. Its gradient is that of the spike train moved by a
    small time, −∂x/∂t, by differences of the steps beside: (x[t−k−1] − x[t−k+1])/2, or x[t−1] − x[t] for
    no delay, whose next step has not come yet.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, past: Tensor, delays: Tensor) -> Tensor:
        whole = delays.detach().round().clamp(0, len(past) - 1).long()
        ctx.save_for_backward(x, past, whole)
        if _has_kernel(x):
            return cpu.forward(x.contiguous(), past.contiguous(), whole)
        return _moved(x, past, whole, 0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, past, whole = ctx.saved_tensors
        if _has_kernel(x):
            g = g.to(x.dtype).contiguous()
            return cpu.backward(x.contiguous(), past.contiguous(), whole, g)
        depth, length = len(past), len(x)
        steps = torch.arange(depth + length, device=g.device)[:, None] - depth + whole
        arrives = ((steps >= 0) & (steps < length))[:, None, :]
        index = steps.clamp(0, length - 1)[:, None, :].expand(-1, x.shape[1], -1)
        grad_past, grad_x = (g.gather(0, index) * arrives).split([depth, length])
        waits = (whole > 0).long()
        slope = _moved(x, past, whole, 1) - _moved(x, past, whole - waits, 0)
        return grad_x, grad_past, (g * slope / (1 + waits)).float().sum((0, 1))


def _has_kernel(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.bfloat16)


def _moved(x: Tensor, past: Tensor, whole: Tensor, more: int) -> Tensor:
    """x delayed by whole + more steps."""
    all_steps = torch.cat([past, x])
    steps = torch.arange(len(x), device=x.device)[:, None] - whole - more + len(past)
    return all_steps.gather(0, steps[:, None, :].expand(-1, x.shape[1], -1))


def delayed(x: Tensor, past: Tensor, delays: Tensor) -> Tensor:
    """x (T, B, N) delayed by delays (N,), in steps, rounded and held within 0 and D; differentiable.

    Args:
        x: spikes.
        past: the D + 1 steps before x, (D + 1, B, N).
        delays: of each neuron.
    """
    return _Delayed.apply(x, past, delays)  # type: ignore[no-any-return, no-untyped-call]


__all__ = ["delayed"]
