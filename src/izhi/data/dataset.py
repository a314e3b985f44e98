"""The one form in which every data set reaches training, and its splits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from izhi.data.events import EventBatch, EventSamples
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


#: What training takes: vectors in memory, or recordings of events that are read when they are needed.
AnySamples = Samples | EventSamples


@dataclass(frozen=True)
class Dataset:
    """A classification data set with the test samples its publishers, or a fixed seed, set apart.

    Attributes:
        name: as on the command line.
        train: samples to learn from; ``split`` takes validation samples out of them.
        test: samples used for no choice of any kind.
        classes: names of the classes, in the order of the labels.
        shape: shape of one input as people know it, such as (28, 28).
        groups: parts of the test samples whose accuracy is also reported apart: name → mask (M,).
        speakers: who spoke each training sample, (M,), where that is known.
    """

    name: str
    train: AnySamples
    test: AnySamples
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    groups: Mapping[str, Tensor] = field(default_factory=dict)
    speakers: Tensor | None = None

    @property
    def features(self) -> int:
        return self.train.features


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


def hold_out_speaker(dataset: Dataset, speaker: int) -> tuple[AnySamples, AnySamples]:
    """Training samples of all other speakers, and validation samples of this one.

    Settings that are chosen so are chosen for people who have not been heard before.

    Raises:
        SettingError: where speakers are not known, or there is no such speaker, or no other.
    """
    if dataset.speakers is None:
        raise SettingError(f"validation_speaker is {speaker}, but {dataset.name} does not say who spoke; leave it out")
    his = dataset.speakers == speaker
    if not his.any() or his.all():
        known = ", ".join(str(x) for x in sorted(set(dataset.speakers.tolist())))
        raise SettingError(f"validation_speaker is {speaker}, expected one of several: {known}")
    return dataset.train.subset(~his), dataset.train.subset(his)


def stream(samples: AnySamples, indices: Iterable[Tensor]) -> Iterator[tuple[Tensor | EventBatch, Tensor]]:
    """The batch of each index; of recordings, the next is read while this one is in use."""
    if isinstance(samples, Samples):
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
