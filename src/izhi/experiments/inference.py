"""An artifact on a data set: the same samples, coded by the same seeds, as the run it came from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from izhi.data import Dataset, stream
from izhi.errors import ArtifactError, IzhiError, SettingError
from izhi.experiments import build, plots
from izhi.experiments.export import as_inputs, as_integers
from izhi.experiments.settings import Experiment, experiment
from izhi.experiments.trained import Trained
from izhi.hardware import fixed
from izhi.hardware.artifact import Artifact, IntegerArtifact
from izhi.hardware.fixed import Outcome, Trace
from izhi.kernels import Spikes
from izhi.network.connections import Linear
from izhi.network.layers import Network
from izhi.seeds import Purpose, derive_seed
from izhi.training import Classifier, inputs
from izhi.training.loop import EVALUATION_BATCH
from izhi.training.losses import predict


@dataclass
class Inference:
    """What an artifact made of a data set's test samples.

    Attributes:
        classes: of each sample.
        accuracy: the share that is right.
        groups: of groups of samples.
        rates: spikes per neuron and step of each layer.
        seconds: that the model itself took, without reading and encoding samples.
    """

    classes: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    accuracy: float
    groups: dict[str, float]
    rates: list[float]
    seconds: float


def settings_of(artifact: Artifact[Any]) -> Experiment:
    """The settings by which samples become spikes.

    Raises:
        ArtifactError: if they are none that this izhi knows.
    """
    try:
        return experiment(artifact.encoding)
    except (IzhiError, TypeError) as error:
        raise ArtifactError(f"the artifact's encoding cannot be used: {error}") from None


def dataset_of(
    artifact: Artifact[Any], report: Callable[[str], None] = lambda line: None
) -> Dataset:
    """The data set that an artifact was made for; ArtifactError if it names none."""
    if "dataset" not in artifact.encoding:
        raise ArtifactError("the artifact names no data set, expected one; add --dataset")
    return build.dataset(settings_of(artifact), report)


def model_of(artifact: Artifact[Any]) -> Callable[..., Outcome]:
    """What computes an artifact's outcome on this machine: (network, inputs) → Outcome."""
    return lambda network, inputs: artifact.run(inputs)


@dataclass
class Agreement:
    """How far an artifact and the network it came from are the same.

    Attributes:
        samples: how many were run.
        spikes: of each layer, of the network.
        different: of each layer, places (step, sample, neuron) where only one of them fires.
        classes: samples to which they give different classes.
    """

    samples: int
    spikes: list[int]
    different: list[int]
    classes: int

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs."""
        return not any(self.different) and not self.classes


def encoded(artifact: Artifact[Any], dataset: Dataset) -> Iterator[tuple[Tensor, Spikes]]:
    """The test samples as batches of spikes (T, B, inputs), with the samples' numbers.

    Raises:
        ArtifactError: if the data set is not the artifact's.
    """
    e = settings_of(artifact)
    width = inputs(e, dataset)
    if width != artifact.network.inputs or tuple(dataset.classes) != artifact.classes:
        raise ArtifactError(
            f"the artifact has {artifact.network.inputs} inputs and {len(artifact.classes)} classes,"
            f" but {dataset.name} has {width} and {len(dataset.classes)}; choose its own data set"
        )
    encoder = Classifier(e, Network([], Linear(width, 1)), dataset.shape).eval()
    parts = torch.split(torch.arange(len(dataset.test)), EVALUATION_BATCH)
    for step, (values, _) in enumerate(stream(dataset.test, parts)):
        yield parts[step], encoder.encode(values, derive_seed(e.seed, Purpose.TEST, step, 0))


def training_inputs(artifact: Artifact[Any], dataset: Dataset, count: int) -> tuple[Any, Any]:
    """Encoded training samples as the artifact takes them, at most so many, and their classes (samples,)."""
    chosen = torch.zeros(len(dataset.train), dtype=torch.bool)
    chosen[torch.linspace(0, len(dataset.train) - 1, min(count, len(dataset.train))).long()] = True
    some = replace(dataset, test=dataset.train.subset(chosen))
    parts = [as_inputs(artifact, arriving) for _, arriving in encoded(artifact, some)]
    joined = np.concatenate(parts, 1 if parts[0].ndim == 3 else 0)
    return joined, some.test.labels.numpy()


def evaluate(
    artifact: Artifact[Any],
    dataset: Dataset,
    run: Callable[..., Outcome] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Inference:
    """Run the test samples of a data set.

    Args:
        artifact: the network.
        dataset: of the same inputs and classes.
        run: the artifact's model, or a device in its place.
        progress: told how many samples are done.
    """
    samples, run = dataset.test, run or model_of(artifact)
    found: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    spikes = np.zeros(len(artifact.network.layers))
    seconds = 0.0
    for part, arriving in encoded(artifact, dataset):
        taken = as_inputs(artifact, arriving)
        start = time.perf_counter()
        outcome = run(artifact.network, taken)
        seconds += time.perf_counter() - start
        found.append(outcome.classes)
        spikes += [s.mean() * len(part) for s in outcome.spikes]
        progress(sum(map(len, found)))
    classes = np.concatenate(found)
    right = classes == samples.labels.numpy()
    groups = {name: float(right[mask.numpy()].mean()) for name, mask in dataset.groups.items()}
    return Inference(
        classes, float(right.mean()), groups, (spikes / len(samples)).tolist(), seconds
    )


def agreement(
    artifact: Artifact[Any],
    trained: Trained,
    run: Callable[..., Outcome] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Agreement:
    """Run the test samples through an artifact and through the network it came from, and compare.

    Args:
        artifact: the network.
        trained: the network in torch.
        run: the artifact's model, or a device in its place.
        progress: told how many samples are done.

    Raises:
        ArtifactError: if the networks have different layers.
    """
    network, run = trained.network.eval(), run or model_of(artifact)
    widths = [len(layer.weight) for layer in artifact.network.layers]
    others = [int(layer.connection.out_features) for layer in network.layers]  # type: ignore[union-attr, arg-type]
    if widths != others:
        raise ArtifactError(
            f"the artifact has layers of {widths} neurons, but {trained.path} has {others}; choose its own run"
        )
    found = Agreement(0, [0] * len(widths), [0] * len(widths), 0)
    for part, spikes in encoded(artifact, trained.dataset):
        with torch.no_grad():
            out = network(spikes)
        outcome = run(artifact.network, as_inputs(artifact, spikes))
        for k, (a, b) in enumerate(zip(outcome.spikes, out.spikes, strict=True)):
            fired = b.numpy() > 0
            found.spikes[k] += int(fired.sum())
            found.different[k] += int((fired != (a > 0)).sum())
        classes = predict(out.output, trained.experiment.loss).numpy()
        found.classes += int((outcome.classes != classes).sum())
        found.samples += len(part)
        progress(found.samples)
    return found


def trace(artifact: IntegerArtifact, dataset: Dataset, sample: int) -> Outcome:
    """All that happens in the integer model while it runs one test sample, coded as in ``evaluate``.

    Raises:
        SettingError: if there is no such sample.
    """
    if not 0 <= sample < len(dataset.test):
        raise SettingError(f"sample is {sample}, expected 0 to {len(dataset.test) - 1}")
    for part, spikes in encoded(artifact, dataset):
        if sample <= int(part[-1]):
            place = sample - int(part[0])
            one = as_integers(spikes)[:, place : place + 1]
            return fixed.run(artifact.network, one, trace=True)
    raise AssertionError("every sample is in a batch")


def values(network: fixed.Network, seen: Trace, layer: int, neuron: int) -> plots.Trace:
    """What one neuron did, in values instead of integers, for ``plots.trace``; layer 0 is the first."""
    kind = network.layers[layer].neuron
    integers = (x[layer][:, 0, neuron] for x in (seen.current, seen.v, seen.u, seen.spikes))
    current, v, u, spikes = integers
    unit = kind.v_format.unit
    return plots.Trace(
        np.arange(len(v)), current * unit, v * unit,
        u * kind.formats.u.unit if "u" in kind.states else None, spikes, "",
    )  # fmt: skip
