"""Pools of windows that do not overlap, differentiable: by kernels on a CPU, by torch elsewhere."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from izhi.kernels.cpu import pool as cpu
from izhi.kernels.cpu.pool import MOST_IN_WINDOW, Kind
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.tracing import is_traced, once_differentiable

_KINDS: dict[type[nn.Module], tuple[Kind, int]] = {
    nn.MaxPool1d: ("max", 1), nn.MaxPool2d: ("max", 2), nn.AvgPool1d: ("mean", 1), nn.AvgPool2d: ("mean", 2),
}  # fmt: skip


class _Pool(torch.autograd.Function):
    """Planes (N, H, W) → (N, H/down, W/across); of equal ones the gradient goes to the first, as torch has it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: Kind, kernel: tuple[int, int]) -> Tensor:
        out, place = cpu.forward(x, kind, kernel)
        ctx.save_for_backward(place)
        ctx.kind, ctx.kernel, ctx.shape = kind, kernel, x.shape
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (place,) = ctx.saved_tensors
        return cpu.backward(dense(g).contiguous(), place, ctx.kind, ctx.kernel, ctx.shape), None, None


def pool(module: nn.Module, x: Tensor) -> Tensor | None:
    """What a pool of torch gives for x (N, C, L) or (N, C, H, W), by a kernel; None where no kernel covers it."""
    known, is_hooked = _KINDS.get(type(module)), bool(module._forward_hooks or module._forward_pre_hooks)
    if (
        known is None
        or is_hooked
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.bfloat16)
        or is_traced()
    ):
        return None
    kind, dimensions = known
    kernel = _window(module, dimensions)
    if kernel is None or x.dim() != dimensions + 2:
        return None
    *planes, height, width = x.shape if dimensions == 2 else (*x.shape[:2], 1, x.shape[2])
    if height < kernel[0] or width < kernel[1] or not x.numel():
        return None
    found: Tensor = _Pool.apply(materialize(x).contiguous().view(-1, height, width), kind, kernel)  # type: ignore[no-untyped-call]
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
