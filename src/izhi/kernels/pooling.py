"""Pools of windows that do not overlap, differentiable."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from izhi.kernels.device import kernels_for
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.plan import PoolKernels, PoolKind
from izhi.kernels.tracing import is_traced, once_differentiable

#: Features in a window, at most: a byte says which of them was the largest.
MOST_IN_WINDOW = 256
_KINDS: dict[type[nn.Module], tuple[PoolKind, int]] = {
    nn.MaxPool1d: ("max", 1), nn.MaxPool2d: ("max", 2), nn.AvgPool1d: ("mean", 1), nn.AvgPool2d: ("mean", 2),
}  # fmt: skip


class _Pool(torch.autograd.Function):
    """Planes (N, H, W) → (N, H/down, W/across); of equal ones the gradient goes to the first, as torch has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: PoolKind, window: tuple[int, int], kernels: PoolKernels) -> Tensor:
        out, place = kernels.forward(x, kind, window)
        ctx.save_for_backward(place)
        ctx.kind, ctx.window, ctx.shape, ctx.kernels = kind, window, x.shape, kernels
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (place,) = ctx.saved_tensors
        found = ctx.kernels.backward(dense(g).contiguous(), place, ctx.kind, ctx.window, ctx.shape)
        return found, None, None, None


def pool(module: nn.Module, x: Tensor) -> Tensor | None:
    """What a pool of torch gives for x (N, C, L) or (N, C, H, W), by a kernel; None where no kernel covers it."""
    known, is_hooked = _KINDS.get(type(module)), bool(module._forward_hooks or module._forward_pre_hooks)
    if known is None or is_hooked or is_traced() or (kernels := kernels_for(x)) is None:
        return None
    kind, dimensions = known
    window = _window(module, dimensions)
    if window is None or x.dim() != dimensions + 2:
        return None
    *planes, height, width = x.shape if dimensions == 2 else (*x.shape[:2], 1, x.shape[2])
    if height < window[0] or width < window[1] or not x.numel():
        return None
    images = materialize(x).contiguous().view(-1, height, width)
    found: Tensor = _Pool.apply(images, kind, window, kernels.POOLS)  # type: ignore[no-untyped-call]
    places = found.shape[1:] if dimensions == 2 else found.shape[2:]
    return found.view(*planes, *places)


def _window(module: Any, dimensions: int) -> tuple[int, int] | None:
    """Size of the windows, down and across, if they lie side by side and nothing else is asked for."""

    def sizes(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return (value,) * dimensions if isinstance(value, int) else tuple(value)

    kernel = sizes(module.kernel_size)
    options = (module.ceil_mode, getattr(module, "return_indices", False), getattr(module, "divisor_override", None))
    is_plain = sizes(module.stride) == kernel and not any(sizes(module.padding)) and not any(options)
    if not is_plain or any(x != 1 for x in sizes(getattr(module, "dilation", 1))) or math.prod(kernel) > MOST_IN_WINDOW:
        return None
    return (1, kernel[0]) if dimensions == 1 else (kernel[0], kernel[1])
