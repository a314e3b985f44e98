"""A network of the zoo in memory, and its weights in one file, whose metadata describes the network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from izhi import files
from izhi.data.samples import Scale
from izhi.errors import CheckpointError, as_data_error
from izhi.experiments import run_folder, trained
from izhi.hardware.artifact import IntegerArtifact, load_integers
from izhi.hardware.devices import load_samples
from izhi.hardware.devices.evaluation import Labels
from izhi.hardware.networks import Inputs
from izhi.network import Network
from izhi.network.encoders import Encoder, build_encoder
from izhi.training import LOSSES, Classifier
from izhi.zoo.catalogue import INTEGERS, NIR, SAMPLES, WEIGHTS, Card, card

#: The metadata of a file of weights that describes the network.
_KEY = "izhi"
#: Larger than any file of weights of the zoo.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True)
class Pretrained:
    """A trained network.

    Attributes:
        card: what is known of it.
        saved: the run that it is from, with its settings and weights.
        scale: from raw values of a time series to those that the encoder takes; None for other samples.
    """

    card: Card
    saved: run_folder.Saved
    scale: Scale | None = None

    @cached_property
    def network(self) -> Network:
        """The float network in PyTorch, with its trained weights, for evaluation or further training."""
        return trained.network_of(self.saved, self.saved.shape, len(self.classes))

    @cached_property
    def encoder(self) -> Encoder:
        """From samples to the network's inputs."""
        assert self.saved.encoder is not None
        return build_encoder(self.saved.encoder)

    @property
    def classifier(self) -> Classifier:
        """Encoder and network as one module: samples and a seed to the output (T, B, classes) and all spikes."""
        return Classifier(self.encoder, self.network, LOSSES[self.saved.experiment.training.loss]).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names, in the order of the scores."""
        return self.saved.classes

    @cached_property
    def artifact(self) -> IntegerArtifact:
        """The network in integers, for ``izhi.board.open``."""
        return load_integers(self.card.path(INTEGERS))

    @property
    def nir(self) -> Path:
        """The float network as a file of NIR."""
        return self.card.path(NIR)

    def samples(self) -> tuple[Inputs, Labels]:
        """A few test samples as the artifact's inputs (T, B, inputs), and their labels (B,), or (B, T) of each step."""
        return load_samples(self.card.path(SAMPLES))


def load(name: str) -> Pretrained:
    """A network of the zoo.

    Raises:
        SettingError: for an unknown name.
        ArtifactError: if a file is not as the card says.
    """
    known = card(name)
    return Pretrained(known, *read_weights(known.path(WEIGHTS)))


def write_weights(path: Path, saved: Mapping[str, Any]) -> None:
    """Write the weights of a checkpoint's content, and as metadata what else describes its network."""
    from safetensors.torch import save

    described = {name: value for name, value in saved.items() if name in ("config", "inputs", "shape", "classes",
                                                                          "network", "encoder", "scale")}  # fmt: skip
    weights: dict[str, Tensor] = {name: x.contiguous() for name, x in saved["model"].items()}
    files.write_bytes(path, save(weights, metadata={_KEY: json.dumps(described)}))


def read_weights(path: Path) -> tuple[run_folder.Saved, Scale | None]:
    """What ``write_weights`` wrote: a run, and the scale of its samples.

    Raises:
        CheckpointError: if the file describes no network.
        DataError: if it is damaged.
    """
    from safetensors import safe_open

    if path.stat().st_size > _MOST_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, expected at most {_MOST_BYTES:,}")
    with as_data_error(f"{path} is damaged"), safe_open(path, framework="pt") as file:
        described = json.loads((file.metadata() or {}).get(_KEY, "{}"))
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if not isinstance(described, dict):
        raise CheckpointError(f"{path} describes no network, expected a table of its settings; use an intact copy")
    progress: dict[str, object] = {"model": weights, "optimizer": None, "epoch": 0, "history": [], "warnings": []}
    saved, scale = run_folder.saved_of(path, {**described, **progress}), described.get("scale")
    return saved, None if scale is None else Scale(tuple(scale["low"]), tuple(scale["high"]))
