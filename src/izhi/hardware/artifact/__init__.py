"""Trained networks for hardware, each in one file that can be loaded from strangers; its manifest names its kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from izhi.errors import ArtifactError, shown
from izhi.hardware.artifact import integers, ip
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.artifact.artifact import Artifact
from izhi.hardware.artifact.integers import VERSION, IntegerArtifact, pack, unpack
from izhi.hardware.artifact.ip import IPArtifact
from izhi.hardware.networks import HardwareNetwork

#: Readers of each kind of file, by its format.
READERS: Mapping[str, Callable[[ArtifactArchive], Artifact[HardwareNetwork]]] = {
    integers.NAME: integers.read,
    ip.NAME: ip.read,
}


def save(artifact: Artifact[HardwareNetwork], path: str | os.PathLike[str]) -> None:
    """Write an artifact of any kind, whole or not at all.

    Raises:
        ArtifactError: if it is none, or its contents do not fit each other.
        FileError: if the file cannot be written.
    """
    if not isinstance(artifact, (IntegerArtifact, IPArtifact)):
        raise ArtifactError(f"cannot save {shown(artifact)}, expected an artifact; export a run to make one")
    artifact.save(path)


def load(path: str | os.PathLike[str], *, test: bool = True) -> Artifact[HardwareNetwork]:
    """Read an artifact of any kind, check everything in it, and run its test vectors.

    Raises:
        ArtifactError: for anything wrong with it, naming it.
    """
    file = ArtifactArchive(path)
    artifact = READERS.get(file.format, integers.read)(file)
    if test:
        with file.named_in_errors():
            artifact.self_test()
    return artifact


def load_integers(path: str | os.PathLike[str]) -> IntegerArtifact:
    """Read an artifact of a network in integers.

    Raises:
        ArtifactError: if it is of another kind, or anything is wrong with it.
    """
    artifact = load(path)
    if not isinstance(artifact, IntegerArtifact):
        raise ArtifactError(
            f"{path} is {artifact.about}, expected {IntegerArtifact.about}; export a quantised run without --target"
        )
    return artifact


__all__ = ["VERSION", "Artifact", "IPArtifact", "IntegerArtifact", "load", "load_integers", "pack", "save", "unpack"]
