"""What every artifact can do, whichever hardware its network is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Array, HardwareNetwork, Inputs

N = TypeVar("N", bound=HardwareNetwork, covariant=True)
_A = TypeVar("_A", bound="Artifact[Any]")


class Artifact(Protocol[N]):
    """A trained network for hardware, and how to use it.

    Attributes:
        about: what it is, for people.
        numbers: what its network computes in, for people.
        devices: that run it, by the names by which ``izhi.board.open`` opens them.
        device: that runs it where no other is wanted.
        network: what they run.
        steps: T of an inference.
        classes: their names, in the order of the scores.
        encoding: how samples become inputs: the settings that decide it.
        provenance: where it came from: settings, seed, versions, checksum of the data.
        test_inputs, test_scores: inputs whose outcome is known, and their scores (tests, classes).
    """

    about: ClassVar[str]
    numbers: ClassVar[str]
    devices: ClassVar[tuple[str, ...]]
    device: ClassVar[str]

    @property
    def network(self) -> N: ...

    @property
    def steps(self) -> int: ...

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def encoding(self) -> Mapping[str, object]: ...

    @property
    def provenance(self) -> Mapping[str, object]: ...

    @property
    def test_inputs(self) -> Inputs: ...

    @property
    def test_scores(self) -> NDArray[np.int64]: ...

    def inputs_of(self, encoded: Array) -> Inputs:
        """What the network takes of encoded samples (T, B, inputs)."""

    def run(self, inputs: Inputs) -> Outcome:
        """Scores and spikes of every layer as this machine computes them: what a device must give."""

    def with_network(self: _A, network: Any, **provenance: object) -> _A:
        """An artifact of another network of the same structure, with the scores that it gives to the test vectors.

        Args:
            network: in place of the artifact's own.
            provenance: what is said of it as well.
        """

    def self_test(self) -> None:
        """Run the test vectors; ArtifactError if a score differs."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it into a file, whole or not at all."""


__all__ = ["Artifact"]
