"""Data sets that come inside scikit-learn: digits, iris, wine, breast_cancer. No download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data.catalogue import DATASETS, FOLDS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.samples import Samples
from izhi.data.source import Part
from izhi.errors import SettingError
from izhi.processes import without_collection

#: A fifth of each class is set apart for testing, by this seed, the same for every run.
TEST_SHARE, TEST_SEED = 0.2, 0


@dataclass(frozen=True)
class Embedded:
    """One of the four, each feature scaled to 0 … 1 by the range of the training samples.

    Attributes:
        name, about: see ``izhi.data.source.Source``.
        shape: of an image, whose pixels have a common range; None for other measurements.
        largest: the end of that range.
        fold: test on this fifth of all samples, 0 to 4, for five-fold cross-validation; None: the usual.
        best_inputs: keep so many features, those whose classes' means differ most on the training samples
            (F of an analysis of variance); None for all.
    """

    name: str
    about: str
    shape: tuple[int, ...] | None = None
    largest: float | None = None
    fold: int | None = None
    best_inputs: int | None = None
    window = None

    def is_there(self, folder: Path) -> bool:
        """Yes: scikit-learn is."""
        return True

    def fetch(self, folder: Path, report: Progress) -> None:
        """Nothing to do."""

    def check(self, folder: Path) -> list[Part]:
        """No files."""
        return []

    def load(self, folder: Path) -> Dataset:
        """The data set; SettingError if it has fewer features than are to be kept."""
        with without_collection():
            from sklearn import datasets

        bunch = getattr(datasets, f"load_{self.name}")()
        x, y = bunch.data, bunch.target
        train, test = self._split(y)
        shape = self.shape or (x.shape[1],)
        if self.best_inputs is not None:
            x = x[:, self._best(x[train], y[train])]
            shape = (self.best_inputs,)
        scaled = self._scaled(x, train)
        return Dataset(
            name=self.name,
            train=_samples(scaled[train], y[train]),
            test=_samples(scaled[test], y[test]),
            classes=tuple(str(c) for c in bunch.target_names),
            shape=shape,
        )

    def _split(self, y: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of the training and of the test samples."""
        from sklearn.model_selection import StratifiedKFold, train_test_split

        everything = np.arange(len(y))
        if self.fold is None:
            train, test = train_test_split(everything, test_size=TEST_SHARE, random_state=TEST_SEED, stratify=y)
            return train, test
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=TEST_SEED)
        train, test = list(folds.split(everything, y))[self.fold]
        return train, test

    def _best(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the features that are kept."""
        from sklearn.feature_selection import SelectKBest

        if self.best_inputs is not None and self.best_inputs > x.shape[1]:
            raise SettingError(
                f"best_inputs is {self.best_inputs}, but {self.name} has {x.shape[1]} inputs; choose fewer"
            )
        kept: NDArray[np.int64] = SelectKBest(k=self.best_inputs).fit(x, y).get_support(indices=True)
        return kept

    def _scaled(self, x: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float64]:
        """Features from 0 to 1, those of test samples cut off there."""
        from sklearn.preprocessing import MinMaxScaler

        scale = MinMaxScaler(clip=True)
        ends = np.outer([0, self.largest], np.ones(x.shape[1])) if self.largest else x[train]
        scaled: NDArray[np.float64] = scale.fit(ends).transform(x)
        return scaled


def _samples(x: NDArray[np.float64], y: NDArray[np.int64]) -> Samples:
    return Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))


DIGITS = Embedded("digits", DATASETS["digits"], (8, 8), largest=16)
IRIS = Embedded("iris", DATASETS["iris"])
WINE = Embedded("wine", DATASETS["wine"])
BREAST_CANCER = Embedded("breast_cancer", DATASETS["breast_cancer"])
