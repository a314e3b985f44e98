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
