"""Values of neurons that differ from the start, drawn from their distributions; learned ones are logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from izhi.neurons.neuron import straight_through
from izhi.spec.distribution import Spread


def sample(spread: Spread, shape: Sequence[int]) -> Tensor:
    """A stratified sample of a distribution: a value in each of N equal parts of its range, in random order.

    Without a shape it is the middle of the range.
    """
    if not shape:
        return torch.tensor(spread.middle)
    count = math.prod(shape)
    generator = None if spread.seed is None else torch.Generator().manual_seed(spread.seed)
    share = (torch.randperm(count, generator=generator) + torch.rand(count, generator=generator)) / count
    if spread.spacing == "log":
        values = spread.low * torch.exp(share * math.log(spread.high / spread.low))
    else:
        values = spread.low + share * (spread.high - spread.low)
    return values.clamp(spread.low, spread.high).reshape(tuple(shape))


def of_logarithm(logarithm: Tensor, low: float, high: float) -> Tensor:
    """The value of a learned logarithm, within limits, with the gradient of the value itself."""
    return straight_through(logarithm, logarithm.clamp(math.log(low), math.log(high))).exp()


def stable_coupling(a2: Tensor, a3: Tensor, b1: Tensor, b2: Tensor, dt: float) -> Tensor:
    """b1 within the range in which the linear step is stable, with the gradient of b1 itself.

    With one step of dt it is stable if −(2 + dt·a2)·(2 + dt·b2) < dt²·a3·b1 < dt²·a2·b2; a tenth of the range is left
    free. In orders in which the old v drives u the range is another, and this one is only near to it.
    """
    product = dt * dt * a3 * b1
    low, high = -0.9 * (2 + dt * a2) * (2 + dt * b2), 0.9 * dt * dt * a2 * b2
    factor = torch.where(product > high, high / product, torch.where(product < low, low / product, 1.0))
    return straight_through(b1, (b1 * factor).detach())
