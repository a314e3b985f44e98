"""The artifact: a trained network in integers, with all that hardware needs, in one file.

What the file holds is in docs/artifact.md, how it is kept in izhi.archive: it can be loaded from strangers.
``load`` reads the artifacts of the FPGA IP (izhi.hls_ip) as well, and says by their class which kind a file is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError
from izhi.hardware.artifact import archive
from izhi.hardware.artifact import ip as hls_ip
from izhi.hardware.artifact.archive import Archive
from izhi.hardware.artifact.ip import IPArtifact
from izhi.hardware.fixed import (
    FixedPoint,
    IzhikevichNeuron,
    Layer,
    LIFNeuron,
    Network,
    Readout,
    run,
)

VERSION = 1
_NAME = "izhi artifact"
#: No network for hardware comes near these; a file that claims more is refused.
_MOST_NEURONS, _MOST_LAYERS = 1 << 16, 64
_INTEGERS = 1 << 31

#: Constants of each kind of neuron, (N,) each.
_CONSTANTS = {
    "izhikevich": (
        "a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold", "v0", "u0",
    ),
    "lif": ("beta", "bias", "threshold"),
}  # fmt: skip


@dataclass(frozen=True)
class Artifact:
    """A network in integers, and how to use it.

    Attributes:
        network: the integer model.
        steps: T of an inference.
        classes: their names, in the order of the scores.
        encoding: how samples become spikes: the settings that decide it.
        provenance: where it came from: settings, seed, versions, checksum of the data.
        test_inputs: inputs (T, tests, inputs) whose outcome is known.
        test_scores: their scores, (tests, classes).
    """

    #: What it is, for people.
    about: ClassVar[str] = "a network in integers for Izhi's own core"

    network: Network
    steps: int
    classes: tuple[str, ...]
    encoding: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    test_inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 0, 1), np.uint8))
    test_scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def self_test(self) -> None:
        """Run the test vectors; ArtifactError if a score differs."""
        if self.test_inputs.shape[1] == 0:
            return
        archive.compare(run(self.network, self.test_inputs).scores, self.test_scores)


#: Of either kind.
AnyArtifact = Artifact | IPArtifact


def pack(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Integers (rows, columns) in two's complement of some bits, each row padded to whole bytes.

    The lowest bit of the first integer is the lowest bit of a row's first byte.
    """
    unsigned = np.asarray(values, np.int64) & ((1 << bits) - 1)
    each = (unsigned[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(each.reshape(len(unsigned), -1).astype(np.uint8), axis=1, bitorder="little")


def unpack(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.int64]:
    """The integers (rows, columns) that ``pack`` made."""
    flat = np.unpackbits(packed, axis=1, bitorder="little", count=columns * bits)
    each = flat.reshape(len(packed), columns, bits).astype(np.int64)
    weights = 1 << np.arange(bits)
    weights[-1] = -weights[-1]
    values: NDArray[np.int64] = each @ weights
    return values


def save(artifact: AnyArtifact, path: str | os.PathLike[str]) -> None:
    """Write an artifact of either kind, whole or not at all."""
    if isinstance(artifact, IPArtifact):
        hls_ip.save(artifact, path)
        return
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for number, layer in enumerate(artifact.network.layers):
        layers.append(_describe(layer, f"layers.{number}", arrays))
    readout = artifact.network.readout
    described = None
    if readout is not None:
        arrays["readout.weight"] = pack(readout.weight, readout.weight_bits)
        arrays["readout.multiplier"] = _narrow(readout.multiplier)
        arrays["readout.bias"] = readout.bias.astype(np.int64)
        described = {
            "inputs": readout.weight.shape[1],
            "outputs": readout.weight.shape[0],
            "weight_bits": readout.weight_bits,
        }
    inputs = artifact.test_inputs
    bits = 1 if inputs.max(initial=0) <= 1 else 8
    arrays["test.inputs"] = pack(inputs.reshape(-1, inputs.shape[2]), bits)
    arrays["test.scores"] = artifact.test_scores.astype(np.int64)
    manifest = {
        "format": _NAME,
        "version": VERSION,
        "steps": artifact.steps,
        "classes": list(artifact.classes),
        "encoding": dict(artifact.encoding),
        "layers": layers,
        "readout": described,
        "tests": {"count": inputs.shape[1], "bits": bits},
        "provenance": dict(artifact.provenance),
    }
    archive.write(path, manifest, arrays)


def _narrow(values: NDArray[np.int64]) -> NDArray[Any]:
    """The values in the smallest type that holds them, one value where all are equal."""
    values = values[:1] if len(values) and (values == values[0]).all() else values
    return values.astype(np.int16 if (np.abs(values) < 1 << 15).all() else np.int32)


def _describe(layer: Layer, place: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    neuron = layer.neuron
    kind = "izhikevich" if isinstance(neuron, IzhikevichNeuron) else "lif"
    arrays[f"{place}.weight"] = pack(layer.weight, layer.weight_bits)
    if layer.feedback is not None:
        arrays[f"{place}.feedback"] = pack(layer.feedback, layer.weight_bits)
    arrays[f"{place}.multiplier"] = _narrow(layer.multiplier)
    for name in _CONSTANTS[kind]:
        arrays[f"{place}.{name}"] = _narrow(getattr(neuron, name))
    formats = {"current": layer.current_format, "v": neuron.v_format}
    if isinstance(neuron, IzhikevichNeuron):
        formats["u"] = neuron.u_format
    return {
        "neuron": kind,
        "inputs": layer.weight.shape[1],
        "outputs": layer.outputs,
        "recurrent": layer.feedback is not None,
        "weight_bits": layer.weight_bits,
        "shift": layer.shift,
        "fraction": neuron.fraction,
        "formats": {name: [f.width, f.fraction] for name, f in formats.items()},
    }


def load(path: str | os.PathLike[str], *, test: bool = True) -> AnyArtifact:
    """Read an artifact of either kind, check everything in it, and run its test vectors.

    Raises:
        ArtifactError: for anything wrong with it, naming what.
    """
    file = Archive(path)
    if file.format == hls_ip.NAME:
        found: AnyArtifact = hls_ip.read(file)
    elif file.format == _NAME:
        file.check(VERSION)
        found = _Reader(file).artifact()
    else:
        raise file.problem(f"is no {_NAME}")
    if test:
        try:
            found.self_test()
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None
    return found


def load_integers(path: str | os.PathLike[str]) -> Artifact:
    """Read an artifact of a network in integers.

    Raises:
        ArtifactError: if it is one of the FPGA IP, or something is wrong with it.
    """
    found = load(path)
    if isinstance(found, IPArtifact):
        raise ArtifactError(
            f"{path} is {found.about}, expected {Artifact.about}; export a quantised run without --target"
        )
    return found


class _Reader:
    """Takes the network out of a file."""

    def __init__(self, file: Archive) -> None:
        self.file, self.problem, self.number = file, file.problem, file.number

    def vector(self, name: str, length: int, low: int = -_INTEGERS) -> NDArray[np.int64]:
        """Integers (length,), of which one stands for all where they are equal."""
        found = self.file.array(name, [np.int16, np.int32, np.int64], (None,))
        values: NDArray[np.int64] = found.astype(np.int64)
        if (
            len(values) not in (1, length)
            or (values < low).any()
            or (np.abs(values) > _INTEGERS).any()
        ):
            raise self.problem(
                f"has {name!r} with {len(values)} values from {values.min(initial=0)} to"
                f" {values.max(initial=0)}, expected {length} of at least {low} within 32 bits"
            )
        whole: NDArray[np.int64] = np.broadcast_to(values, (length,)).copy()
        return whole

    def weights(self, name: str, rows: int, columns: int, bits: int) -> NDArray[np.int64]:
        """Packed weights (rows, columns)."""
        return unpack(
            self.file.array(name, np.uint8, (rows, -(-columns * bits // 8))), bits, columns
        )

    def format(self, table: Any, name: str, where: str) -> FixedPoint:
        value = (
            table.get("formats", {}).get(name) if isinstance(table.get("formats"), dict) else None
        )
        if not isinstance(value, list) or len(value) != 2:
            raise self.problem(f"has {where}formats.{name} {value!r}, expected [width, fraction]")
        pair = {"width": value[0], "fraction": value[1]}
        where = f"{where}formats.{name}."
        return FixedPoint(
            self.number(pair, "width", 2, 32, where), self.number(pair, "fraction", 0, 30, where)
        )

    def artifact(self) -> Artifact:
        m = self.file.manifest
        described = m.get("layers")
        if not isinstance(described, list) or len(described) > _MOST_LAYERS:
            raise self.problem("has no list of layers in its manifest")
        layers: list[Layer] = []
        before = None
        for number, table in enumerate(described):
            layers.append(self.layer(table, f"layers.{number}", before))
            before = layers[-1].outputs
        readout = None
        if m.get("readout") is not None:
            readout = self.readout(m["readout"], before)
        if not layers and readout is None:
            raise self.problem("has neither layers nor a readout")
        network = Network(tuple(layers), readout)
        classes = self.file.classes(layers[-1].outputs if readout is None else len(readout.weight))
        encoding, provenance = self.file.table("encoding"), self.file.table("provenance")
        steps = self.number(m, "steps", 1, 1_000_000)
        inputs = self.test_inputs(m.get("tests"), steps, network.inputs)
        scores = self.file.array("test.scores", np.int64, (inputs.shape[1], len(classes)))
        return Artifact(network, steps, classes, encoding, provenance, inputs, scores)

    def test_inputs(self, table: Any, steps: int, inputs: int) -> NDArray[np.uint8]:
        count = self.number(table, "count", 0, 1000, "tests.")
        bits = self.number(table, "bits", 1, 8, "tests.")
        packed = self.file.array("test.inputs", np.uint8, (steps * count, -(-inputs * bits // 8)))
        values = unpack(packed, bits, inputs) & ((1 << bits) - 1)
        return values.astype(np.uint8).reshape(steps, count, inputs)

    def layer(self, table: Any, place: str, before: int | None) -> Layer:
        where = f"{place}."
        if not isinstance(table, dict) or table.get("neuron") not in _CONSTANTS:
            raise self.problem(f"has a {place} whose neuron is none of {', '.join(_CONSTANTS)}")
        inputs, outputs, bits = self.sizes(table, where, before)
        current, v = self.format(table, "current", where), self.format(table, "v", where)
        if current.fraction != v.fraction:
            raise self.problem(f"has {where}formats with different fractions of current and v")
        fraction = self.number(table, "fraction", 0, 30, where)
        constants = {
            name: self.vector(where + name, outputs) for name in _CONSTANTS[table["neuron"]]
        }
        neuron: IzhikevichNeuron | LIFNeuron
        if table["neuron"] == "izhikevich":
            u = self.format(table, "u", where)
            neuron = IzhikevichNeuron(v, u, fraction, **constants)
            held = {"c": v, "v0": v, "u0": u}
        else:
            neuron = LIFNeuron(v, fraction, **constants)
            held = {}
        for name, number in held.items():
            if (constants[name] < number.lowest).any() or (constants[name] > number.highest).any():
                raise self.problem(f"has {where}{name} beyond its format of {number.width} bits")
        feedback = None
        if table.get("recurrent") is True:
            feedback = self.weights(where + "feedback", outputs, outputs, bits)
        return Layer(
            self.weights(where + "weight", outputs, inputs, bits), bits,
            self.vector(where + "multiplier", outputs, 0),
            self.number(table, "shift", 0, 40, where), current, neuron, feedback,
        )  # fmt: skip

    def sizes(self, table: Any, where: str, before: int | None) -> tuple[int, int, int]:
        inputs = self.number(table, "inputs", 1, _MOST_NEURONS, where)
        if before is not None and inputs != before:
            raise self.problem(
                f"has {where}inputs {inputs:,}, expected {before:,}, the outputs before"
            )
        return (
            inputs, self.number(table, "outputs", 1, _MOST_NEURONS, where),
            self.number(table, "weight_bits", 2, 8, where),
        )  # fmt: skip

    def readout(self, table: Any, before: int | None) -> Readout:
        if not isinstance(table, dict):
            raise self.problem("has a readout that is no table")
        inputs, outputs, bits = self.sizes(table, "readout.", before)
        return Readout(
            self.weights("readout.weight", outputs, inputs, bits), bits,
            self.vector("readout.multiplier", outputs, 0), self.vector("readout.bias", outputs),
        )  # fmt: skip
