"""A trained network with its settings and its data set, from a run folder or checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from izhi.data import Dataset
from izhi.errors import CheckpointError, IzhiError
from izhi.experiments import build
from izhi.experiments.run_folder import Saved, load as load_run
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.description import describe
from izhi.network import Layer, Network
from izhi.network.encoders import Encoder
from izhi.spec.assembly import network_of_tables
from izhi.training import LOSSES, Classifier, checkpoint


@dataclass(frozen=True)
class Trained:
    """A trained network."""

    path: Path  #: path of its checkpoint
    experiment: Experiment  #: its settings
    dataset: Dataset  #: data set of the training
    encoder: Encoder  #: encoder of its samples
    network: Network  #: the network with the trained weights
    history: list[dict[str, float]]  #: metrics of each epoch

    @property
    def layers(self) -> list[Layer]:
        """Of neurons."""
        return self.network.spiking

    @property
    def classifier(self) -> Classifier:
        """Encoder and network as one module, in evaluation."""
        return Classifier(self.encoder, self.network, LOSSES[self.experiment.training.loss]).eval()


def network_of(saved: Saved, features: int | tuple[int, ...], classes: int) -> Network:
    """The network of a checkpoint, with its weights.

    Raises:
        CheckpointError: if its weights are not those of the network that it describes; none is made that
            would be larger than they are.
    """
    weights, e, spec = saved.progress.network, saved.experiment, describe(saved.experiment, features, classes)
    least, s, shape = spec.numbers, e.network, (features,) if isinstance(features, int) else features
    if saved.tables is not None:
        try:
            spec = network_of_tables(
                saved.tables, math.prod(shape), classes, dropout=s.dropout, keep_every=s.keep_every
            )
        except IzhiError as error:
            raise CheckpointError(f"{saved.path} describes another network: {error}") from None
    there, expected = sum(x.numel() for x in weights.values()), max(least, spec.parameters)
    if there < expected:
        raise CheckpointError(
            f"{saved.path} is from another network: it holds {there} numbers, expected at least {expected}"
        )
    network = build.network(e, features, classes, spec=spec)
    checkpoint.load_weights(saved.path, network, weights)
    return network


def load(
    path: Path, changes: Mapping[str, object] | None = None, report: Callable[[str], None] = lambda line: None,
    expect: Callable[[Experiment], None] = lambda e: None,
) -> Trained:  # fmt: skip
    """The network of a run folder or checkpoint.

    Args:
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
    spec = build.encoder_spec(saved.experiment, dataset)
    if saved.encoder is not None and saved.encoder.grid == spec.grid:  # another data set has other features
        spec = saved.encoder
    encoder = build.encoder(saved.experiment, dataset, spec)
    network = network_of(saved, encoder.grid, len(dataset.classes))
    return Trained(saved.path, saved.experiment, dataset, encoder, network, saved.progress.history)
