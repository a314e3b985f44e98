"""Samples as training takes them: vectors, time series or recordings, and their splits and batches."""

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
        """Inputs as float32 from 0 to 1, and labels, of those samples."""
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


#: What training takes: vectors or time series in memory, or recordings of events that are read when they are needed.
AnySamples = Samples | SeriesSamples | EventSamples
#: Some of them at once: values (B, N) from 0 to 1, time series, or recordings.
AnyBatch = Tensor | SeriesBatch | EventBatch


def split(samples: AnySamples, validation: float, seed: int) -> tuple[AnySamples, AnySamples]:
    """Training and validation samples, fixed by the seed; every class gives the same share.

    Args:
        samples: (M, …).
        validation: share for validation, 0 to below 1.
        seed: of the permutation.
    """
    if not 0 <= validation < 1:
        raise SettingError(f"validation is {validation!r}, expected a share from 0 to below 1")
    random = np.random.default_rng(derive_seed(seed, Purpose.SPLIT))
    labels = samples.labels.numpy()
    held: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held.append(members[: round(validation * len(members))])
    mask = np.zeros(len(labels), bool)
    mask[np.concatenate(held)] = True
    if validation > 0 and not mask.any():
        raise DataError(f"validation is {validation!r}, too small to hold one sample of {len(labels)}")
    keep, out = torch.from_numpy(~mask), torch.from_numpy(mask)
    return samples.subset(keep), samples.subset(out)


def stream(samples: AnySamples, indices: Iterable[Tensor]) -> Iterator[tuple[AnyBatch, Tensor]]:
    """The batch of each index; of recordings, the next is read while this one is in use."""
    if not isinstance(samples, EventSamples):
        for index in indices:
            yield samples.batch(index)
        return
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for index in indices:
            coming = pool.submit(samples.batch, index)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
