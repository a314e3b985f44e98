"""The gradient of spikes as a product of two factors, which the kernels of neurons multiply where they read it.

Behind few neurons, such as a readout's, the dense gradient of the spikes is far larger than the two factors. To write
and read it takes longer than to compute it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from izhi.kernels.cpu import arena
from izhi.kernels.lazy import LazyTensor, Source


class LowRankGradient(LazyTensor):
    """g·W: g (T, B, O), W (O, I) → (T, B, *features).

    Attributes:
        factors: g and W.
    """

    factors: tuple[Tensor, Tensor]

    @staticmethod
    def __new__(
        cls, g: Tensor, weight: Tensor, shape: tuple[int, ...] | None = None, source: Source | None = None
    ) -> LowRankGradient:
        source = source or Source(lambda: _product(g, weight))
        gradient = cls.of_source(source, shape or (*g.shape[:-1], weight.shape[1]), g.dtype, g.device)
        gradient.factors = g, weight
        return gradient

    def viewed(self, shape: tuple[int, ...]) -> LowRankGradient:
        return LowRankGradient(*self.factors, shape, self.source)


def _product(g: Tensor, weight: Tensor) -> Tensor:
    turned = g.transpose(0, 1)  # steps and samples lie in memory as those of g do
    return multiplied(turned, weight).transpose(0, 1) if turned.is_contiguous() else multiplied(g, weight)


@torch.no_grad()  # who reads a gradient after the backward pass may do so where weights record what is done to them
def multiplied(g: Tensor, weight: Tensor) -> Tensor:
    """g @ weight, in memory that is used again on a CPU."""
    if g.device.type != "cpu":
        return g @ weight
    return torch.matmul(g, weight, out=arena.empty(*g.shape[:-1], weight.shape[-1], dtype=g.dtype))


def factors_of(gradient: Tensor, dtype: torch.dtype, most: int | None = None) -> tuple[Tensor, Tensor] | None:
    """The factors of a gradient that is a product of two in a format, unless an operation has changed it.

    ``most`` is the largest O that is wanted; None for any.
    """
    if not isinstance(gradient, LowRankGradient) or gradient.dtype != dtype or not gradient.source.is_intact:
        return None
    return gradient.factors if most is None or len(gradient.factors[1]) <= most else None
