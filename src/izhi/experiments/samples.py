"""Samples of a data set as an artifact takes them: coded by the same seeds as in the run it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import Dataset, EventBatch, stream
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
    """The settings by which samples become spikes.

    Raises:
        ArtifactError: if they are none that this izhi knows.
    """
    try:
        return experiment(artifact.encoding)
    except (IzhiError, TypeError) as error:
        raise ArtifactError(f"the artifact's encoding cannot be used: {error}") from None


def dataset_of(artifact: Artifact[HardwareNetwork], report: Callable[[str], None] = lambda line: None) -> Dataset:
    """The data set that an artifact was made for; ArtifactError if it names none."""
    if "dataset" not in artifact.encoding:
        raise ArtifactError("the artifact names no data set, expected one; add --dataset")
    return build.dataset(settings_of(artifact).data, report)


def dense(spikes: Spikes) -> NDArray[np.float32]:
    """Encoded samples (T, B, inputs) as an array."""
    whole = spikes if isinstance(spikes, Tensor) else spikes.dense()
    found: NDArray[np.float32] = whole.float().numpy()
    return found


def batches(
    artifact: Artifact[HardwareNetwork], dataset: Dataset, samples: int | None = None
) -> Iterator[tuple[Inputs, Labels]]:
    """The test samples in their order, as the artifact takes them, and their classes.

    Args:
        artifact: whose network runs them.
        dataset: of the same inputs and classes.
        samples: how many at most; None for all.

    Raises:
        ArtifactError: if the data set is not the artifact's.
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
    # Whole batches are coded, so that a sample's spikes do not depend on how many are wanted.
    parts = torch.split(torch.arange(len(dataset.test)), EVALUATION_BATCH)
    parts = parts[: -(-count // EVALUATION_BATCH)]
    for step, (values, labels) in enumerate(stream(dataset.test, parts)):
        seed = derive_seed(e.training.seed, Purpose.TEST, step, 0)
        wanted = min(len(labels), count - step * EVALUATION_BATCH)
        encoded = dense(encoder(values, seed))[:, :wanted]
        yield artifact.inputs_of(encoded), labels[:wanted].numpy()


def of_file(artifact: Artifact[HardwareNetwork], path: Path) -> Iterator[tuple[Inputs, Labels]]:
    """Encoded samples and their classes from a file of ``izhi export --samples``, or one of its form.

    Args:
        artifact: whose network runs them.
        path: of the file (.npz): ``spikes`` (T, samples, inputs), uint8, or for the FPGA IP ``currents``
            (samples, inputs), float32; ``labels`` (samples,), int64.

    Raises:
        DataError: if there is no such file, or what it holds is not for the artifact's network.
    """
    inputs, labels = load_samples(path)
    width, classes = artifact.network.inputs, len(artifact.classes)
    takes_currents = artifact.device == "hls-ip"
    if (inputs.ndim == 2) != takes_currents or inputs.shape[-1] != width:
        kind = f"currents (samples, {width})" if takes_currents else f"spikes (T, samples, {width})"
        raise DataError(f"{path} holds inputs {inputs.shape}, expected {kind}; export samples of this artifact")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{path} has labels {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    for begin in range(0, len(labels), EVALUATION_BATCH):
        part = slice(begin, begin + EVALUATION_BATCH)
        yield inputs[..., part, :], labels[part]


def training_inputs(artifact: Artifact[HardwareNetwork], dataset: Dataset, count: int) -> tuple[Inputs, Labels]:
    """Training samples as the artifact takes them, at most so many, and their classes (samples,)."""
    chosen = torch.zeros(len(dataset.train), dtype=torch.bool)
    chosen[torch.linspace(0, len(dataset.train) - 1, min(count, len(dataset.train))).long()] = True
    some = replace(dataset, test=dataset.train.subset(chosen))
    return joined(batches(artifact, some))


def joined(parts: Iterator[tuple[Inputs, Labels]]) -> tuple[Inputs, Labels]:
    """Batches as one."""
    inputs, labels = zip(*parts, strict=True)
    # Samples are the last axis but one: (T, B, inputs) of spikes, (B, inputs) of currents.
    return np.concatenate(inputs, axis=-2), np.concatenate(labels)


def sample(artifact: Artifact[HardwareNetwork], dataset: Dataset, number: int) -> Inputs:
    """One test sample as the artifact takes it, a batch of one.

    Raises:
        SettingError: if there is no such sample.
    """
    if not 0 <= number < len(dataset.test):
        raise SettingError(f"sample is {number}, expected 0 to {len(dataset.test) - 1}")
    *_, (inputs, _) = batches(artifact, dataset, number + 1)
    last: Inputs = inputs[..., -1:, :]
    return last


def checksum(dataset: Dataset) -> str:
    """SHA-256 over the labels and a share of the samples, which tells data sets apart."""
    found = hashlib.sha256(dataset.test.labels.numpy().tobytes())
    found.update(dataset.train.labels.numpy().tobytes())
    values, _ = dataset.test.batch(torch.arange(min(256, len(dataset.test))))
    if isinstance(values, Tensor):
        parts = [values]
    else:
        parts = [values.times, values.units] if isinstance(values, EventBatch) else [values.values, values.offsets]
    for part in parts:
        found.update(part.numpy().tobytes())
    return found.hexdigest()
