"""What is said of a network that guesses."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import AnySamples, EventSamples, SeriesSamples, has_step_labels
from izhi.experiments.settings import Experiment
from izhi.network.encoding import resampled

#: Training samples of the logistic regression, and steps of a series that it sees.
_SAMPLES, _STEPS = 2_000, 32


def remarks(
    e: Experiment, train: AnySamples, held: AnySamples, accuracy: float | None, kind: str = "test"
) -> list[str]:
    """A line about a network whose accuracy is that of guessing; none about others.

    Guessing is to answer the commonest class, give or take two standard deviations of so many samples. The line has
    the accuracy of a logistic regression of the same samples, and what to try.

    Args:
        e: settings of the run.
        train: the samples that it learned from.
        held: those that it was tested by.
        accuracy: share of them after the last epoch; None where they are not tested.
        kind: of the tested samples, ``"test"`` or ``"validation"``.
    """
    labels = held.labels
    if accuracy is None or has_step_labels(held) or not len(labels):
        return []
    common = labels.bincount().max().item() / len(labels)
    if accuracy > common + 2 * math.sqrt(common * (1 - common) / len(labels)):
        return []
    plain = _logistic_regression(train, held)
    than = "" if plain is None else f", logistic regression {100 * plain:.1f} %"
    return [
        f"at chance: {100 * accuracy:.1f} % of the {kind} samples, where the commonest class is {100 * common:.1f} %"
        f"{than}; try {' '.join(_to_try(e, len(train)))}"
    ]


def _to_try(e: Experiment, samples: int) -> list[str]:
    """Options that often let such a network learn, of those that are not set so."""
    steps = math.ceil(samples / e.training.batch_size) * e.training.epochs
    options = [
        "--batch-size 16 --epochs 50" if steps < 300 else "",
        "--calibrate 0.5" if e.training.calibrate is None else "",
        "--readout current" if e.network.readout != "current" else "",
        "--learning-rate 2e-3" if e.training.learning_rate < 2e-3 else "--learning-rate 5e-4",
    ]
    return [option for option in options if option]


def _logistic_regression(train: AnySamples, held: AnySamples) -> float | None:
    """Accuracy of a logistic regression of the samples' values; None for recorded events, and of one class alone."""
    if isinstance(train, EventSamples):
        return None
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (x, y), (x_test, y_test) = (_arrays(part) for part in (train, held))
    if len(np.unique(y)) < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    return float(model.score(x_test, y_test))


def _arrays(samples: AnySamples) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values (S, numbers) and labels (S,) of some of the samples, evenly chosen."""
    index = torch.linspace(0, len(samples) - 1, min(len(samples), _SAMPLES)).long()
    values, labels = samples.batch(index)
    if isinstance(samples, SeriesSamples):
        assert not isinstance(values, Tensor)
        values = resampled(values, _STEPS).transpose(0, 1)  # type: ignore[arg-type]
    assert isinstance(values, Tensor)
    return values.flatten(1).double().numpy(), labels.numpy()
