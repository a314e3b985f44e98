"""Time series: values over time (T, features), whose samples may differ in length; and the range that scales them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.errors import DataError


class SeriesBatch:
    """Series one behind another.

    Args:
        values: (M, F) float32, 0 to 1.
        offsets: (B + 1,) int64; series b has the rows from offsets[b] to offsets[b + 1].
    """

    # No dataclass, as of EventBatch: Fabric would look for tensors to convert within one.
    def __init__(self, values: Tensor, offsets: Tensor) -> None:
        self.values, self.offsets = values, offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Tensor:
        """Steps of each series, (B,)."""
        return self.offsets.diff()

    def dense(self) -> Tensor:
        """(B, longest, F), with zeros behind the end of each."""
        lengths = self.lengths
        found = self.values.new_zeros(len(self), int(lengths.max()), self.values.shape[1])
        found[torch.arange(found.shape[1]) < lengths[:, None]] = self.values
        return found

    def to(self, device: torch.device) -> SeriesBatch:
        """Itself: series are brought to a number of steps by the CPU, whatever device the network is on."""
        return self


@dataclass(frozen=True)
class SeriesSamples:
    """Some of the series in values (M, F), from 0 to 1: where each begins, its length, its label, (S,) each, int64."""

    values: Tensor
    begins: Tensor
    lengths: Tensor
    labels: Tensor

    @classmethod
    def of(cls, series: Sequence[NDArray[np.floating]], labels: Tensor) -> SeriesSamples:
        """Arrays (T, F) of any lengths from 1, one for each label."""
        lengths = torch.tensor([len(one) for one in series])
        return cls(torch.from_numpy(np.concatenate(series)), lengths.cumsum(0) - lengths, lengths, labels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def features(self) -> int:
        """F."""
        return int(self.values.shape[1])

    @property
    def longest(self) -> int:
        """Steps of the longest."""
        return int(self.lengths.max())

    def batch(self, index: Tensor | slice) -> tuple[SeriesBatch, Tensor]:
        """Those series, and their labels."""
        begins, lengths = self.begins[index], self.lengths[index]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        rows = torch.arange(int(offsets[-1])) + (begins - offsets[:-1]).repeat_interleave(lengths)
        return SeriesBatch(self.values[rows], offsets), self.labels[index]

    def subset(self, mask: Tensor) -> SeriesSamples:
        """The series where mask (S,) is True."""
        return SeriesSamples(self.values, self.begins[mask], self.lengths[mask], self.labels[mask])

    def scaled(self, scale: Scale) -> SeriesSamples:
        """The same, from 0 to 1."""
        return SeriesSamples(scale(self.values), self.begins, self.lengths, self.labels)


@dataclass(frozen=True)
class Scale:
    """The range of each channel in the training samples, (F,) each: low becomes 0 and high 1.

    What is outside, as in test samples, is cut off there. A channel that never changes becomes 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, train: SeriesSamples) -> Scale:
        """The range of training samples that are not scaled yet."""
        values = train.batch(slice(None))[0].values
        return cls(tuple(values.amin(0).tolist()), tuple(values.amax(0).tolist()))

    def __call__(self, values: Tensor) -> Tensor:
        """Values (M, F) from 0 to 1, float32: (x − low) / (high − low)."""
        low, high = (torch.tensor(x, dtype=torch.float64) for x in (self.low, self.high))
        span = torch.where(high > low, high - low, torch.ones(()))
        return ((values - low) / span).clamp(0, 1).float()

    def table(self) -> dict[str, list[float]]:
        """As checkpoints and artifacts keep it."""
        return {"low": list(self.low), "high": list(self.high)}


def checked(series: Sequence[NDArray[np.generic]], where: str) -> list[NDArray[np.float64]]:
    """Series (T, F) as numbers; DataError for the first that is none, is empty, or has other channels."""
    found = []
    for number, one in enumerate(series):
        if one.ndim != 2 or not one.size or one.shape[1] != series[0].shape[-1]:
            wide = series[0].shape[-1] if series[0].ndim == 2 and series[0].size else "features"
            raise DataError(f"{where} {number} has shape {one.shape}, expected (T, {wide}) with at least one step")
        if one.dtype.kind not in "iubf":
            raise DataError(f"samples are {one.dtype}, expected numbers")
        with np.errstate(over="ignore"):
            is_sound = np.isfinite(one.astype(np.float32)).all()
        if not is_sound:
            raise DataError(f"{where} {number} holds numbers that are not finite; leave it out, or fill them in")
        found.append(one.astype(np.float64))
    return found
