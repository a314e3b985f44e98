"""The product of spikes and weights, with the fastest gradient that the machine has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from izhi.kernels.cpu import amx

#: Rows below which turning a matrix over costs more than it gives.
_LEAST_ROWS, _LEAST_OUTPUTS = 256, 32


class _Product(torch.autograd.Function):
    """spikes (…, I) in bfloat16, weight (N, I) → (…, N); the weight's gradient is in float32."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor) -> Tensor:
        weight = weight.to(spikes.dtype)
        ctx.save_for_backward(spikes, weight)
        return nn.functional.linear(spikes, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        spikes, weight = ctx.saved_tensors
        needs_spikes, needs_weight = ctx.needs_input_grad
        rows = g.contiguous().view(-1, weight.shape[0])
        grad_weight = None
        if needs_weight:
            grad_weight = amx.weight_gradient(rows, spikes.contiguous().view(-1, weight.shape[1]))
        return (rows @ weight).view_as(spikes) if needs_spikes else None, grad_weight


def product(spikes: Tensor, weight: Tensor) -> Tensor:
    """spikes·weightᵀ: (…, I) and (N, I) → (…, N), as ``torch.nn.functional.linear``.

    In bfloat16 on a CPU with a matrix unit, the weight's gradient is computed by a kernel of its own.
    """
    if (
        spikes.dtype == torch.bfloat16
        and spikes.device.type == "cpu"
        and weight.requires_grad
        and torch.is_grad_enabled()
        and spikes.numel() >= _LEAST_ROWS * weight.shape[1]
        and weight.shape[0] >= _LEAST_OUTPUTS
        and amx.is_available()
    ):
        out: Tensor = _Product.apply(spikes, weight)  # type: ignore[no-untyped-call]
        return out
    return nn.functional.linear(spikes, weight)
