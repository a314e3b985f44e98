"""The artifact of a quantised run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data import Dataset
from izhi.errors import ArtifactError, SettingError
from izhi.experiments import build, samples, trained
from izhi.experiments.run_folder import accuracy_of, versions
from izhi.experiments.settings import Experiment, Mark, marked
from izhi.hardware import artifact as files, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.artifact.integers import in_whole_numbers, most_tests
from izhi.hardware.core import chosen
from izhi.network import Network
from izhi.seeds import Purpose, derive_seed

#: Settings of the encoding of samples as spikes.
ENCODING = marked(Mark.CODES)


def encoding_of(e: Experiment) -> dict[str, object]:
    """The settings of the encoding of samples; over_time, which older artifacts lack, only where it is given."""
    values = {name: e.get(name) for name in ENCODING}
    return {name: value for name, value in values.items() if name != "over_time" or value is not None}


def artifact(path: Path, *, tests: int = 4) -> IntegerArtifact:
    """The artifact of a run; SettingError if it is not quantised, or has a module that hardware does not have."""
    return of_run(trained.load(path, expect=partial(expect_integers, path)), tests=tests)


def of_run(run: trained.Trained, *, tests: int = 4) -> IntegerArtifact:
    """The artifact of a quantised run in memory."""
    e, dataset, network = run.experiment, run.dataset, run.network
    from izhi import quantization

    integers = quantization.in_integers(network, reads=build.reading(e, dataset))
    encoding = encoding_of(e)
    spikes = in_whole_numbers(test_vectors(run, min(tests, most_tests(integers, e.coding.steps))), encoding)
    scores = fixed.run(integers, spikes).scores
    return IntegerArtifact(integers, e.coding.steps, tuple(dataset.classes), encoding, provenance(run), spikes, scores)


def require_hardware(e: Experiment, dataset: Dataset, network: Network) -> None:
    """Raise SettingError unless a quantised network can be exported and a core runs it, without training it first."""
    expect_integers(Path("the network"), e)
    from izhi import quantization

    integers = quantization.in_integers(network.eval(), reads=build.reading(e, dataset))
    encoding, steps = encoding_of(e), e.coding.steps
    chosen.require_core(integers, largest_input=chosen.largest_input(e.flat()), steps=steps)
    spikes, scores = np.zeros((steps, 0, integers.inputs), np.uint8), np.zeros((0, len(dataset.classes)), np.int64)
    made = IntegerArtifact(integers, steps, tuple(dataset.classes), encoding, {}, spikes, scores)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.izhi"
        try:
            files.save(made, path)
            files.load(path)
        except ArtifactError as error:
            reason = str(error).removeprefix(f"{path} ").partition(";")[0]
            bits = f"weights of {e.quantization.weight_bits} bits and states of {e.quantization.state_bits}"
            raise SettingError(f"no artifact holds the network with {bits}: it {reason}; choose more bits") from None


def test_vectors(run: trained.Trained, count: int) -> NDArray[np.float32]:
    """The first test samples of a run, encoded: (T, count, inputs)."""
    values, _ = run.dataset.test.batch(torch.arange(min(count, len(run.dataset.test))))
    seed = derive_seed(run.experiment.training.seed, Purpose.VECTORS)
    return samples.dense(run.encoder(values, seed))


def provenance(run: trained.Trained) -> dict[str, object]:
    """The origin of an artifact: settings, versions, checksum of the data and accuracy of its run."""
    return {
        "config": run.experiment.flat(plain=True),
        "versions": versions(),
        "data_sha256": samples.checksum(run.dataset),
        "test_accuracy": accuracy_of(run.path, run.history),
        **({} if run.dataset.scale is None else {"scale": run.dataset.scale.table()}),
    }


def expect_integers(path: Path, e: Experiment) -> None:
    """Raise SettingError unless a run is quantised, and hardware reads its output as the run does."""
    if not e.quantization.is_whole:
        raise SettingError(f"{path} has float weights or states, expected both in integers; run izhi quantize first")
    if e.coding.lengths == "pad":
        raise SettingError(
            "lengths is 'pad', whose output after the end of a sample hardware would count; train with resample"
        )
