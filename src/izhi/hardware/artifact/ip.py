"""A trained network for the FPGA IP, with all data that its use needs, in one file.

The file is one of izhi.hardware.artifact.archive. Its manifest has ``format`` and ``version``, ``build``, ``sizes``
(inputs and neurons of each layer), ``classes``, ``encoding``, ``provenance``, and ``tests``: the ``count`` of test
vectors. Its entries, all but the scores in float32: ``layers.K.weight`` (n_out, n_prev), ``layers.K.bias`` (n_out),
``test.inputs`` (count, n_in), and ``test.scores`` (count, n_out) in int64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np

from izhi.errors import ArtifactError, shown
from izhi.hardware.artifact.archive import ArtifactArchive, ManifestTable
from izhi.hardware.artifact.artifact import Artifact
from izhi.hardware.ip.arithmetic import check_currents, run
from izhi.hardware.ip.network import LAYERS, STEPS, WIDTH, Floats, IPLayer, IPNetwork
from izhi.hardware.networks import Array

NAME, VERSION = "izhi hls-ip artifact", 1
_MOST_TESTS = 1000


@dataclass(frozen=True)
class IPArtifact(Artifact[IPNetwork]):
    """A network for the FPGA IP, and how to use it.

    Attributes:
        test_inputs: currents (tests, inputs) whose outcome is known; the others are those of ``Artifact``.
        steps: of an inference, those of the IP.
    """

    test_inputs: Floats = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    steps: int = field(default=STEPS, init=False, repr=False)

    about: ClassVar[str] = "a float32 network for the FPGA IP (hls-ip)"
    numbers: ClassVar[str] = "float32 as on the FPGA IP"
    devices: ClassVar[tuple[str, ...]] = ("hls-ip",)
    device: ClassVar[str] = "hls-ip"
    execute = specification = staticmethod(run)

    def inputs_of(self, encoded: Array) -> Floats:
        """Currents (B, inputs) of encoded samples (T, B, inputs), which are the same in all steps."""
        return np.ascontiguousarray(encoded[0], np.float32)

    def _manifest(self, arrays: dict[str, Array]) -> dict[str, object]:
        for number, layer in enumerate(self.network.layers):
            arrays[f"layers.{number}.weight"] = layer.weight.astype("<f4")
            arrays[f"layers.{number}.bias"] = layer.bias.astype("<f4")
        inputs, scores, count = self.test_inputs, self.test_scores, len(self.test_inputs)
        expected = (count, self.network.inputs), (count, self.network.outputs)
        if count and (count > _MOST_TESTS or (inputs.shape, scores.shape) != expected):
            raise ArtifactError(
                f"test inputs and scores are of shapes {inputs.shape} and {scores.shape}, expected {expected[0]} and"
                f" {expected[1]} of at most {_MOST_TESTS:,} tests"
            )
        arrays["test.inputs"] = inputs.astype("<f4") if count else np.zeros(expected[0], "<f4")
        arrays["test.scores"] = scores.astype("<i8") if count else np.zeros(expected[1], "<i8")
        return {
            "format": NAME,
            "version": VERSION,
            "build": self.network.build,
            "sizes": [self.network.inputs, *self.network.sizes],
            "classes": list(self.classes),
            "encoding": dict(self.encoding),
            "tests": {"count": count},
            "provenance": dict(self.provenance),
        }


def read(file: ArtifactArchive) -> IPArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming what.
    """
    file.check(NAME, VERSION)
    manifest = file.manifest
    sizes = manifest.get("sizes")
    if not isinstance(sizes, list) or not 2 <= len(sizes) <= 1 + LAYERS:
        raise file.problem(f"has the sizes {shown(sizes)}, expected inputs and 1 to {LAYERS} layers")
    named = ManifestTable(file, {str(k): size for k, size in enumerate(sizes)}, "sizes.")
    widths = [named.number(name, 1, WIDTH) for name in named.values]
    layers = [
        IPLayer(
            file.array(f"layers.{k}.weight", np.float32, (outputs, inputs)),
            file.array(f"layers.{k}.bias", np.float32, (outputs,)),
        )
        for k, (inputs, outputs) in enumerate(pairwise(widths))
    ]
    count = ManifestTable(file, file.table("tests"), "tests.").number("count", 0, _MOST_TESTS)
    inputs = file.array("test.inputs", np.float32, (count, widths[0]))
    with file.named_in_errors():
        network = IPNetwork(tuple(layers), manifest.get("build"))  # type: ignore[arg-type]
        check_currents(inputs, widths[0])
    classes = file.classes(widths[-1])
    scores = file.array("test.scores", np.int64, (count, widths[-1]))
    return IPArtifact(network, classes, file.table("encoding"), file.table("provenance"), inputs, scores)
