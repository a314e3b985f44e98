"""Trained networks for hardware, each in one file that can be loaded from strangers."""

from izhi.hardware.artifact.artifact import Artifact
from izhi.hardware.artifact.files import load, load_integers, save
from izhi.hardware.artifact.integers import VERSION, IntegerArtifact, pack, unpack
from izhi.hardware.artifact.ip import IPArtifact

__all__ = ["VERSION", "Artifact", "IPArtifact", "IntegerArtifact", "load", "load_integers", "pack", "save", "unpack"]
