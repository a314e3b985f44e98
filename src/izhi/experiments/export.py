"""From a quantised run to its artifact."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from izhi.data import Dataset
from izhi.errors import SettingError
from izhi.experiments import trained
from izhi.experiments.settings import Experiment
from izhi.hardware import fixed
from izhi.hardware.artifact import Artifact, IntegerArtifact
from izhi.hardware.networks import Inputs
from izhi.kernels import Spikes
from izhi.seeds import Purpose, derive_seed
from izhi.training import Classifier, versions

#: Settings that decide how samples become spikes.
ENCODING = ("dataset", "fold", "best_inputs", "encoding", "population", "steps", "window", "pool",
            "counts", "normalize_time", "seed")  # fmt: skip


def artifact(path: Path, *, tests: int = 4) -> IntegerArtifact:
    """The artifact of a run whose weights and states are quantised.

    Args:
        path: run folder or checkpoint.
        tests: how many test samples become test vectors.

    Raises:
        SettingError: if the run is not quantised, or has what hardware does not have.
    """
    return of_run(trained.load(path, expect=partial(expect_integers, path)), tests=tests)


def of_run(run: trained.Trained, *, tests: int = 4) -> IntegerArtifact:
    """The same of a run that is loaded, and quantised."""
    e, dataset, network = run.experiment, run.dataset, run.network
    from izhi import quantization

    whole = quantization.in_integers(network)
    values, _ = dataset.test.batch(torch.arange(min(tests, len(dataset.test))))
    spikes = as_integers(
        Classifier(e, network, dataset.shape)
        .eval()
        .encode(values, derive_seed(e.seed, Purpose.VECTORS))
    )
    scores = fixed.run(whole, spikes).scores
    encoding = {name: getattr(e, name) for name in ENCODING}
    return IntegerArtifact(
        whole, e.steps, tuple(dataset.classes), encoding, provenance(run), spikes, scores
    )


def provenance(run: trained.Trained) -> dict[str, Any]:
    """Where an artifact of a run comes from."""
    return {
        "config": run.experiment.model_dump(mode="json"),
        "versions": versions(),
        "data_sha256": checksum(run.dataset),
        "test_accuracy": run.history[-1]["test_accuracy"],
    }


def expect_integers(path: Path, e: Experiment) -> None:
    if e.weight_bits is None or e.state_bits is None:
        raise SettingError(
            f"{path} has float weights or states, expected both in integers; run izhi quantize first"
        )
    if e.encoding in ("rows", "constant"):
        raise SettingError(
            f"encoding is {e.encoding!r}, which gives currents; hardware takes spikes: train with rate or latency"
        )


def as_integers(spikes: Spikes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Encoded samples as the integer model takes them: how often each input fires."""
    dense = spikes if isinstance(spikes, torch.Tensor) else spikes.dense()
    return dense.float().numpy().astype(np.uint8)


def as_inputs(artifact: Artifact[Any], arriving: Spikes) -> Inputs:
    """Encoded samples as an artifact takes them: spikes in integers, or the currents of the FPGA IP."""
    dense = arriving if isinstance(arriving, torch.Tensor) else arriving.dense()
    return artifact.inputs_of(dense.float().numpy())


def checksum(dataset: Dataset) -> str:
    """SHA-256 over the labels and a share of the samples, which tells data sets apart."""
    found = hashlib.sha256(dataset.test.labels.numpy().tobytes())
    found.update(dataset.train.labels.numpy().tobytes())
    values, _ = dataset.test.batch(torch.arange(min(256, len(dataset.test))))
    parts = [values] if isinstance(values, torch.Tensor) else [values.times, values.units]
    for part in parts:
        found.update(part.numpy().tobytes())
    return found.hexdigest()
