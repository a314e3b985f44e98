"""What every artifact can do, whichever hardware its network is for."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError, shown
from izhi.hardware.artifact import archive
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Array, HardwareNetwork, Inputs

N = TypeVar("N", bound=HardwareNetwork, covariant=True)
_A = TypeVar("_A", bound="Artifact[Any]")


@dataclass(frozen=True)
class Artifact(ABC, Generic[N]):
    """A trained network for hardware, and how to use it.

    Attributes:
        about: what it is, for messages.
        numbers: the numbers that its network computes with, for messages.
        devices: that run it, by the names by which ``izhi.board.open`` opens them.
        device: the default device.
        execute: the fastest implementation on this machine: outcome of a network and inputs.
        specification: the implementation that defines the outcome.
        network: the network that devices run.
        steps: T of an inference.
        classes: their names, in the order of the scores.
        encoding: settings that decide how samples become inputs.
        provenance: origin: settings, seed, versions, checksum of the data.
        test_inputs, test_scores: inputs whose outcome is known, and their scores (tests, classes), or of each step
            (tests, T, classes).
    """

    about: ClassVar[str]
    numbers: ClassVar[str]
    devices: ClassVar[tuple[str, ...]]
    device: ClassVar[str]
    execute: ClassVar[Callable[..., Outcome]]
    specification: ClassVar[Callable[..., Outcome]]

    network: N
    steps: int
    classes: tuple[str, ...]
    encoding: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    test_inputs: Any = None
    test_scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @abstractmethod
    def inputs_of(self, encoded: Array) -> Inputs:
        """Inputs of the network for encoded samples (T, B, inputs)."""

    @abstractmethod
    def _manifest(self, arrays: dict[str, Array]) -> dict[str, object]:
        """The manifest of the file, whose arrays are added; ArtifactError if something does not fit."""

    def run(self, inputs: Inputs) -> Outcome:
        """Scores and spikes of every layer as this machine computes them: those that a device must give."""
        return type(self).execute(self.network, inputs)

    def with_network(self: _A, network: Any, **provenance: object) -> _A:
        """An artifact of another network of the same structure, with the scores that it gives to the test vectors.

        Args:
            network: in place of the artifact's own.
            provenance: entries to add.
        """
        scores = type(self).execute(network, self.test_inputs).scores
        return replace(self, network=network, test_scores=scores, provenance={**self.provenance, **provenance})

    def self_test(self) -> None:
        """Run the test vectors by the specification; ArtifactError if a score differs."""
        if not len(self.test_scores):
            return
        scores, expected = type(self).specification(self.network, self.test_inputs).scores, self.test_scores
        if not np.array_equal(scores, expected):
            bad = int(np.flatnonzero((scores != expected).any(1))[0])
            raise ArtifactError(
                f"test vector {bad} gives the scores {scores[bad].tolist()}, expected {expected[bad].tolist()}; the"
                " artifact is inconsistent: export it again"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it into a file, whole or not at all; ArtifactError if its contents do not fit each other."""
        if not archive.are_names(self.classes, self.network.outputs):
            raise ArtifactError(f"the classes are {shown(self.classes)}, expected {self.network.outputs} names")
        arrays: dict[str, Array] = {}
        manifest = self._manifest(arrays)
        archive.write(path, manifest, arrays)
