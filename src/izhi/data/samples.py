"""Samples for training: vectors, time series or recordings; their splits and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data.events import Batch, EventBatch, EventSamples
from izhi.errors import DataError, SettingError
from izhi.seeds import Purpose, derive_seed

#: Label of a step without one, which neither loss nor accuracy counts; and of steps after the end of a series.
NO_LABEL = -1


class SeriesBatch(Batch):
    """Concatenated series.

    Args:
        values: (M, F) float32, 0 to 1.
        offsets: (B + 1,) int64; series b has the rows from offsets[b] to offsets[b + 1].
    """

    def __init__(self, values: Tensor, offsets: Tensor) -> None:
        self.values, self.offsets = values, offsets

    @property
    def lengths(self) -> Tensor:
        """Steps of each series, (B,)."""
        return self.offsets.diff()

    def dense(self) -> Tensor:
        """(B, longest, F), padded with zeros."""
        lengths = self.lengths
        padded = self.values.new_zeros(len(self), int(lengths.max()), self.values.shape[1])
        padded[torch.arange(padded.shape[1]) < lengths[:, None]] = self.values
        return padded


@dataclass(frozen=True)
class SeriesSamples:
    """A selection of the series in values (M, F): first row, length and label of each, (S,), int64.

    Labels may be (S, longest), one of each step; NO_LABEL where there is none, and after the end of a series.
    """

    values: Tensor
    begins: Tensor
    lengths: Tensor
    labels: Tensor

    @classmethod
    def of(cls, series: Sequence[NDArray[np.floating]], labels: Tensor) -> SeriesSamples:
        """Arrays (T, F) of any lengths from 1, one for each label, or for each row of labels of its steps."""
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
        """The series of an index, and their labels."""
        begins, lengths = self.begins[index], self.lengths[index]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        rows = torch.arange(int(offsets[-1])) + (begins - offsets[:-1]).repeat_interleave(lengths)
        return SeriesBatch(self.values[rows], offsets), self.labels[index]

    def subset(self, mask: Tensor) -> SeriesSamples:
        """The series where mask (S,) is True."""
        return SeriesSamples(self.values, self.begins[mask], self.lengths[mask], self.labels[mask])

    def scaled(self, scale: Scale) -> SeriesSamples:
        """The same series, from 0 to 1."""
        return SeriesSamples(scale(self.values), self.begins, self.lengths, self.labels)


@dataclass(frozen=True)
class Scale:
    """The range of each channel in the training samples, (F,) each: low becomes 0 and high 1.

    Values outside the range, as in test samples, are clamped. A constant channel becomes 0.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, train: SeriesSamples) -> Scale:
        """The range of unscaled training samples."""
        values = train.batch(slice(None))[0].values
        return cls(tuple(values.amin(0).tolist()), tuple(values.amax(0).tolist()))

    def __call__(self, values: Tensor) -> Tensor:
        """Values (M, F) from 0 to 1, float32: (x − low) / (high − low)."""
        low, high = (torch.tensor(x, dtype=torch.float64) for x in (self.low, self.high))
        span = torch.where(high > low, high - low, torch.ones(()))
        return ((values - low) / span).clamp(0, 1).float()

    def table(self) -> dict[str, list[float]]:
        """The range, in the form of checkpoints and artifacts."""
        return {"low": list(self.low), "high": list(self.high)}


def checked_series(series: Sequence[NDArray[np.generic]], where: str) -> list[NDArray[np.float64]]:
    """Series (T, F) as float64; DataError for the first of another dtype, without steps, or with other channels."""
    arrays = []
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
        arrays.append(one.astype(np.float64))
    return arrays


@dataclass(frozen=True)
class Samples:
    """Inputs (M, N), uint8 or float32 from 0 to 1, and labels (M,), int64."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Inputs as float32 from 0 to 1, and labels, of an index."""
        inputs = self.inputs[index]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        return inputs, self.labels[index]

    def subset(self, mask: Tensor) -> Samples:
        """The samples where mask (M,) is True."""
        return Samples(self.inputs[mask], self.labels[mask])

    @property
    def features(self) -> int:
        """N."""
        return int(self.inputs.shape[1])


#: Samples for training: vectors or time series in memory, or recordings of events read for each batch.
AnySamples = Samples | SeriesSamples | EventSamples
#: A batch of them: values (B, N) from 0 to 1, time series, or recordings.
AnyBatch = Tensor | SeriesBatch | EventBatch


def has_step_labels(samples: AnySamples) -> bool:
    """Whether each step has a label of its own."""
    return samples.labels.dim() == 2


def split(samples: AnySamples, validation: float, seed: int) -> tuple[AnySamples, AnySamples]:
    """Training and validation samples, with the same share of each class; of samples whose steps have labels, any.

    Args:
        samples: (M, …).
        validation: share for validation, 0 to below 1.
        seed: of the permutation, which decides the split.
    """
    if not 0 <= validation < 1:
        raise SettingError(f"validation is {validation!r}, expected a share from 0 to below 1")
    random = np.random.default_rng(derive_seed(seed, Purpose.SPLIT))
    labels = np.zeros(len(samples)) if has_step_labels(samples) else samples.labels.numpy()
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        mask[members[: round(validation * len(members))]] = True
    if validation > 0 and not mask.any():
        raise DataError(f"validation is {validation!r}, too small to hold one sample of {len(labels)}")
    keep, out = torch.from_numpy(~mask), torch.from_numpy(mask)
    return samples.subset(keep), samples.subset(out)


def stream(samples: AnySamples, indices: Iterable[Tensor]) -> Iterator[tuple[AnyBatch, Tensor]]:
    """The batch of each index; a thread reads the next batch of recordings in advance."""
    if not isinstance(samples, EventSamples):
        for index in indices:
            yield samples.batch(index)
        return
    with ThreadPoolExecutor(1) as pool:
        pending = None
        for index in indices:
            submitted = pool.submit(samples.batch, index)
            if pending is not None:
                yield pending.result()
            pending = submitted
        if pending is not None:
            yield pending.result()
