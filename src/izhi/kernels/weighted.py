"""Currents that nobody has computed yet, and their gradient, which nobody may ask for.

A product of bits is left to the kernel of the neurons behind it, which makes each sample's currents where it needs
them, and on the way back the gradient of the weights, and that of the currents only where the spikes learn too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from izhi.kernels.events import Events
from izhi.kernels.lazy import LazyTensor
from izhi.kernels.plan import ProductKernels


class Weighted(LazyTensor):
    """Currents (T, B, N) that nobody has computed yet: bits, and weights.

    Attributes:
        events: of the spikes (T, B, I).
        weight: (N, I) in float32.
        kernels: that make the product.
        needs_input_grad: whether the spikes learn too, for which the way back needs the currents' own gradient.
    """

    events: Events
    weight: Tensor
    kernels: ProductKernels
    needs_input_grad: bool

    @staticmethod
    def __new__(
        cls, fired: Events, weight: Tensor, kernels: ProductKernels, dtype: torch.dtype, needs_input_grad: bool = False
    ) -> Weighted:
        found: Weighted = cls.of_shape((fired.steps, len(fired.words), len(weight)), dtype, weight.device)
        found.events, found.weight, found.kernels, found.needs_input_grad = fired, weight, kernels, needs_input_grad
        return found

    def dense(self) -> Tensor:
        """The product."""
        return self.kernels.product(self.events, self.weight)


class WeightGradient(LazyTensor):
    """The gradient of ``Weighted`` currents, behind which the weights' has been computed already.

    Attributes:
        of_weight: that gradient, (N, I).
        again: makes the gradient of the currents.
    """

    of_weight: Tensor
    again: Callable[[], Tensor]

    @staticmethod
    def __new__(
        cls, of_weight: Tensor, shape: tuple[int, ...], dtype: torch.dtype, again: Callable[[], Tensor]
    ) -> WeightGradient:
        found: WeightGradient = cls.of_shape(shape, dtype, of_weight.device)
        found.of_weight, found.again = of_weight, again
        return found

    def dense(self) -> Tensor:
        """The gradient of the currents."""
        return self.again()


__all__ = ["WeightGradient", "Weighted"]
