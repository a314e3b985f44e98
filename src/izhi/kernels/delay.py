"""Delays of spikes as differentiable operations.

Axonal delays move spike trains: by kernels, or by a gather in torch where there are none. Synaptic delays are a
product with weights placed at their taps, like a causal convolution, on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from izhi.errors import DivergenceError
from izhi.kernels.device import kernels_for
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.products import product as multiply
from izhi.kernels.tracing import is_traced, once_differentiable

Weighed = TypeVar("Weighed")


def whole_steps(delays: Tensor, largest: int) -> Tensor:
    """Delays as whole steps of 0 to D, int64, by which kernels reach into memory.

    Of one that is not a number, a GPU makes 0, since the CPU would wait for it: ``_marked`` shows it later.

    Raises:
        DivergenceError: for a delay on a CPU that is not a number, which would become an index far from there.
    """
    delays = delays.detach()
    if _waits(delays):
        delays = delays.nan_to_num(0.0)
    elif not is_traced() and (odd := delays.isnan()).any():
        raise DivergenceError(
            f"{int(odd.sum())} of {delays.numel()} delays are not numbers; lower delay_rate, or load weights without"
        )
    return delays.round().clamp(0, largest).long()


def _waits(delays: Tensor) -> bool:
    """Whether the CPU would wait for their numbers."""
    return delays.device.type != "cpu"


def _marked(values: Tensor, delays: Tensor) -> Tensor:
    """Values that are not numbers where their delays are none, on a device that the CPU does not wait for."""
    return values.masked_fill(delays.isnan(), math.nan) if _waits(delays) else values


def _inward(g: Tensor, delays: Tensor, largest: int) -> Tensor:
    """The gradient of delays, but for what would carry them further out of 0 to D, where they would stay."""
    out = ((delays <= 0) & (g > 0)) | ((delays >= largest) & (g < 0))
    return g.masked_fill(out, 0)


class _OnlyInward(torch.autograd.Function):
    """Delays → zeros with the gradient of the delays as ``_inward`` limits it, also within compilers and torch.func."""

    generate_vmap_rule = True

    @staticmethod
    def forward(delays: Tensor, largest: int) -> Tensor:
        return torch.zeros_like(delays)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        delays, ctx.largest = inputs
        ctx.save_for_backward(delays)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (delays,) = ctx.saved_tensors
        return _inward(g, delays, ctx.largest), None


class _Delayed(torch.autograd.Function):
    """Spikes (T, B, N), those before (D + 1, B, N), delays (N,) in steps → delayed spikes (T, B, N).

    Spikes arrive in whole steps: a delay is rounded. Its gradient is that of the spike train moved by a
    small time, −∂x/∂t, by differences of the steps beside: (x[t−k−1] − x[t−k+1])/2, or x[t−1] − x[t] for
    no delay, whose next step has not come yet.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, past: Tensor, delays: Tensor) -> Tensor:
        whole = whole_steps(delays, len(past) - 1)
        ctx.save_for_backward(x, past, delays, whole)
        kernels = kernels_for(x)
        if kernels is not None:
            return kernels.DELAYS.forward(x.contiguous(), past.contiguous(), delays, whole)
        return _marked(_moved(x, past, whole, 0), delays)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        x, past, delays, whole = ctx.saved_tensors
        largest = len(past) - 1
        kernels = kernels_for(x)
        if kernels is not None:
            g = dense(g).to(x.dtype).contiguous()
            grad_x, grad_past, grad = kernels.DELAYS.backward(x.contiguous(), past.contiguous(), whole, g)
            return grad_x, grad_past, _inward(grad, delays, largest)
        depth, length = len(past), len(x)
        steps = torch.arange(depth + length, device=g.device)[:, None] - depth + whole
        arrives = ((steps >= 0) & (steps < length))[:, None, :]
        index = steps.clamp(0, length - 1)[:, None, :].expand(-1, x.shape[1], -1)
        grad_past, grad_x = (g.gather(0, index) * arrives).split([depth, length])
        grad = (g * _slope(x, past, whole)).float().sum((0, 1))
        return grad_x, grad_past, _inward(grad, delays, largest)


def _moved(x: Tensor, past: Tensor, whole: Tensor, more: int) -> Tensor:
    """x delayed by whole + more steps."""
    all_steps = torch.cat([past, x])
    steps = torch.arange(len(x), device=x.device)[:, None] - whole - more + len(past)
    return all_steps.gather(0, steps[:, None, :].expand(-1, x.shape[1], -1))


def _slope(x: Tensor, past: Tensor, whole: Tensor) -> Tensor:
    """The derivative of delayed x with respect to the delays, see ``_Delayed``."""
    waits = (whole > 0).long()
    return (_moved(x, past, whole, 1) - _moved(x, past, whole - waits, 0)) / (1 + waits)


def delayed(x: Tensor, past: Tensor, delays: Tensor) -> Tensor:
    """x (T, B, N) delayed by delays (N,), in steps, rounded and held within 0 and D; differentiable.

    Args:
        x: spikes.
        past: the D + 1 steps before x, (D + 1, B, N).
        delays: of each neuron.

    Raises:
        DivergenceError: for a delay that is not a number.
    """
    if not is_traced():
        return _Delayed.apply(materialize(x), past, delays)  # type: ignore[no-any-return, no-untyped-call]
    whole = whole_steps(delays, len(past) - 1)
    change: Tensor = _OnlyInward.apply(delays, len(past) - 1)  # type: ignore[no-untyped-call]
    return _moved(x, past, whole, 0) + (_slope(x, past, whole).detach() * change).to(x.dtype)


class _Placed(torch.autograd.Function):
    """Weights (M, N), delays (M, N) in steps → the weights of each tap (M, (D + 1)·N), 0 at other delays.

    Delays are rounded. Their gradient is weight times the slope of the taps' gradients over delay, by
    differences of the taps beside: that of the spike train moved by a small time.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, delays: Tensor, largest: int) -> Tensor:
        tap = whole_steps(delays, largest)[:, None]
        ctx.save_for_backward(weight, delays, tap)
        ctx.largest = largest
        taps = weight.new_zeros(len(weight), largest + 1, weight.shape[1])
        return taps.scatter_(1, tap, _marked(weight, delays)[:, None]).flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        weight, delays, tap = ctx.saved_tensors
        g = g.view(len(weight), ctx.largest + 1, -1)
        before, after = _beside(tap, ctx.largest)
        slope = (g.gather(1, after) - g.gather(1, before)) / (after - before)
        grad = _inward(weight * slope[:, 0], delays, ctx.largest)
        return g.gather(1, tap)[:, 0], grad, None


def _beside(tap: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """The taps before and after."""
    return (tap - 1).clamp(min=0), (tap + 1).clamp(max=largest)


def _placed(weight: Tensor, delays: Tensor, largest: int) -> Tensor:
    """``_Placed`` in operations of torch."""
    tap, change = whole_steps(delays, largest)[:, None], _OnlyInward.apply(delays, largest)  # type: ignore[no-untyped-call]
    before, after = _beside(tap, largest)
    moved = (weight.detach() * change)[:, None] / (after - before)
    taps = torch.zeros_like(weight)[:, None].expand(-1, largest + 1, -1)
    taps = taps.scatter(1, tap, weight[:, None])
    return taps.scatter_add(1, after, moved).scatter_add(1, before, -moved).flatten(1)


def delayed_product(
    x: Tensor, weight: Tensor, delays: Tensor, largest: int,
    product: Callable[[Tensor, Tensor], Weighed] = multiply,  # type: ignore[assignment]
) -> Weighed:  # fmt: skip
    """Σ_i weight[j, i]·x[t − delays[j, i], b, i] for every t, b, j; differentiable in all.

    Args:
        x: spikes (D + T, B, N, …), D = largest steps before the first one of interest.
        weight: (M, N, …), with the size of a kernel behind that of a convolution.
        delays: of each weight, in steps, rounded and held within 0 and D.
        largest: D, at least 1.
        product: spikes (T, B, N, …) and weight → weighted spikes.

    Returns:
        (T, B, M, …).

    Raises:
        DivergenceError: for a delay that is not a number.
    """
    steps = len(x) - largest
    place = _placed if is_traced() else _Placed.apply
    placed = place(weight.flatten(1), delays.flatten(1), largest)
    placed = placed.view(len(weight), (largest + 1) * weight.shape[1], *weight.shape[2:])
    taps = [x[largest - k : largest - k + steps] for k in range(largest + 1)]
    return product(torch.cat(taps, dim=2), placed)
