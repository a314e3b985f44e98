"""Data sets that come inside scikit-learn: digits, iris, wine, breast_cancer. No download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data.dataset import Dataset, Samples
from izhi.errors import SettingError

#: A fifth of each class is set apart for testing, by this seed, the same for every run.
TEST_SHARE, TEST_SEED, FOLDS = 0.2, 0, 5


def load(name: str, fold: int | None = None, best_inputs: int | None = None) -> Dataset:
    """One of the four, each feature scaled to 0 … 1 by the range of the training samples.

    Args:
        name: which.
        fold: test on this fifth of all samples, 0 to 4, for five-fold cross-validation; None: the usual.
        best_inputs: keep so many features, those whose classes' means differ most on the training samples
            (F of an analysis of variance); None for all.

    Raises:
        SettingError: if there are fewer features.
    """
    from sklearn import datasets
    from sklearn.feature_selection import f_classif
    from sklearn.model_selection import StratifiedKFold, train_test_split

    bunch = getattr(datasets, f"load_{name}")()
    x, y = bunch.data, bunch.target
    everything = np.arange(len(y))
    if fold is None:
        train, test = train_test_split(
            everything, test_size=TEST_SHARE, random_state=TEST_SEED, stratify=y
        )
    else:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=TEST_SEED)
        train, test = list(folds.split(x, y))[fold]
    shape: tuple[int, ...] = (8, 8) if name == "digits" else (x.shape[1],)
    if best_inputs is not None:
        if best_inputs > x.shape[1]:
            raise SettingError(
                f"best_inputs is {best_inputs}, but {name} has {x.shape[1]} inputs; choose fewer"
            )
        differ = np.nan_to_num(f_classif(x[train], y[train])[0])
        x = x[:, np.sort(np.argsort(-differ, kind="stable")[:best_inputs])]
        shape = (best_inputs,)
    if name == "digits":
        low, high = np.zeros(x.shape[1]), np.full(x.shape[1], 16.0)
    else:
        low, high = x[train].min(axis=0), x[train].max(axis=0)
    return Dataset(
        name=name,
        train=_samples(x[train], y[train], low, high),
        test=_samples(x[test], y[test], low, high),
        classes=tuple(str(c) for c in bunch.target_names),
        shape=shape,
    )


def _samples(x: NDArray[Any], y: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Samples:
    scaled = np.clip((x - low) / (high - low), 0, 1).astype(np.float32)
    return Samples(torch.from_numpy(scaled), torch.from_numpy(y.astype(np.int64)))
