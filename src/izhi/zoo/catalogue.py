"""The card of a network: what it was trained for, how well it does it, at what cost, and its limits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from izhi import files
from izhi.errors import ArtifactError, unknown

#: Where the networks are, a folder of each.
FOLDER = Path(__file__).parent / "networks"
#: Files of a network beside its card: weights of the float network, integers, the float network in NIR and spikes that
#: another library must give, encoded test samples.
WEIGHTS, INTEGERS, NIR = "weights.safetensors", "network.izhi", "network.nir"
GOLDEN, SAMPLES = "network-golden.nir", "samples.npz"
FILE = "card.json"
_Share = Annotated[float, Field(ge=0, le=1)]


class Card(BaseModel):
    """A network of the zoo.

    Attributes:
        about: what it does, and its neurons.
        dataset: whose test samples it was tested by.
        licence: of the data.
        limits: what it does not do.
        command: that trained it.
        seeds: of equal trainings; the network is that of the first one.
        accuracies: test accuracies of the float networks of these seeds, of steps if each has a label.
        integer_accuracy: test accuracy of the network in integers.
        weight_bits, state_bits: of the integers.
        layers: neurons of each layer.
        parameters: numbers of the float network that were learned.
        spikes: of all layers for a test sample, by the integers.
        nanojoules: estimates for a sample in integers, of the network and of a dense one of its shape, by technology.
        cycles: clock cycles of the core for a sample.
        steps: T.
        versions: of the packages, and the machine.
        files: SHA-256 of each file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    about: str
    dataset: str
    licence: str
    limits: str
    command: str
    seeds: tuple[int, ...]
    accuracies: tuple[_Share, ...]
    integer_accuracy: _Share
    weight_bits: int
    state_bits: int
    layers: tuple[int, ...]
    parameters: int
    spikes: float
    nanojoules: Mapping[str, tuple[float, float]]
    cycles: int | None
    steps: int
    versions: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return FOLDER / self.name

    def path(self, file: str) -> Path:
        """The path of one of its files; ArtifactError if it is missing or of another content."""
        path = self.folder / file
        with files.reading(path):
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none"
        if found != self.files.get(file):
            raise ArtifactError(
                f"{path} has SHA-256 {found[:12]}…, expected {self.files.get(file, 'none')[:12]}…; install Izhi again"
            )
        return path


def names() -> list[str]:
    """The names of all networks."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{FILE}"))


def card(name: str) -> Card:
    """The card of a network; SettingError for an unknown name."""
    if name not in names():
        raise unknown("network of the zoo", name, names())
    path = FOLDER / name / FILE
    with files.reading(path):
        text = path.read_text(encoding="utf-8")
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactError(f"{path} is no card: {error.errors()[0]['msg']}; install Izhi again") from None


def cards() -> list[Card]:
    """The cards of all networks, by name."""
    return [card(name) for name in names()]
