"""Data sets of scikit-learn: digits, iris, wine, breast_cancer. They need no download."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data.catalogue import DATASETS, FOLDS
from izhi.data.dataset import TEST_SEED, TEST_SHARE, Dataset
from izhi.data.samples import Samples
from izhi.data.source import Part, Source
from izhi.errors import SettingError
from izhi.processes import without_collection


def stratified_split(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and of the test samples; ValueError if a class has too few."""
    from sklearn.model_selection import train_test_split

    indices = np.arange(len(labels))
    train, test = train_test_split(indices, test_size=TEST_SHARE, random_state=TEST_SEED, stratify=labels)
    return train, test


@dataclass(frozen=True)
class Embedded(Source):
    """A data set of scikit-learn, each feature scaled to 0 … 1 by its range in the training samples."""

    #: see ``izhi.data.source.Source``
    name: str
    about: str
    shape: tuple[int, ...] | None = None  #: of an image, whose pixels have a common range; None for other measurements
    largest: float | None = None  #: upper end of that range
    fold: int | None = None  #: test fold of a five-fold cross-validation, 0 to 4; None for the usual test samples
    #: number of features kept, by F of an analysis of variance on the training samples; None for all
    best_inputs: int | None = None

    def files(self, folder: Path) -> Sequence[Path]:
        return []

    def check(self, folder: Path) -> list[Part]:
        return []

    def load(self, folder: Path) -> Dataset:
        """The data set; SettingError if it has fewer features than ``best_inputs``."""
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
        """Indices of the training and of the test samples."""
        if self.fold is None:
            return stratified_split(y)
        from sklearn.model_selection import StratifiedKFold

        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=TEST_SEED)
        train, test = list(folds.split(np.arange(len(y)), y))[self.fold]
        return train, test

    def _best(self, x: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the kept features."""
        from sklearn.feature_selection import SelectKBest

        if self.best_inputs is not None and self.best_inputs > x.shape[1]:
            raise SettingError(
                f"best_inputs is {self.best_inputs}, but {self.name} has {x.shape[1]} inputs; choose fewer"
            )
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # of constant features, which come last
            warnings.simplefilter("ignore")
            kept: NDArray[np.int64] = SelectKBest(k=self.best_inputs).fit(x, y).get_support(indices=True)
        return kept

    def _scaled(self, x: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.float64]:
        """Features from 0 to 1; test samples are clamped to that range."""
        from sklearn.preprocessing import MinMaxScaler

        scale = MinMaxScaler(clip=True)
        ends = np.outer([0, self.largest], np.ones(x.shape[1])) if self.largest else x[train]
        scaled: NDArray[np.float64] = scale.fit(ends).transform(x)
        return scaled


def _samples(x: NDArray[np.float64], y: NDArray[np.int64]) -> Samples:
    return Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y.astype(np.int64)))


ALL = (
    Embedded("digits", DATASETS["digits"], (8, 8), largest=16),
    *(Embedded(name, DATASETS[name]) for name in ("iris", "wine", "breast_cancer")),
)
