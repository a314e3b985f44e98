"""A trained network in integers, with all that Izhi's own core needs, in one file.

What the file holds is in docs/artifact.md, how it is kept in izhi.hardware.artifact.archive: it can be loaded from
strangers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import archive
from izhi.hardware.artifact.archive import Archive
from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    Layer,
    Network,
    Neuron,
    Outcome,
    Readout,
    run,
    run_compiled,
)
from izhi.hardware.networks import Array, Inputs

NAME, VERSION = "izhi artifact", 1
#: No network for hardware comes near these; a file that claims more is refused.
_MOST_NEURONS, _MOST_LAYERS = 1 << 16, 64
_INTEGERS = 1 << 31


@dataclass(frozen=True)
class IntegerArtifact:
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

    about: ClassVar[str] = "a network in integers for Izhi's own core"
    numbers: ClassVar[str] = "integers"
    devices: ClassVar[tuple[str, ...]] = ("emulator", "simulator", "pynq")
    device: ClassVar[str] = "emulator"

    network: Network
    steps: int
    classes: tuple[str, ...]
    encoding: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    test_inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 0, 1), np.uint8))
    test_scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def inputs_of(self, encoded: Array) -> NDArray[np.uint8]:
        """How often each input fires in each step, (T, B, inputs)."""
        return np.asarray(encoded).astype(np.uint8)

    def run(self, inputs: Inputs) -> Outcome:
        """Run spikes (T, B, inputs) through the integer model, compiled where Numba is installed."""
        return run_compiled(self.network, inputs)  # type: ignore[arg-type]

    def with_network(self, network: Network, **provenance: object) -> IntegerArtifact:
        """An artifact of another network, with its own scores; see ``Artifact``."""
        scores = run_compiled(network, self.test_inputs).scores
        whole = {**self.provenance, **provenance}
        return replace(self, network=network, test_scores=scores, provenance=whole)

    def self_test(self) -> None:
        """Run the test vectors through the specification; ArtifactError if a score differs."""
        if self.test_inputs.shape[1]:
            archive.compare(run(self.network, self.test_inputs).scores, self.test_scores)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all."""
        arrays: dict[str, Array] = {}
        layers = [_describe(layer, f"layers.{number}", arrays) for number, layer in enumerate(self.network.layers)]
        readout = self.network.readout
        inputs = self.test_inputs
        bits = 1 if inputs.max(initial=0) <= 1 else 8
        manifest = {
            "format": NAME,
            "version": VERSION,
            "steps": self.steps,
            "classes": list(self.classes),
            "encoding": dict(self.encoding),
            "layers": layers,
            "readout": None if readout is None else _describe_readout(readout, arrays),
            "tests": {"count": inputs.shape[1], "bits": bits},
            "provenance": dict(self.provenance),
        }
        arrays["test.inputs"] = pack(inputs.reshape(-1, inputs.shape[2]), bits)
        arrays["test.scores"] = self.test_scores.astype(np.int64)
        archive.write(path, manifest, arrays)


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


def _narrow(values: NDArray[np.int64]) -> Array:
    """The values in the smallest type that holds them, one value where all are equal."""
    values = values[:1] if len(values) and (values == values[0]).all() else values
    return values.astype(np.int16 if (np.abs(values) < 1 << 15).all() else np.int32)


def _describe(layer: Layer, place: str, arrays: dict[str, Array]) -> dict[str, object]:
    neuron = layer.neuron
    arrays[f"{place}.weight"] = pack(layer.weight, layer.weight_bits)
    if layer.feedback is not None:
        arrays[f"{place}.feedback"] = pack(layer.feedback, layer.weight_bits)
    arrays[f"{place}.multiplier"] = _narrow(layer.multiplier)
    for name, values in neuron.values.items():
        arrays[f"{place}.{name}"] = _narrow(values)
    own = neuron.formats._asdict()
    formats = {"current": layer.current_format, **{name: own[name] for name in neuron.states}}
    return {
        "neuron": neuron.kind,
        "inputs": layer.weight.shape[1],
        "outputs": layer.outputs,
        "recurrent": layer.feedback is not None,
        "weight_bits": layer.weight_bits,
        "shift": layer.shift,
        "fraction": neuron.fraction,
        "formats": {name: [f.width, f.fraction] for name, f in formats.items()},
    }


def _describe_readout(readout: Readout, arrays: dict[str, Array]) -> dict[str, object]:
    arrays["readout.weight"] = pack(readout.weight, readout.weight_bits)
    arrays["readout.multiplier"] = _narrow(readout.multiplier)
    arrays["readout.bias"] = readout.bias.astype(np.int64)
    return {
        "inputs": readout.weight.shape[1],
        "outputs": readout.outputs,
        "weight_bits": readout.weight_bits,
    }


def read(file: Archive) -> IntegerArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming what.
    """
    if file.format != NAME:
        raise file.problem(f"is no {NAME}")
    file.check(VERSION)
    return _Reader(file).artifact()


class _Reader:
    """Takes the network out of a file."""

    def __init__(self, file: Archive) -> None:
        self.file, self.problem, self.number = file, file.problem, file.number

    def vector(self, name: str, length: int, low: int = -_INTEGERS) -> NDArray[np.int64]:
        """Integers (length,), of which one stands for all where they are equal."""
        found = self.file.array(name, [np.int16, np.int32, np.int64], (None,))
        values: NDArray[np.int64] = found.astype(np.int64)
        if len(values) not in (1, length) or (values < low).any() or (np.abs(values) > _INTEGERS).any():
            raise self.problem(
                f"has {name!r} with {len(values)} values from {values.min(initial=0)} to"
                f" {values.max(initial=0)}, expected {length} of at least {low} within 32 bits"
            )
        whole: NDArray[np.int64] = np.broadcast_to(values, (length,)).copy()
        return whole

    def weights(self, name: str, rows: int, columns: int, bits: int) -> NDArray[np.int64]:
        """Packed weights (rows, columns)."""
        return unpack(self.file.array(name, np.uint8, (rows, -(-columns * bits // 8))), bits, columns)

    def format(self, table: object, name: str, where: str) -> FixedPoint:
        formats = table.get("formats") if isinstance(table, dict) else None
        value = formats.get(name) if isinstance(formats, dict) else None
        if not isinstance(value, list) or len(value) != 2:
            raise self.problem(f"has {where}formats.{name} {value!r}, expected [width, fraction]")
        pair = {"width": value[0], "fraction": value[1]}
        where = f"{where}formats.{name}."
        return FixedPoint(self.number(pair, "width", 2, 32, where), self.number(pair, "fraction", 0, 30, where))

    def artifact(self) -> IntegerArtifact:
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
        return IntegerArtifact(network, steps, classes, encoding, provenance, inputs, scores)

    def test_inputs(self, table: object, steps: int, inputs: int) -> NDArray[np.uint8]:
        count = self.number(table, "count", 0, 1000, "tests.")
        bits = self.number(table, "bits", 1, 8, "tests.")
        packed = self.file.array("test.inputs", np.uint8, (steps * count, -(-inputs * bits // 8)))
        values = unpack(packed, bits, inputs) & ((1 << bits) - 1)
        return values.astype(np.uint8).reshape(steps, count, inputs)

    def layer(self, table: object, place: str, before: int | None) -> Layer:
        where = f"{place}."
        if not isinstance(table, dict) or table.get("neuron") not in NEURONS:
            raise self.problem(f"has a {place} whose neuron is none of {', '.join(NEURONS)}")
        inputs, outputs, bits = self.sizes(table, where, before)
        current, v = self.format(table, "current", where), self.format(table, "v", where)
        if current.fraction != v.fraction:
            raise self.problem(f"has {where}formats with different fractions of current and v")
        neuron = self.neuron(table, where, outputs)
        feedback = None
        if table.get("recurrent") is True:
            feedback = self.weights(where + "feedback", outputs, outputs, bits)
        return Layer(
            self.weights(where + "weight", outputs, inputs, bits), bits,
            self.vector(where + "multiplier", outputs, 0),
            self.number(table, "shift", 0, 40, where), current, neuron, feedback,
        )  # fmt: skip

    def neuron(self, table: dict[str, object], where: str, count: int) -> Neuron:
        kind = NEURONS[str(table["neuron"])]
        fraction = self.number(table, "fraction", 0, 30, where)
        formats = {state: self.format(table, state, where) for state in kind.states}
        constants = {name: self.vector(where + name, count) for name in kind.names()}
        for name, state in kind.held.items():
            number = formats[state]
            if (constants[name] < number.lowest).any() or (constants[name] > number.highest).any():
                raise self.problem(f"has {where}{name} beyond its format of {number.width} bits")
        return kind.of(formats, fraction, constants)

    def sizes(self, table: object, where: str, before: int | None) -> tuple[int, int, int]:
        inputs = self.number(table, "inputs", 1, _MOST_NEURONS, where)
        if before is not None and inputs != before:
            raise self.problem(f"has {where}inputs {inputs:,}, expected {before:,}, the outputs before")
        return (
            inputs, self.number(table, "outputs", 1, _MOST_NEURONS, where),
            self.number(table, "weight_bits", 2, 8, where),
        )  # fmt: skip

    def readout(self, table: object, before: int | None) -> Readout:
        if not isinstance(table, dict):
            raise self.problem("has a readout that is no table")
        inputs, outputs, bits = self.sizes(table, "readout.", before)
        return Readout(
            self.weights("readout.weight", outputs, inputs, bits), bits,
            self.vector("readout.multiplier", outputs, 0), self.vector("readout.bias", outputs),
        )  # fmt: skip
