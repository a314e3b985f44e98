"""Trained networks for hardware, each in one file that can be loaded from strangers."""

from izhi.hardware.artifact.integers import (
    AnyArtifact,
    Artifact,
    load,
    load_integers,
    pack,
    save,
    unpack,
)
from izhi.hardware.artifact.ip import IPArtifact

__all__ = [
    "AnyArtifact",
    "Artifact",
    "IPArtifact",
    "load",
    "load_integers",
    "pack",
    "save",
    "unpack",
]
