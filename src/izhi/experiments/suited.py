"""Settings that follow the data set: what a run chooses where nothing is given.

The defaults of settings are those of published runs on tens of thousands of images: batches of 256 make too few steps
of training of a small data set, which then stays at chance. The numbers here were chosen on samples held out from the
training samples of ten data sets (docs/results/defaults.md), never on test samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from izhi.data import Dataset, EventSamples, SeriesSamples, has_step_labels
from izhi.data.catalogue import is_made
from izhi.experiments.settings.choices import SEARCHES
from izhi.experiments.settings.neurons import NeuronSettings

#: Training samples from which on the defaults of settings fit.
_MANY = 10_000
#: Steps of training, at least; and the limits of the epochs that they become.
_UPDATES, _UPDATES_OF_SERIES, _EPOCHS = 600, 1_000, (10, 100)
#: Longest of the time series that keep their own steps.
_STEPS = 250
#: Settings of neurons, and those with which resonators were not tried: recurrent ones excite themselves.
_DECIDE_THE_NEURON = {*NeuronSettings.model_fields, "layers", "connection"} - {"kernel"}


def suited(given: Mapping[str, Any], dataset: Dataset, *, neuron: bool = True) -> dict[str, object]:
    """Settings for a small data set that are not given; none for others.

    Series with a label for each step, and evolution, keep the defaults.

    Args:
        given: settings by name, of their own types.
        dataset: the samples of the run.
        neuron: whether the neuron is chosen too; where neurons are compared it is not.
    """
    train, count = dataset.train, _count(given, dataset)
    if count >= _MANY or has_step_labels(train) or given.get("optimizer") in SEARCHES:
        return {}
    is_series = isinstance(train, SeriesSamples)
    batch: int = given.get("batch_size", min(64 if is_series else 256, max(8, count // 16)))
    updates = _UPDATES_OF_SERIES if is_series else _UPDATES
    least, most = _EPOCHS
    chosen: dict[str, object] = {
        "batch_size": batch,
        "epochs": min(most, max(least, math.ceil(updates / math.ceil(count / batch)))),
        "learning_rate": 2e-3,
        "readout": "current",
    }
    if "layers" not in given:
        chosen["hidden"] = (128,)
    if isinstance(train, SeriesSamples):
        if neuron and not given.keys() & _DECIDE_THE_NEURON:
            chosen["neuron"] = "resonator"
        chosen["calibrate"] = 0.5
        keeps_steps = given.get("lengths") == "pad" or is_made(dataset.name)  # means of steps would be another task
        chosen["steps"] = train.longest if keeps_steps else min(_STEPS, train.longest)
        if given.get("encoding", "current") in ("current", "rate"):
            chosen["population"] = 8
    elif not isinstance(train, EventSamples):
        chosen["encoding"] = "constant"
    return {name: value for name, value in chosen.items() if name not in given}


def in_words(chosen: Mapping[str, object], given: Mapping[str, Any], dataset: Dataset) -> str:
    """What was chosen for a data set beside what was given, and why, for people; empty if nothing was."""
    if not chosen:
        return ""
    listed = ", ".join(f"{name} {_text(value)}" for name, value in chosen.items())
    return f"chosen for {_count(given, dataset):,} training samples (what you give stays): {listed}"


def _count(given: Mapping[str, Any], dataset: Dataset) -> int:
    """Samples to train with, those for validation included."""
    wanted: int = given.get("train_samples", len(dataset.train))
    return min(len(dataset.train), wanted)


def _text(value: object) -> str:
    return (
        ",".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
