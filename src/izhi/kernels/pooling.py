"""Pools of windows that do not overlap, differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from izhi.kernels.device import kernels_for
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.packed import BinarySpikes, PackedSpikes, bits_of
from izhi.kernels.plan import PoolKernels, PoolKind
from izhi.kernels.tracing import has_hooks, is_traced, once_differentiable

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


class _PoolOfBits(torch.autograd.Function):
    """Spikes (T, B, C, *size) as bits → the largest of each window, as bits; the gradient as that of ``_Pool``."""

    @staticmethod
    def forward(ctx: Any, spikes: BinarySpikes, window: tuple[int, int], kernels: PoolKernels) -> BinarySpikes:
        packed, (_, batch, channels, *size) = cast(PackedSpikes, bits_of(spikes)), spikes.shape
        height, width = size if len(size) == 2 else (1, *size)
        out, first = kernels.forward_of_bits(packed.words.contiguous().view(-1, height, width), window)
        ctx.save_for_backward(first.view(batch, -1, channels, height, width))
        ctx.window, ctx.shape, ctx.kernels = window, spikes.shape, kernels
        words, places = out.view(batch, packed.words.shape[1], -1), out.shape[-len(size) :]
        pooled = PackedSpikes(words, packed.steps, packed.dtype, checked=True, of_neurons=True)
        return BinarySpikes(pooled, (*spikes.shape[:3], *places))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (first,), (down, across) = ctx.saved_tensors, ctx.window
        images = dense(g).contiguous().view(*g.shape[:3], first.shape[3] // down, first.shape[4] // across)
        return ctx.kernels.backward_of_bits(images, first, ctx.window).view(ctx.shape), None, None


class _Windows(NamedTuple):
    """The windows of a pool."""

    kind: PoolKind
    size: tuple[int, int]
    kernels: PoolKernels


def pool(module: nn.Module, x: Tensor) -> Tensor | None:
    """What a pool of torch gives for x (N, C, L) or (N, C, H, W), by a kernel; None where no kernel covers it."""
    windows = _windows(module, x, x.shape[2:])
    if windows is None:
        return None
    size = x.shape[2:] if x.dim() == 4 else (1, *x.shape[2:])
    images = materialize(x).contiguous().view(-1, *size)
    found: Tensor = _Pool.apply(images, *windows)  # type: ignore[no-untyped-call]
    return found.view(*x.shape[:2], *found.shape[5 - x.dim() :])


def pool_bits(module: nn.Module, spikes: Tensor) -> Tensor | None:
    """What a pool of torch gives for each step of spikes (T, B, C, *size) that are kept as bits, as bits; else None."""
    if not isinstance(spikes, BinarySpikes) or bits_of(spikes) is None:
        return None
    windows = _windows(module, spikes, spikes.shape[3:])
    if windows is None or windows.kind != "max":
        return None
    found: Tensor = _PoolOfBits.apply(spikes, windows.size, windows.kernels)  # type: ignore[no-untyped-call]
    return found


def _windows(module: nn.Module, x: Tensor, size: Sequence[int]) -> _Windows | None:
    """The windows of a pool over images of a size, if kernels cover it."""
    known = _KINDS.get(type(module))
    if known is None or has_hooks(module) or is_traced() or (kernels := kernels_for(x)) is None:
        return None
    kind, dimensions = known
    window = _window(module, dimensions)
    if window is None or len(size) != dimensions or not x.numel():
        return None
    fits = size[-1] >= window[1] and (dimensions == 1 or size[0] >= window[0])
    return _Windows(kind, window, kernels.POOLS) if fits else None


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
