"""Samples for training: vectors, time series or recordings; their splits and batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from izhi.data.events import EventBatch, EventSamples
from izhi.data.series import SeriesBatch, SeriesSamples
from izhi.errors import DataError, SettingError
from izhi.seeds import Purpose, derive_seed


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


def split(samples: AnySamples, validation: float, seed: int) -> tuple[AnySamples, AnySamples]:
    """Training and validation samples, with the same share of each class.

    Args:
        samples: (M, …).
        validation: share for validation, 0 to below 1.
        seed: of the permutation, which decides the split.
    """
    if not 0 <= validation < 1:
        raise SettingError(f"validation is {validation!r}, expected a share from 0 to below 1")
    random = np.random.default_rng(derive_seed(seed, Purpose.SPLIT))
    labels = samples.labels.numpy()
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
