"""Data sets that come inside scikit-learn: digits, iris, wine, breast_cancer. No download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data.dataset import Dataset, Samples

#: A fifth of each class is set apart for testing, by this seed, the same for every run.
TEST_SHARE, TEST_SEED = 0.2, 0


def load(name: str) -> Dataset:
    """One of the four, each feature scaled to 0 … 1 by the range of the training samples."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    bunch = getattr(datasets, f"load_{name}")()
    parts = train_test_split(
        bunch.data,
        bunch.target,
        test_size=TEST_SHARE,
        random_state=TEST_SEED,
        stratify=bunch.target,
    )
    train_x, test_x, train_y, test_y = parts
    if name == "digits":
        low, high = np.zeros(64), np.full(64, 16.0)
    else:
        low, high = train_x.min(axis=0), train_x.max(axis=0)
    return Dataset(
        name=name,
        train=_samples(train_x, train_y, low, high),
        test=_samples(test_x, test_y, low, high),
        classes=tuple(str(c) for c in bunch.target_names),
        shape=(8, 8) if name == "digits" else (train_x.shape[1],),
    )


def _samples(x: NDArray[Any], y: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Samples:
    scaled = np.clip((x - low) / (high - low), 0, 1).astype(np.float32)
    return Samples(torch.from_numpy(scaled), torch.from_numpy(y.astype(np.int64)))
