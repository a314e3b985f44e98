"""Samples of a data set as inputs of an artifact, encoded with the seeds of its run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import NO_LABEL, Dataset, EventBatch, stream
from izhi.errors import ArtifactError, DataError, IzhiError, SettingError
from izhi.experiments import build
from izhi.experiments.settings import Experiment, experiment
from izhi.hardware.artifact import Artifact
from izhi.hardware.devices.evaluation import load_samples
from izhi.hardware.networks import HardwareNetwork, Inputs
from izhi.kernels import Spikes
from izhi.seeds import Purpose, derive_seed
from izhi.training import EVALUATION_BATCH

Labels = NDArray[np.int64]


def settings_of(artifact: Artifact[HardwareNetwork]) -> Experiment:
    """The settings of an artifact's encoding; ArtifactError if this version of izhi does not know one of them."""
    try:
        return experiment(artifact.encoding)
    except (IzhiError, TypeError) as error:
        raise ArtifactError(f"the artifact's encoding cannot be used: {error}") from None


def dataset_of(artifact: Artifact[HardwareNetwork], report: Callable[[str], None] = lambda line: None) -> Dataset:
    """The data set of an artifact; ArtifactError if it names none."""
    if "dataset" not in artifact.encoding:
        raise ArtifactError("the artifact names no data set, expected one; add --dataset")
    return build.dataset(settings_of(artifact).data, report)


def dense(spikes: Spikes) -> NDArray[np.float32]:
    """Encoded samples (T, B, inputs) as an array."""
    return np.asarray((spikes if isinstance(spikes, Tensor) else spikes.dense()).float())


def batches(
    artifact: Artifact[HardwareNetwork], dataset: Dataset, samples: int | None = None
) -> Iterator[tuple[Inputs, Labels]]:
    """The test samples, at most so many, as inputs of the artifact, and their classes, in order.

    Raises:
        ArtifactError: if the data set has other inputs or classes than the artifact.
    """
    e = settings_of(artifact)
    encoder = build.encoder(e, dataset)
    if encoder.features != artifact.network.inputs or dataset.classes != artifact.classes:
        raise ArtifactError(
            f"the artifact has {artifact.network.inputs} inputs and {len(artifact.classes)} classes,"
            f" but {dataset.name} has {encoder.features} and {len(dataset.classes)}; choose its own"
            " data set"
        )
    count = len(dataset.test) if samples is None else min(samples, len(dataset.test))
    # Batches are encoded whole, so that a sample's spikes do not depend on the number of samples.
    indices = torch.split(torch.arange(len(dataset.test)), EVALUATION_BATCH)[: -(-count // EVALUATION_BATCH)]
    for step, (values, labels) in enumerate(stream(dataset.test, indices)):
        seed = derive_seed(e.training.seed, Purpose.TEST, step, 0)
        size = min(len(labels), count - step * EVALUATION_BATCH)
        yield artifact.inputs_of(dense(encoder(values, seed))[:, :size]), labels[:size].numpy()


def of_file(artifact: Artifact[HardwareNetwork], path: Path) -> Iterator[tuple[Inputs, Labels]]:
    """Encoded samples and their classes from a file of ``izhi export --samples``, or one of the same format.

    Args:
        artifact: whose network runs them.
        path: of the file (.npz): ``spikes`` (T, samples, inputs), uint8, or for the FPGA IP ``currents``
            (samples, inputs), float32; ``labels`` (samples,), or of each step (samples, T), int64.

    Raises:
        DataError: if the file does not exist, or holds samples of another network.
    """
    inputs, labels = load_samples(path)
    width, classes = artifact.network.inputs, len(artifact.classes)
    takes_currents = artifact.device == "hls-ip"
    if (inputs.ndim == 2) != takes_currents or inputs.shape[-1] != width:
        kind = f"currents (samples, {width})" if takes_currents else f"spikes (T, samples, {width})"
        raise DataError(f"{path} holds inputs {inputs.shape}, expected {kind}; export samples of this artifact")
    if labels.min() < (NO_LABEL if labels.ndim == 2 else 0) or labels.max() >= classes:
        raise DataError(f"{path} has labels {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    for begin in range(0, len(labels), EVALUATION_BATCH):
        batch = slice(begin, begin + EVALUATION_BATCH)
        yield inputs[..., batch, :], labels[batch]


def training_inputs(artifact: Artifact[HardwareNetwork], dataset: Dataset, count: int) -> tuple[Inputs, Labels]:
    """At most ``count`` training samples as inputs of the artifact, and their classes (samples,)."""
    chosen = torch.zeros(len(dataset.train), dtype=torch.bool)
    chosen[torch.linspace(0, len(dataset.train) - 1, min(count, len(dataset.train))).long()] = True
    some = replace(dataset, test=dataset.train.subset(chosen))
    return joined(batches(artifact, some))


def few_at_once(batches: Iterator[tuple[Inputs, Labels]], most: int) -> Iterator[tuple[Inputs, Labels]]:
    """Batches of a few samples each, for devices on which each takes long."""
    for inputs, labels in batches:
        for k in range(0, len(labels), most):
            yield inputs[..., k : k + most, :], labels[k : k + most]


def joined(batches: Iterator[tuple[Inputs, Labels]]) -> tuple[Inputs, Labels]:
    """Batches as one."""
    inputs, labels = zip(*batches, strict=True)
    # Samples are the axis before the last: (T, B, inputs) of spikes, (B, inputs) of currents.
    return np.concatenate(inputs, axis=-2), np.concatenate(labels)


def sample(artifact: Artifact[HardwareNetwork], dataset: Dataset, number: int) -> Inputs:
    """One test sample as input of the artifact, a batch of one; SettingError if the number is out of range."""
    if not 0 <= number < len(dataset.test):
        raise SettingError(f"sample is {number}, expected 0 to {len(dataset.test) - 1}")
    *_, (inputs, _) = batches(artifact, dataset, number + 1)
    last: Inputs = inputs[..., -1:, :]
    return last


def checksum(dataset: Dataset) -> str:
    """SHA-256 of the labels and of the first 256 test samples, which distinguishes data sets."""
    values, _ = dataset.test.batch(torch.arange(min(256, len(dataset.test))))
    if isinstance(values, Tensor):
        tensors = [values]
    else:
        tensors = [values.times, values.units] if isinstance(values, EventBatch) else [values.values, values.offsets]
    digest = hashlib.sha256()
    for tensor in (dataset.test.labels, dataset.train.labels, *tensors):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
