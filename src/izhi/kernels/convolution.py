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
from izhi.kernels.packed import Spikes
from izhi.kernels.products import format_beside
from izhi.kernels.routes import (
    FEW_CHANNELS,
    CallDescription,
    ProductCall,
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
    """Images (T, B, C, H, W) and weight (O, C/groups, *kernel) → (T, B, O, rows, columns)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, c: Convolution, sums: bool) -> Tensor:
        rounded = weight.to(x.dtype)
        ctx.save_for_backward(x, rounded)
        ctx.convolution, ctx.weight_dtype = c, weight.dtype
        return cpu.forward(c, x, rounded) if sums else _dense(c, x, rounded)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (x, weight), c, of_x, of_weight = ctx.saved_tensors, ctx.convolution, None, None
        g = dense(g).to(x.dtype).contiguous()
        if ctx.needs_input_grad[0]:
            of_x = _input_gradient(c, x, weight, g)
        if ctx.needs_input_grad[1]:
            of_weight = cpu.weight_gradient(c, x, g).to(ctx.weight_dtype).view_as(weight)
        return of_x, of_weight, None, None


def _dense(c: Convolution, x: Tensor, weight: Tensor) -> Tensor:
    images, padding = x.flatten(0, 1), c.before
    if c.before != c.after:
        (top, left), (bottom, right) = c.before, c.after
        images, padding = nn.functional.pad(images, (left, right, top, bottom)), (0, 0)
    kernels = weight.view(c.outputs, -1, *c.kernel)
    out = nn.functional.conv2d(images, kernels, None, c.stride, padding, c.dilation, c.groups)
    return out.view(*x.shape[:2], *out.shape[1:])


def _input_gradient(c: Convolution, x: Tensor, weight: Tensor, g: Tensor) -> Tensor:
    """By torch where that multiplies with a unit of its own, or channels leave vectors empty."""
    is_slower = convolution_unit(g.dtype) is not None or c.of_group[0] < FEW_CHANNELS
    if not is_slower or c.before != c.after:
        return cpu.input_gradient(c, weight, g)
    found = torch.ops.aten.convolution_backward(
        g.flatten(0, 1), x.flatten(0, 1), weight.view(c.outputs, -1, *c.kernel), None, c.stride, c.before, c.dilation,
        False, (0, 0), c.groups, (True, False, False),
    )  # fmt: skip
    return found[0].view_as(x)  # type: ignore[no-any-return]


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
    x = materialize(spikes) if isinstance(spikes, Tensor) else spikes.dense()
    fits = x.dtype == weight.dtype or torch.is_autocast_enabled("cpu")  # torch says why they do not
    if fits and (not is_traced() or is_recording()):
        call = _counted(x, weight, dilation, groups)
        kernel = decide(CallDescription(call)).product.kernel  # type: ignore[union-attr]
        if kernel in ("sums", "gradient"):
            c = _as_images(x, weight, stride, padding, dilation, groups)
            images = x.to(call.dense_dtype).contiguous().view(*x.shape[:2], c.inputs, *c.size)
            out: Tensor = _Convolved.apply(images, weight, c, kernel == "sums")  # type: ignore[no-untyped-call]
            return out if weight.dim() == 4 else out.squeeze(-2)
    function: Any = nn.functional.conv1d if weight.dim() == 3 else nn.functional.conv2d
    found = function(x.flatten(0, 1), weight, None, stride, padding, dilation, groups)
    return found.view(*x.shape[:2], *found.shape[1:])  # type: ignore[no-any-return]


def _counted(x: Tensor, weight: Tensor, dilation: Sequence[int], groups: int) -> ProductCall:
    """The call, with the share of its numbers that are not 0 if its route depends on that."""
    call = ProductCall(
        x.shape[2], len(weight), x.dtype, weight.dtype, format_beside(weight), x.device.type, "image", x.dim(),
        x.numel(), len(x), is_traced(), operation="convolution", groups=groups,
        is_dilated=dilation[-1] > 1 and weight.shape[-1] > 1,
    )  # fmt: skip
    if choose_product(call).kernel != "count":
        return call
    images = x.detach().flatten(0, 1)
    some = images[:: len(images) // _COUNTED | 1]  # an odd number: not all of one sample, at its steps
    return call._replace(statistics=SpikeStatistics(int(some.count_nonzero()) / max(1, some.numel())))


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
