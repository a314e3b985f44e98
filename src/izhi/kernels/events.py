"""Spikes as bits along time, and the inputs that fire at all in each sample, as kernels of any device take them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

#: Steps of a word.
WORD = 32


class Totals(NamedTuple):
    """What there is in events.

    Attributes:
        spikes: how many.
        visits: of them, and of the steps without one where an input usually fires, which sums visit in their place.
        active: inputs that fire at all, of all samples together.
    """

    spikes: int
    visits: int
    active: int


class Events(NamedTuple):
    """Spikes (T, B, N), and which inputs fire at all.

    Attributes:
        words: (B, ⌈T/32⌉, N), bits along time.
        places: (B, N) int32; the inputs of each sample that fire, in ascending order, and anything behind them.
        counts: (B,) int32; how many those are.
        gathered: (B, ⌈T/32⌉, ⌈N/32⌉·32); the words of the inputs that fire side by side, zeros up to whole groups of
            32, and anything behind them.
        steps: T.
        counted: what there is, where it was counted.
    """

    words: Tensor
    places: Tensor
    counts: Tensor
    gathered: Tensor
    steps: int
    counted: Totals | None = None

    @property
    def totals(self) -> Totals:
        """What there is."""
        if self.counted is not None:
            return self.counted
        spikes = int(number_of_bits(self.words).sum())
        return Totals(spikes, spikes, int(self.counts.sum()))

    @property
    def density(self) -> float:
        """The share of 1 among the spikes."""
        return self.totals.spikes / max(1, self.steps * self.places.numel())

    @property
    def visited(self) -> float:
        """The share of inputs and steps that sums visit."""
        return self.totals.visits / max(1, self.steps * self.places.numel())

    @property
    def active(self) -> float:
        """The share of inputs that fire at all, of all samples together."""
        return self.totals.active / max(1, self.places.numel())


def number_of_bits(words: Tensor) -> Tensor:
    """How many bits of each word are set: sums of two, four and eight bits side by side."""
    x = words - ((words >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    return (x * 0x01010101) >> 24
