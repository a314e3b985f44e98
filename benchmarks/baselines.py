"""What a network has to beat on a data set: guessing, a linear classifier, and the nearest training sample.

    python benchmarks/baselines.py memory-adding memory-copy hapt ts:GunPoint --json baselines.json

Guessing answers the commonest class of the training samples. The linear classifier is scikit-learn's logistic
regression behind a StandardScaler, and the nearest sample is by Euclidean distance; both see all steps of a series at
once (resampled to its longest where lengths differ), so that they need no memory. Of a series with a label for each
step they see the step alone. All learn from the training samples and are tested once on the test samples.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from izhi import data
from izhi.data import NO_LABEL, AnySamples, SeriesBatch, has_step_labels
from izhi.errors import IzhiError, SettingError
from izhi.network.encoding import resampled

#: Steps with a label that the classifiers learn from at most; their time grows with it.
_STEPS_LEARNED = 20_000


class Baselines(NamedTuple):
    """Test accuracies on a data set, 0 to 1."""

    name: str
    classes: int
    guessing: float
    linear: float
    nearest: float


def arrays(samples: AnySamples, steps: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values (S, numbers) and labels (S,) of samples, or of their steps if each has a label.

    Series have so many steps, each the mean over its share; None for those of the longest.
    """
    values, labels = samples.batch(torch.arange(len(samples)))
    if not isinstance(values, (torch.Tensor, SeriesBatch)):
        raise SettingError("recorded events have no values, expected a data set of values or time series")
    if has_step_labels(samples):
        assert isinstance(values, SeriesBatch)
        known = labels != NO_LABEL
        return values.dense()[known].numpy(), labels[known].numpy()
    if isinstance(values, SeriesBatch):
        values = resampled(values, steps or int(values.lengths.max())).transpose(0, 1)
    return values.flatten(1).numpy(), labels.numpy()


def baselines(name: str) -> Baselines:
    """The test accuracies of three classifiers on a data set."""
    dataset = data.load(name)
    (x, y), (x_test, y_test) = arrays(dataset.train), arrays(dataset.test)
    if len(y) > _STEPS_LEARNED and has_step_labels(dataset.train):
        kept = np.random.default_rng(0).permutation(len(y))[:_STEPS_LEARNED]
        x, y = x[kept], y[kept]
    models = (DummyClassifier(), LogisticRegression(max_iter=300), KNeighborsClassifier(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [make_pipeline(StandardScaler(), model).fit(x, y).score(x_test, y_test) for model in models]
    return Baselines(name, len(dataset.classes), *map(float, found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(data.MEMORY_TASKS), metavar="NAME")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    print(f"{'data set':24} {'classes':>7} {'guessing':>9} {'linear':>7} {'nearest':>8}   % of test samples")
    found = []
    for name in a.names:
        try:
            found.append(baselines(name))
        except IzhiError as error:
            parser.error(str(error))
        shown = " ".join(f"{100 * x:>{width}.1f}" for x, width in zip(found[-1][2:], (9, 7, 8), strict=True))
        print(f"{name:24} {found[-1].classes:>7} {shown}", flush=True)
    if a.json:
        a.json.write_text(json.dumps([one._asdict() for one in found], indent=2) + "\n")


if __name__ == "__main__":
    main()
