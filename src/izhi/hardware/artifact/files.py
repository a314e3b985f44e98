"""Artifacts in files; the manifest of a file names its kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from izhi.errors import ArtifactError, shown
from izhi.hardware.artifact import integer_reader, integers, ip
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.artifact.artifact import Artifact
from izhi.hardware.artifact.integers import IntegerArtifact
from izhi.hardware.artifact.ip import IPArtifact
from izhi.hardware.networks import HardwareNetwork

#: Readers of each kind of file, by its format.
READERS: Mapping[str, Callable[[ArtifactArchive], Artifact[HardwareNetwork]]] = {
    integers.NAME: integer_reader.read,
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
    artifact = READERS.get(file.format, integer_reader.read)(file)
    if test:
        _test(path, artifact)
    return artifact


def load_integers(path: str | os.PathLike[str]) -> IntegerArtifact:
    """Read an artifact of a network in integers.

    Raises:
        ArtifactError: if it is of another kind, or anything is wrong with it.
    """
    file = ArtifactArchive(path)
    if file.format in READERS and file.format != integers.NAME:
        raise ArtifactError(
            f"{path} is {load(path).about}, expected {IntegerArtifact.about}; export a quantised run without --target"
        )
    artifact = integer_reader.read(file)
    _test(path, artifact)
    return artifact


def _test(path: str | os.PathLike[str], artifact: Artifact[HardwareNetwork]) -> None:
    try:
        artifact.self_test()
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None
