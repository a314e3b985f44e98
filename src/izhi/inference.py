"""An artifact on a data set: the same samples, coded by the same seeds, as the run it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from izhi.artifact import Artifact
from izhi.config import Experiment, experiment
from izhi.connections import Linear
from izhi.data import Dataset, stream
from izhi.errors import ArtifactError, IzhiError
from izhi.export import as_integers
from izhi.fixed import Outcome, fast
from izhi.network import Network
from izhi.training import Classifier, inputs
from izhi.training.loop import EVALUATION_BATCH, TEST, derive_seed


@dataclass
class Inference:
    """What an artifact made of a data set's test samples.

    Attributes:
        classes: of each sample.
        accuracy: the share that is right.
        groups: of groups of samples.
        rates: spikes per neuron and step of each layer.
    """

    classes: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    accuracy: float
    groups: dict[str, float]
    rates: list[float]


def settings_of(artifact: Artifact) -> Experiment:
    """The settings by which samples become spikes.

    Raises:
        ArtifactError: if they are none that this izhi knows.
    """
    try:
        return experiment(artifact.encoding)
    except (IzhiError, TypeError) as error:
        raise ArtifactError(f"the artifact's encoding cannot be used: {error}") from None


def evaluate(
    artifact: Artifact,
    dataset: Dataset,
    run: Callable[..., Outcome] = fast.run,
    progress: Callable[[int], None] = lambda done: None,
) -> Inference:
    """Run the test samples of a data set.

    Args:
        artifact: the network.
        dataset: of the same inputs and classes.
        run: the integer model, or a device in its place.
        progress: told how many samples are done.
    """
    e = settings_of(artifact)
    width = inputs(e, dataset)
    if width != artifact.network.inputs or tuple(dataset.classes) != artifact.classes:
        raise ArtifactError(
            f"the artifact has {artifact.network.inputs} inputs and {len(artifact.classes)} classes,"
            f" but {dataset.name} has {width} and {len(dataset.classes)}; choose its own data set"
        )
    encoder = Classifier(e, Network([], Linear(width, 1)), dataset.shape).eval()
    samples = dataset.test
    parts = torch.split(torch.arange(len(samples)), EVALUATION_BATCH)
    found: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    spikes = np.zeros(len(artifact.network.layers))
    with torch.no_grad():
        for step, (values, _) in enumerate(stream(samples, parts)):
            outcome = run(
                artifact.network,
                as_integers(encoder.encode(values, derive_seed(e.seed, TEST, step, 0))),
            )
            found.append(outcome.classes)
            spikes += [s.mean() * len(parts[step]) for s in outcome.spikes]
            progress(sum(map(len, found)))
    classes = np.concatenate(found)
    right = classes == samples.labels.numpy()
    groups = {name: float(right[mask.numpy()].mean()) for name, mask in dataset.groups.items()}
    return Inference(classes, float(right.mean()), groups, (spikes / len(samples)).tolist())
