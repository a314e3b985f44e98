"""A trained network with its settings and its data set, from what a run left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from izhi.data import Dataset
from izhi.experiments import build
from izhi.experiments.settings import Experiment, experiment
from izhi.network.layers import Network
from izhi.training import checkpoint, inputs


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        path: of its checkpoint.
        experiment: its settings.
        dataset: what it was trained on.
        network: with the trained weights.
        history: metrics of each epoch.
    """

    path: Path
    experiment: Experiment
    dataset: Dataset
    network: Network
    history: list[dict[str, Any]]


def load(
    path: Path,
    changes: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda line: None,
    expect: Callable[[Experiment], None] = lambda e: None,
) -> Trained:
    """The network of a run folder or checkpoint.

    Args:
        path: of the folder or checkpoint.
        changes: settings that replace those of the run.
        report: told what is read or downloaded.
        expect: raises an error if the settings are not what the caller needs.
    """
    path = path / checkpoint.NAME if path.is_dir() else path
    content = checkpoint.load(path)
    e = experiment({**content["config"], **(changes or {})})
    expect(e)
    dataset = build.dataset(e, report)
    network = build.network(e, inputs(e, dataset), len(dataset.classes))
    checkpoint.load_weights(path, network, content["model"])
    return Trained(path, e, dataset, network, content["history"])
