"""A trained network for the FPGA IP, with all that is needed to use it, in one file.

The file is one of izhi.hardware.artifact.archive. Its manifest has ``format`` and ``version``, ``build``, ``sizes``
(inputs and neurons of each layer), ``classes``, ``encoding``, ``provenance``, and ``tests``: the ``count`` of test
vectors. Its entries, all but
the scores in float32: ``layers.K.weight`` (n_out, n_prev), ``layers.K.bias`` (n_out), ``test.inputs``
(count, n_in), and ``test.scores`` (count, n_out) in int64.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError, IzhiError, shown
from izhi.hardware.artifact import archive
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.fixed import Outcome
from izhi.hardware.ip.arithmetic import check_currents, run
from izhi.hardware.ip.network import LAYERS, STEPS, WIDTH, Floats, IPLayer, IPNetwork
from izhi.hardware.networks import Array, Inputs

NAME, VERSION = "izhi hls-ip artifact", 1
_MOST_TESTS = 1000


@dataclass(frozen=True)
class IPArtifact:
    """A network for the FPGA IP, and how to use it.

    Attributes:
        network: weights and biases in float32.
        classes: their names, in the order of the scores.
        encoding: how samples become currents: the settings that decide it.
        provenance: where it came from: settings, versions, checksum of the data.
        test_inputs: currents (tests, inputs) whose outcome is known.
        test_scores: their scores, (tests, classes).
    """

    network: IPNetwork
    classes: tuple[str, ...]
    encoding: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    test_inputs: Floats = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    test_scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    about: ClassVar[str] = "a float32 network for the FPGA IP (hls-ip)"
    numbers: ClassVar[str] = "float32 as on the FPGA IP"
    devices: ClassVar[tuple[str, ...]] = ("hls-ip",)
    device: ClassVar[str] = "hls-ip"

    @property
    def steps(self) -> int:
        """Of an inference: the IP's."""
        return STEPS

    def inputs_of(self, encoded: Array) -> Floats:
        """Currents (B, inputs) of encoded samples (T, B, inputs), which are the same in all steps."""
        return np.ascontiguousarray(encoded[0], np.float32)

    def run(self, inputs: Inputs) -> Outcome:
        """Run currents (B, inputs) by the arithmetic of the IP."""
        return run(self.network, inputs)

    def with_network(self, network: IPNetwork, **provenance: object) -> IPArtifact:
        """An artifact of another network, with its own scores; see ``Artifact``."""
        scores = run(network, self.test_inputs).scores
        whole = {**self.provenance, **provenance}
        return replace(self, network=network, test_scores=scores, provenance=whole)

    def self_test(self) -> None:
        """Run the test vectors; ArtifactError if a score differs."""
        if len(self.test_inputs):
            archive.compare(self.run(self.test_inputs).scores, self.test_scores)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all."""
        arrays: dict[str, Array] = {}
        for number, layer in enumerate(self.network.layers):
            arrays[f"layers.{number}.weight"] = layer.weight.astype("<f4")
            arrays[f"layers.{number}.bias"] = layer.bias.astype("<f4")
        self._check()
        count = len(self.test_inputs)
        inputs, scores = self.test_inputs, self.test_scores
        arrays["test.inputs"] = inputs.astype("<f4") if count else np.zeros((0, self.network.inputs), "<f4")
        arrays["test.scores"] = scores.astype("<i8") if count else np.zeros((0, self.network.outputs), "<i8")
        manifest = {
            "format": NAME,
            "version": VERSION,
            "build": self.network.build,
            "sizes": [self.network.inputs, *self.network.sizes],
            "classes": list(self.classes),
            "encoding": dict(self.encoding),
            "tests": {"count": count},
            "provenance": dict(self.provenance),
        }
        archive.write(path, manifest, arrays)

    def _check(self) -> None:
        """Raise ArtifactError where classes or test vectors are not the network's."""
        network, count = self.network, len(self.test_inputs)
        if not archive.are_names(self.classes, network.outputs):
            raise ArtifactError(f"the classes are {shown(self.classes)}, expected {network.outputs} names")
        expected = (count, network.inputs), (count, network.outputs)
        if count and (count > _MOST_TESTS or (self.test_inputs.shape, self.test_scores.shape) != expected):
            raise ArtifactError(
                f"test inputs and scores are of shapes {self.test_inputs.shape} and {self.test_scores.shape},"
                f" expected {expected[0]} and {expected[1]} of at most {_MOST_TESTS:,} tests"
            )


def read(file: ArtifactArchive) -> IPArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming what.
    """
    if file.format != NAME:
        raise file.problem(f"is no {NAME}")
    file.check(VERSION)
    manifest = file.manifest
    sizes = manifest.get("sizes")
    if not isinstance(sizes, list) or not 2 <= len(sizes) <= 1 + LAYERS:
        raise file.problem(f"has the sizes {shown(sizes)}, expected inputs and 1 to {LAYERS} layers")
    named = {str(k): size for k, size in enumerate(sizes)}
    widths = [file.number(named, name, 1, WIDTH, "sizes.") for name in named]
    layers = [
        IPLayer(
            file.array(f"layers.{k}.weight", np.float32, (outputs, inputs)),
            file.array(f"layers.{k}.bias", np.float32, (outputs,)),
        )
        for k, (inputs, outputs) in enumerate(pairwise(widths))
    ]
    count = file.number(file.table("tests"), "count", 0, _MOST_TESTS, "tests.")
    inputs = file.array("test.inputs", np.float32, (count, widths[0]))
    try:
        network = IPNetwork(tuple(layers), manifest.get("build"))  # type: ignore[arg-type]
        check_currents(inputs, widths[0])
    except IzhiError as error:
        raise ArtifactError(f"{file.path}: {error}") from None
    classes = file.classes(widths[-1])
    scores = file.array("test.scores", np.int64, (count, widths[-1]))
    tables = file.table("encoding"), file.table("provenance")
    return IPArtifact(network, classes, *tables, inputs, scores)


__all__ = ["NAME", "VERSION", "IPArtifact", "read"]
