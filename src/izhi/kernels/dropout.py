"""Dropout of spikes that are kept as bits: they stay bits, and the weights behind them take their factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from izhi.kernels.cpu.rows import SMALL_OUTPUT
from izhi.kernels.lazy import LazyTensor, Source, dense, owned
from izhi.kernels.low_rank import factors_of, multiplied
from izhi.kernels.packed import BinarySpikes, PackedSpikes, Spikes, bits_of
from izhi.kernels.tracing import once_differentiable


def drop(spikes: Tensor, active: Tensor, factor: float) -> Tensor:
    """Spikes (T, B, *features) of the active neurons, each of which counts as so many.

    Args:
        active: (B, *features), true or false.
        factor: 1/(1 − dropout), with which the mean remains.
    """
    if bits_of(spikes) is None:
        return spikes * (active * factor).to(spikes.dtype)
    bits: BinarySpikes = _Active.apply(spikes, active)  # type: ignore[no-untyped-call]
    scaled: ScaledSpikes = _Scaled.apply(bits, factor)  # type: ignore[no-untyped-call]
    scaled.bits = bits
    return scaled


def without_factor(spikes: Spikes) -> tuple[Spikes, Callable[[Tensor], Tensor]]:
    """Spikes as bits, and what makes of weights those that give the same product with them."""
    if isinstance(spikes, ScaledSpikes) and spikes.bits is not None and spikes.source.is_intact:
        factor = spikes.factor
        return spikes.bits, lambda weight: weight * factor
    return spikes, lambda weight: weight


class ScaledSpikes(LazyTensor):
    """Spikes (T, B, *features) of 0 and a factor.

    Attributes:
        factor: what a spike counts.
        bits: the same as 0 and 1, with their gradient; None for views.
    """

    factor: float
    bits: BinarySpikes | None = None

    def viewed(self, shape: tuple[int, ...]) -> ScaledSpikes:
        return _scaled(self.source, shape, self.factor, self.dtype, self.device)


def _scaled(
    source: Source, shape: tuple[int, ...], factor: float, dtype: torch.dtype, device: torch.device
) -> ScaledSpikes:
    spikes = ScaledSpikes.of_source(source, shape, dtype, device)
    spikes.factor = factor
    return spikes


class _Active(torch.autograd.Function):
    """Bits, active (B, *features) → the bits of active neurons."""

    @staticmethod
    def forward(ctx: Any, spikes: BinarySpikes, active: Tensor) -> BinarySpikes:
        ctx.save_for_backward(active)
        packed = cast(PackedSpikes, bits_of(spikes))
        words = packed.words * active.reshape(len(active), 1, -1)
        few = PackedSpikes(words, packed.steps, packed.dtype, checked=True, of_neurons=True)
        return BinarySpikes(few, tuple(spikes.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (active,) = ctx.saved_tensors
        factors = factors_of(g, g.dtype, SMALL_OUTPUT)
        if factors is None:
            return owned(g).mul_(active), None
        of_outputs, weight = factors
        of_samples = weight * active.reshape(len(active), 1, -1)
        return multiplied(of_outputs.transpose(0, 1), of_samples).transpose(0, 1).view(g.shape), None


class _Scaled(torch.autograd.Function):
    """Bits, factor → spikes that count so much."""

    @staticmethod
    def forward(ctx: Any, bits: BinarySpikes, factor: float) -> ScaledSpikes:
        ctx.factor = factor
        return _scaled(Source(lambda: bits.dense() * factor), tuple(bits.shape), factor, bits.dtype, bits.device)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return dense(g) * ctx.factor, None
