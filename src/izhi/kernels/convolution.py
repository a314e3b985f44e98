"""Convolutions of spikes, which visit the inputs that are not 0 alone where that is faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels.cpu import convolution as cpu
from izhi.kernels.cpu.geometry import Convolution
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.packed import PackedSpikes, Spikes, bits_of, bits_on
from izhi.kernels.products import autocast_format
from izhi.kernels.routes import (
    FEW_CHANNELS,
    CallDescription,
    ProductCall,
    ProductChoice,
    SpikeStatistics,
    choose_product,
    convolution_unit,
    decide,
    is_recording,
)
from izhi.kernels.tracing import is_traced, once_differentiable

#: Images in which spikes are counted.
_COUNTED = 64


class _Convolved(torch.autograd.Function):
    """Spikes (T, B, C, *size) and weight (O, C/groups, *kernel) → (T, B, O, rows, columns).

    Of spikes that are kept as bits, these are kept for the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, spikes: Tensor, weight: Tensor, c: Convolution, choice: ProductChoice, dtype: torch.dtype
    ) -> Tensor:  # fmt: skip
        packed, rounded = bits_of(spikes), weight.to(dtype)
        images = _images(c, dense(spikes), dtype)
        ctx.save_for_backward(images if packed is None else packed.words, rounded)
        ctx.convolution, ctx.kernel, ctx.steps = c, choice.kernel, None if packed is None else packed.steps
        ctx.shape, ctx.weight_dtype = spikes.shape, weight.dtype
        return cpu.forward(c, images, rounded) if choice.kernel == "sums" else _dense(c, images, rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (kept, weight), c, (of_x, of_weight, *_) = ctx.saved_tensors, ctx.convolution, ctx.needs_input_grad
        g = dense(g).to(weight.dtype).contiguous()
        x = kept if ctx.steps is None else PackedSpikes(kept, ctx.steps, weight.dtype, checked=True).dense()
        x, is_dense = _images(c, x, weight.dtype), ctx.kernel == "dense"
        by_torch = of_x and (is_dense or not _sums_are_faster(c, g)), of_weight and is_dense
        grad_x, grad_weight = _gradients_by_torch(c, x, weight, g, by_torch)
        if of_x and grad_x is None:
            grad_x = cpu.input_gradient(c, weight, g)
        if of_weight and grad_weight is None:
            grad_weight = cpu.weight_gradient(c, x, g)
        return (
            None if grad_x is None else grad_x.view(ctx.shape),
            None if grad_weight is None else grad_weight.to(ctx.weight_dtype).view_as(weight), None, None, None,
        )  # fmt: skip


def _images(c: Convolution, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Spikes (T, B, …) as images (T, B, C, H, W)."""
    return x.to(dtype).contiguous().view(*x.shape[:2], c.inputs, *c.size)


def _padded(c: Convolution, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Images (T·B, C, H, W) with what torch does not pad itself, and what it does."""
    if c.before == c.after:
        return x.flatten(0, 1), c.before
    (top, left), (bottom, right) = c.before, c.after
    return nn.functional.pad(x.flatten(0, 1), (left, right, top, bottom)), (0, 0)


def _dense(c: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    images, padding = _padded(c, x)
    kernels = weight.view(c.outputs, -1, *c.kernel)
    out = nn.functional.conv2d(images, kernels, None, c.stride, padding, c.dilation, c.groups)
    return out.view(*x.shape[:2], *out.shape[1:])


def _gradients_by_torch(
    c: Convolution, x: Tensor, weight: Tensor, g: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of images and weight that are wanted; else None."""
    if not any(wanted):
        return None, None
    images, padding = _padded(c, x)
    of_images, of_weight, _ = torch.ops.aten.convolution_backward(
        g.flatten(0, 1), images, weight.view(c.outputs, -1, *c.kernel), None, c.stride, padding, c.dilation, False,
        (0, 0), c.groups, (*wanted, False),
    )  # fmt: skip
    if of_images is not None and c.before != c.after:
        (top, left), (height, width) = c.before, c.size
        of_images = of_images[:, :, top : top + height, left : left + width].contiguous()
    return of_images, of_weight


def _sums_are_faster(c: Convolution, g: Tensor) -> bool:
    """Whether torch has no unit of its own for the gradient of images, and channels fill vectors."""
    is_slower = convolution_unit(g.dtype) is not None or c.of_group[0] < FEW_CHANNELS
    return not is_slower or c.before != c.after


def convolve(
    spikes: Spikes, weight: Tensor, stride: Sequence[int] = (1,), padding: Sequence[int] | str = (0,),
    dilation: Sequence[int] = (1,), groups: int = 1,
) -> Tensor:  # fmt: skip
    """Spikes (T, B, C, *size) convolved with weight (O, C/groups, *kernel) of one or two dimensions → (T, B, O, *size).

    Images of which few numbers are not 0, in float32 or bfloat16, cost that many additions of weights, in the backward
    pass too. Sums are then in another order than torch's; they depend on no number of threads.

    Raises:
        ShapeError: for spikes of another number of channels.
    """
    if spikes.shape[2] != weight.shape[1] * groups:  # by which kernels would reach beyond the weights
        raise ShapeError(f"spikes have {spikes.shape[2]} channels, expected {weight.shape[1] * groups}")
    x = spikes if isinstance(spikes, Tensor) else spikes.dense()
    cast = autocast_format(x.device.type)
    fits = cast is not None or x.dtype == weight.dtype  # torch says why they do not
    if fits and (not is_traced() or is_recording()):
        dtype = cast or x.dtype
        choice = _choice(x, weight, dtype, dilation, groups)
        if choice.kernel != "dense" or bits_of(x) is not None:
            c = _as_images(x, weight, stride, padding, dilation, groups)
            out: Tensor = _Convolved.apply(x, weight, c, choice, dtype)  # type: ignore[no-untyped-call]
            return out if weight.dim() == 4 else out.squeeze(-2)
    function: Any = nn.functional.conv1d if weight.dim() == 3 else nn.functional.conv2d
    found = function(materialize(x).flatten(0, 1), weight, None, stride, padding, dilation, groups)
    return found.view(*x.shape[:2], *found.shape[1:])  # type: ignore[no-any-return]


def _choice(x: Tensor, weight: Tensor, dtype: torch.dtype, dilation: Sequence[int], groups: int) -> ProductChoice:
    """The kernel, by the share of numbers that are not 0 if it depends on that."""
    call = ProductCall(
        x.shape[2], len(weight), x.dtype, weight.dtype, dtype, x.device.type, "image", x.dim(), x.numel(), len(x),
        is_traced(), operation="convolution", groups=groups, is_dilated=dilation[-1] > 1 and weight.shape[-1] > 1,
    )  # fmt: skip
    if choose_product(call).kernel == "count":
        call = call._replace(statistics=SpikeStatistics(_share(x)))
    choice = decide(CallDescription(call)).product
    assert choice is not None
    return choice


def _share(x: Tensor) -> float:
    """The share of numbers that are not 0: of all bits, or of some images."""
    if (packed := bits_of(x)) is not None:
        return float(bits_on(x.device).counted(packed.words).sum()) / max(1, x.numel())
    images = x.detach().flatten(0, 1)
    some = images[:: len(images) // _COUNTED | 1]  # an odd number: not all of one sample, at its steps
    return int(some.count_nonzero()) / max(1, some.numel())


def _as_images(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int] | str, dilation: Sequence[int], groups: int
) -> Convolution:
    """The convolution over images, of one row if it is along one dimension."""
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        whole = [gap * (length - 1) if padding == "same" else 0 for gap, length in zip(dilation, kernel, strict=True)]
        before, after = [size // 2 for size in whole], [size - size // 2 for size in whole]
    else:
        before = after = list(padding)

    def pair(sizes: Sequence[int], alone: int) -> tuple[int, int]:
        return (alone, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])

    return Convolution(
        x.shape[2], len(weight), pair(x.shape[3:], 1), pair(kernel, 1), pair(stride, 1), pair(dilation, 1),
        pair(before, 0), pair(after, 0), groups,
    )  # fmt: skip
