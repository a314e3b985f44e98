"""Small data sets by functions, of each kind of sample."""

from __future__ import annotations

import numpy as np

from izhi.data import Dataset

#: Names of the data sets, by the kind of their samples.
SERIES, EVENTS = "combinations.datasets:series", "combinations.datasets:events"
#: Of time series with a label for each step, and the number of steps.
STEPS, LENGTH = "combinations.datasets:steps", 8


def series() -> Dataset:
    """Time series of different lengths, two channels, three classes."""
    random = np.random.default_rng(0)
    labels = np.arange(30) % 3
    samples = [random.random((6 + k % 4, 2)) + y for k, y in enumerate(labels)]
    return Dataset.of(samples, labels, over_time=True, name="series")


def steps() -> Dataset:
    """Time series of two channels, of which the larger one is the class of a step."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (30, LENGTH))
    samples = np.stack([labels == 0, labels == 1], -1) * 0.7 + 0.3 * random.random((30, LENGTH, 2))
    return Dataset.of(samples, labels, over_time=True, name="steps")


def events() -> Dataset:
    """Recordings of a camera of 4 × 4 pixels and two polarities, two classes."""
    random = np.random.default_rng(0)
    items = []
    for k in range(20):
        one = np.zeros(40, [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
        one["x"], one["y"], one["p"] = random.integers(0, 4, 40), random.integers(0, 4, 40), random.integers(0, 2, 40)
        one["x"][:2], one["y"][:2], one["p"][:2] = 3, 3, 1
        one["t"] = np.sort(random.integers(0, 50_000, 40))
        items.append((one, k % 2))
    return Dataset.of(items, name="events")
