"""Artifacts of the FPGA IP, of float runs or of the weights of earlier projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from izhi import data
from izhi.errors import SettingError
from izhi.experiments import export, samples, trained
from izhi.experiments.build import encoder as encoder_of
from izhi.experiments.run_folder import versions
from izhi.experiments.settings import Experiment, experiment
from izhi.hardware import ip as hls_ip
from izhi.hardware.artifact import IPArtifact
from izhi.hardware.ip import STEPS, IPNetwork
from izhi.hardware.ip.network import Floats
from izhi.network.connections import Linear
from izhi.network.network import Network as TrainedNetwork
from izhi.neurons.neuron import DYNAMICS
from izhi.seeds import Purpose, derive_seed
from izhi.spec import COEFFICIENTS, neuron_spec, preset
from izhi.training import checkpoint

#: Settings for which the IP has one value only.
_ONLY: Mapping[str, object] = {
    "encoding": "constant", "steps": STEPS, "readout": "spikes", "connection": "linear", "delays": 0,
    "order": "fpga-ip", "gain": 1.0, "learn": (), "per_neuron": False, "mixture": None,
    "weight_bits": None, "state_bits": None,
}  # fmt: skip


def artifact(path: Path, dataset: str | None = None, build: str | None = None, *, tests: int = 4) -> IPArtifact:
    """The artifact of a float run, or of the weights in a plain ``state_dict``.

    Args:
        path: run folder or checkpoint; or a file of torch.save with weights (n_out, n_prev) and biases
            (n_out,) in turn, whatever their names.
        dataset: data set of a state_dict; None if it is none of Izhi's.
        build: neuron of a state_dict, see ``IPNetwork.of``; None for the IP's own.
        tests: number of test samples that become test vectors.

    Raises:
        SettingError: if the run has a setting that the IP does not have, or the network is too large for it.
        CheckpointError: if the file is neither.
    """
    if path.is_file():
        content = checkpoint.read(path)
        if checkpoint.is_weights(content) and content:
            weights = {name: tensor for name, tensor in content.items() if not name.endswith(DYNAMICS)}
            return _of_weights(path, weights, dataset, build or "izhi", tests)
    for name, value in (("dataset", dataset), ("build", build)):
        if value is not None:
            raise SettingError(f"{name} is {value!r}, but a run has its own; leave it out, or give a state_dict")
    return of_run(trained.load(path, {"precision": "32-true"}, expect=partial(expect_ip, path)), tests=tests)


def of_run(run: trained.Trained, *, tests: int = 4) -> IPArtifact:
    """The artifact of a run in memory that meets ``expect_ip``."""
    e = run.experiment
    encoding = export.encoding_of(e)
    currents = export.test_vectors(run, tests)[0]
    return _with_scores(for_ip(run.network), run.dataset.classes, encoding, export.provenance(run), currents)


def for_ip(network: TrainedNetwork) -> IPNetwork:
    """Convert a float network of the IP's neurons and linear connections."""
    inputs = [cast(Linear, layer.connection).input for layer in network.spiking]
    return IPNetwork.of([_array(x.weight) for x in inputs], [_array(x.bias) for x in inputs])


def _array(x: Tensor) -> Floats:
    return x.detach().float().numpy()


def _with_scores(
    network: IPNetwork, classes: Sequence[str], encoding: Mapping[str, object], provenance: Mapping[str, object],
    currents: Floats,
) -> IPArtifact:  # fmt: skip
    scores = hls_ip.run(network, currents).scores
    return IPArtifact(network, tuple(classes), encoding, provenance, currents, scores)


def expect_ip(path: Path, e: Experiment) -> None:
    """Raise SettingError unless the IP runs an experiment's network."""
    ip, own = preset("hls-ip"), getattr(neuron_spec(e.neurons.neuron), "parameters", None)
    if own is None or any(getattr(own, x) != getattr(ip, x) for x in (*COEFFICIENTS, "v0", "u0", "dt", "reset")):
        raise SettingError(
            f"{path} has the neuron {e.neurons.neuron!r}, expected 'hls-ip', the FPGA IP's: train with --neuron hls-ip"
        )
    for name, value in _ONLY.items():
        if e.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            fix = f"train with {option} {value}" if value and value != () else f"train without {option}"
            raise SettingError(
                f"{path} has {name} {e.get(name)!r}, expected {value!r}, the only value of the FPGA IP: {fix}"
            )


def _of_weights(path: Path, content: Mapping[str, Tensor], name: str | None, build: str, tests: int) -> IPArtifact:
    names, tensors = list(content), list(content.values())
    for number, tensor in enumerate(tensors):
        rank = 1 if number % 2 else 2
        if tensor.dim() != rank or not tensor.is_floating_point() or len(tensors) % 2:
            raise SettingError(
                f"{path} has {names[number]!r} of shape {tuple(tensor.shape)} and {tensor.dtype} in place"
                f" {number + 1} of {len(tensors)}, expected float weights (n_out, n_prev) and biases"
                " (n_out,) in turn"
            )
    floats = [_array(tensor) for tensor in tensors]
    network = IPNetwork.of(floats[::2], floats[1::2], build)  # type: ignore[arg-type]
    provenance = {"weights": path.name, "versions": versions()}
    if name is None:
        currents = np.random.default_rng(0).random((tests, network.inputs), np.float32)
        classes = tuple(str(k) for k in range(network.outputs))
        settings = {"encoding": "constant", "steps": STEPS}
        return _with_scores(network, classes, settings, provenance, currents)
    dataset = data.load(name)
    fields, left = divmod(network.inputs, dataset.features)
    if left or fields in (0, 2) or len(dataset.classes) != network.outputs:
        raise SettingError(
            f"{path} has {network.inputs} inputs and {network.outputs} outputs, but {name} has"
            f" {dataset.features} values and {len(dataset.classes)} classes; leave --dataset out"
        )
    e = experiment({"dataset": name, "encoding": "constant", "steps": STEPS, "population": fields if fields > 1 else 0})
    encoding = export.encoding_of(e)
    provenance["data_sha256"] = samples.checksum(dataset)
    values, _ = dataset.test.batch(torch.arange(min(tests, len(dataset.test))))
    encoded = encoder_of(e, dataset)(values, derive_seed(e.training.seed, Purpose.VECTORS))
    currents = samples.dense(encoded)[0]
    return _with_scores(network, dataset.classes, encoding, provenance, currents)
