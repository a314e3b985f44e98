"""A trained network with its settings and its data set, from a run folder or checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from izhi.data import Dataset
from izhi.errors import CheckpointError
from izhi.experiments import build
from izhi.experiments.run_folder import Saved, load as load_run
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.description import describe
from izhi.network import Layer, Network
from izhi.network.encoders import Encoder
from izhi.training import Classifier, checkpoint


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        path: path of its checkpoint.
        experiment: its settings.
        dataset: data set of the training.
        encoder: encoder of its samples.
        network: the network with the trained weights.
        history: metrics of each epoch.
    """

    path: Path
    experiment: Experiment
    dataset: Dataset
    encoder: Encoder
    network: Network
    history: list[dict[str, float]]

    @property
    def layers(self) -> list[Layer]:
        """Of neurons."""
        return self.network.spiking

    @property
    def classifier(self) -> Classifier:
        """Encoder and network as one module, in evaluation."""
        return Classifier(self.encoder, self.network).eval()


def network_of(saved: Saved, features: int | tuple[int, ...], classes: int) -> Network:
    """The network of a checkpoint, with its weights.

    Raises:
        CheckpointError: if its weights are not those of the network in its settings; none is made that
            would be larger than they are.
    """
    weights, e = saved.progress.network, saved.experiment
    there, expected = sum(x.numel() for x in weights.values()), describe(e, features, classes).numbers
    if there < expected:
        raise CheckpointError(
            f"{saved.path} is from another network: it holds {there} numbers, expected at least {expected}"
        )
    network = build.network(e, features, classes)
    checkpoint.load_weights(saved.path, network, weights)
    return network


def load(
    path: Path,
    changes: Mapping[str, object] | None = None,
    report: Callable[[str], None] = lambda line: None,
    expect: Callable[[Experiment], None] = lambda e: None,
) -> Trained:
    """The network of a run folder or checkpoint.

    Args:
        path: path of the folder or checkpoint.
        changes: settings that replace those of the run.
        report: receives a line about what is read or downloaded.
        expect: raises an error if the settings are not what the caller needs.
    """
    saved = load_run(path, changes)
    e = saved.experiment
    expect(e)
    return of(saved, build.dataset(e.data, report))


def of(saved: Saved, dataset: Dataset) -> Trained:
    """The network of a checkpoint with its data set; CheckpointError if its weights are of another network."""
    encoder = build.encoder(saved.experiment, dataset)
    network = network_of(saved, encoder.grid, len(dataset.classes))
    return Trained(saved.path, saved.experiment, dataset, encoder, network, saved.progress.history)
