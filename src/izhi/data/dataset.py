"""The one form in which every data set of vectors reaches training, and its splits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from izhi.errors import DataError, SettingError


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


@dataclass(frozen=True)
class Dataset:
    """A classification data set with the test samples its publishers, or a fixed seed, set apart.

    Attributes:
        name: as on the command line.
        train: samples to learn from; ``split`` takes validation samples out of them.
        test: samples used for no choice of any kind.
        classes: names of the classes, in the order of the labels.
        shape: shape of one input as people know it, such as (28, 28).
    """

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    shape: tuple[int, ...]

    @property
    def features(self) -> int:
        return int(self.train.inputs.shape[1])


def split(samples: Samples, validation: float, seed: int) -> tuple[Samples, Samples]:
    """Training and validation samples, fixed by the seed; every class gives the same share.

    Args:
        samples: (M, …).
        validation: share for validation, 0 to below 1.
        seed: of the permutation.
    """
    if not 0 <= validation < 1:
        raise SettingError(f"validation is {validation!r}, expected a share from 0 to below 1")
    random = np.random.default_rng(seed)
    labels = samples.labels.numpy()
    held: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        held.append(members[: round(validation * len(members))])
    mask = np.zeros(len(labels), bool)
    mask[np.concatenate(held)] = True
    if validation > 0 and not mask.any():
        raise DataError(
            f"validation is {validation!r}, too small to hold one sample of {len(labels)}"
        )
    keep, out = torch.from_numpy(~mask), torch.from_numpy(mask)
    return (
        Samples(samples.inputs[keep], samples.labels[keep]),
        Samples(samples.inputs[out], samples.labels[out]),
    )
