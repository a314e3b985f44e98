"""The gradient of spikes as two factors, which the kernels of neurons multiply where they need it.

Behind few neurons, such as a readout's, the dense gradient of the spikes that came in is far larger than what it is
made of, and writing and reading it costs more than its numbers.
"""

from __future__ import annotations

from torch import Tensor

from izhi.kernels.lazy import LazyTensor


class LowRankGradient(LazyTensor):
    """g·W: g (T, B, O), W (O, I) → (T, B, *features).

    Attributes:
        factors: g and W.
    """

    factors: tuple[Tensor, Tensor]

    @staticmethod
    def __new__(cls, g: Tensor, weight: Tensor, shape: tuple[int, ...] | None = None) -> LowRankGradient:
        found: LowRankGradient = cls.of_shape(shape or (*g.shape[:-1], weight.shape[1]), g.dtype, g.device)
        found.factors = g, weight
        return found

    def dense(self) -> Tensor:
        """The product."""
        g, weight = self.factors
        return (g @ weight).view(self.shape)

    def viewed(self, shape: tuple[int, ...]) -> LowRankGradient:
        return LowRankGradient(*self.factors, shape)


__all__ = ["LowRankGradient"]
