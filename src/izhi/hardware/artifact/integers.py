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

from izhi.errors import ArtifactError, ShapeError, shown
from izhi.hardware.artifact import archive
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    IntegerLayer,
    IntegerNetwork,
    IntegerNeuron,
    IntegerReadout,
    IntegerSynapse,
    Outcome,
    check_bounds,
    run,
    run_compiled,
)
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_FRACTION, MOST_NEURONS, MOST_SHIFT
from izhi.hardware.fixed.network import MOST_INPUT, MOST_STEPS, IntegerProjection
from izhi.hardware.fixed.window import Pool, Window
from izhi.hardware.networks import GRADED, Array, Inputs

NAME = "izhi artifact"
#: Of networks of linear layers alone; of those with convolutions or pools; of those with synapses, delays, or neurons
#: of a kind that files had not at first: LIF of any reset but "subtract".
VERSION, WITH_WINDOWS, WITH_MEMORY = 1, 2, 3
#: No network for hardware has more; a file that claims it is refused.
_MOST_LAYERS = 64
#: Test vectors are run whenever an artifact is loaded, and may take so many additions in all. A step of a layer takes
#: as long as many thousands of them, and that of a neuron as long as some tens.
_MOST_TESTS, _MOST_WORK, _WORK_OF_A_STEP, _WORK_OF_A_NEURON = 1000, 1 << 32, 1 << 17, 64


def in_whole_numbers(encoded: Array, encoding: Mapping[str, object]) -> NDArray[np.uint8]:
    """What comes in, (T, B, inputs): how often each input fires in each step, or currents in their levels.

    Args:
        encoded: spikes, numbers of them, or with the encodings ``constant`` and ``current`` values from 0 to 1.
        encoding: settings of an artifact.

    Raises:
        ShapeError: unless that is whole, 0 to 255.
    """
    given = np.asarray(encoded)
    if given.dtype.kind not in "fiub":
        raise ShapeError(f"encoded samples are {given.dtype}, expected numbers (T, B, inputs)")
    levels = encoding.get("levels")
    if encoding.get("encoding") in GRADED and isinstance(levels, int):
        given = np.rint(given * np.float32(levels))
    if given.size and not 0 <= given.min() <= given.max() <= MOST_INPUT:
        raise ShapeError(
            f"encoded samples hold {given.min()} to {given.max()}, expected 0 to {MOST_INPUT}:"
            " how often each input fires in a step"
        )
    found = given.astype(np.uint8)
    if (found != given).any():
        raise ShapeError("encoded samples hold parts of spikes, expected whole numbers; use an encoder of spikes")
    return found


@dataclass(frozen=True)
class IntegerArtifact:
    """A network in integers, and how to use it.

    Raises:
        ArtifactError: if a number of the network could leave 64 bits.

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
    devices: ClassVar[tuple[str, ...]] = ("emulator", "simulator", "pynq", "serial")
    device: ClassVar[str] = "emulator"

    network: IntegerNetwork
    steps: int
    classes: tuple[str, ...]
    encoding: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    test_inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 0, 1), np.uint8))
    test_scores: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    def __post_init__(self) -> None:
        check_bounds(self.network)

    def inputs_of(self, encoded: Array) -> NDArray[np.uint8]:
        """How often each input fires in each step, (T, B, inputs); ShapeError unless that is whole, 0 to 255."""
        return in_whole_numbers(encoded, self.encoding)

    def run(self, inputs: Inputs) -> Outcome:
        """Run spikes (T, B, inputs) through the integer model, compiled where Numba is installed."""
        return run_compiled(self.network, inputs)  # type: ignore[arg-type]

    def with_network(self, network: IntegerNetwork, **provenance: object) -> IntegerArtifact:
        """An artifact of another network, with its own scores; see ``Artifact``."""
        scores = run_compiled(network, self.test_inputs).scores
        whole = {**self.provenance, **provenance}
        return replace(self, network=network, test_scores=scores, provenance=whole)

    def self_test(self) -> None:
        """Run the test vectors through the specification; ArtifactError if a score differs."""
        if self.test_inputs.shape[1]:
            archive.compare(run(self.network, self.test_inputs).scores, self.test_scores)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all; ArtifactError if its parts do not fit each other."""
        steps, count = self._check_tests()
        arrays: dict[str, Array] = {}
        layers = [_describe(layer, f"layers.{number}", arrays) for number, layer in enumerate(self.network.layers)]
        readout = self.network.readout
        inputs = self.test_inputs if count else np.zeros((steps, 0, self.network.inputs), np.uint8)
        bits = 1 if inputs.max(initial=0) <= 1 else 8
        manifest = {
            "format": NAME,
            "version": _version(self.network),
            "steps": steps,
            "classes": list(self.classes),
            "encoding": dict(self.encoding),
            "layers": layers,
            "readout": None if readout is None else _describe_readout(readout, arrays),
            "tests": {"count": count, "bits": bits},
            "provenance": dict(self.provenance),
        }
        arrays["test.inputs"] = pack(inputs.reshape(steps * count, self.network.inputs), bits)
        scores = self.test_scores if count else np.zeros((0, self.network.outputs))
        arrays["test.scores"] = scores.astype(np.int64)
        archive.write(path, manifest, arrays)

    def _check_tests(self) -> tuple[int, int]:
        """Steps and test vectors; raises ArtifactError where classes or test vectors are not the network's."""
        network, count = self.network, self.test_inputs.shape[1] if self.test_inputs.ndim == 3 else 0
        if not archive.are_names(self.classes, network.outputs):
            raise ArtifactError(f"the classes are {shown(self.classes)}, expected {network.outputs} names")
        if not isinstance(self.steps, int) or not 1 <= self.steps <= MOST_STEPS:
            raise ArtifactError(f"steps is {shown(self.steps)}, expected a whole number from 1 to {MOST_STEPS:,}")
        for name, found, expected, kind in (
            ("test inputs", self.test_inputs, (self.steps, count, network.inputs), np.uint8),
            ("test scores", self.test_scores, (count, network.outputs), np.int64),
        ):
            if found.size and (found.shape != expected or found.dtype != kind):
                raise ArtifactError(
                    f"{name} are {found.dtype} of shape {found.shape}, expected {np.dtype(kind)} of shape {expected}"
                )
        _check_count(network, self.steps, count)
        return self.steps, count


def _version(network: IntegerNetwork) -> int:
    """The lowest that has all that a network needs."""
    kinds = {x.neuron.kind for x in network.layers}
    if kinds - {"izhikevich", "lif"} or any(x.synapse is not None or x.delay is not None for x in network.layers):
        return WITH_MEMORY
    return WITH_WINDOWS if any(part.window or part.pools for part in network.projections) else VERSION


def pack(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Integers (rows, columns) in two's complement of some bits, each row padded to whole bytes.

    The lowest bit of the first integer is the lowest bit of a row's first byte.
    """
    unsigned = np.asarray(values, np.int64) & ((1 << bits) - 1)
    each = (unsigned[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(
        each.reshape(len(unsigned), unsigned.shape[1] * bits).astype(np.uint8), axis=1, bitorder="little"
    )


def unpack(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.int64]:
    """The integers (rows, columns) that ``pack`` made."""
    return _unpacked(packed, bits, columns).astype(np.int64)


def _unpacked(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.int8]:
    """The same, of at most 8 bits, in as many bytes as there are integers."""
    flat = np.unpackbits(packed, axis=1, bitorder="little", count=columns * bits)
    each = flat.reshape(len(packed), columns, bits)
    values: NDArray[np.int8] = -each[..., bits - 1].view(np.int8)
    for bit in reversed(range(bits - 1)):
        values <<= 1
        values |= each[..., bit].view(np.int8)
    return values


def most_tests(network: IntegerNetwork, steps: int) -> int:
    """How many test vectors of so many steps an artifact may carry, so that loading it does not take long."""
    each = 0
    for part in network.projections:
        comes_back = isinstance(part, IntegerLayer) and part.feedback is not None
        each += len(part.delay) if isinstance(part, IntegerLayer) and part.delay is not None else 0
        sources = int(part.weight.shape[1]) + (part.outputs if comes_back else 0)
        each += sum(pool.outputs * pool.window.kernel[0] * pool.window.kernel[1] for pool in part.pools)
        each += part.outputs * (sources + _WORK_OF_A_NEURON)
    left = _MOST_WORK // steps - len(network.projections) * _WORK_OF_A_STEP
    return min(_MOST_TESTS, max(0, left // each))


def _check_count(network: IntegerNetwork, steps: int, count: int) -> None:
    """Raise ArtifactError if running so many test vectors would take too long."""
    most = most_tests(network, steps)
    if count > most:
        raise ArtifactError(
            f"the artifact has {count:,} test vectors, expected at most {most:,} for {steps:,} steps of this"
            " network: they are run whenever it is loaded; use fewer"
        )


def _narrow(values: NDArray[np.int64]) -> Array:
    """The values in the smallest type that holds them, one value where all are equal."""
    values = values[:1] if len(values) and (values == values[0]).all() else values
    return values.astype(np.int16 if (np.abs(values) < 1 << 15).all() else np.int32)


def _describe(layer: IntegerLayer, place: str, arrays: dict[str, Array]) -> dict[str, object]:
    neuron = layer.neuron
    arrays[f"{place}.weight"] = pack(layer.weight, layer.weight_bits)
    if layer.feedback is not None:
        arrays[f"{place}.feedback"] = pack(layer.feedback, layer.weight_bits)
    arrays[f"{place}.multiplier"] = _narrow(layer.multiplier)
    for name, values in neuron.values.items():
        arrays[f"{place}.{name}"] = _narrow(values)
    own = neuron.formats._asdict()
    formats = {"current": layer.current_format, **{name: own[name] for name in neuron.states}}
    if layer.synapse is not None:
        formats["trace"] = layer.synapse.number
        arrays[f"{place}.decay"] = _narrow(layer.synapse.decay)
    if layer.delay is not None:
        arrays[f"{place}.delay"] = _narrow(layer.delay)
    return {
        "neuron": neuron.kind,
        **_describe_shape(layer),
        **({} if layer.delay is None else {"delayed": True}),
        "recurrent": layer.feedback is not None,
        "weight_bits": layer.weight_bits,
        "shift": layer.shift,
        "fraction": neuron.fraction,
        "formats": {name: [f.width, f.fraction] for name, f in formats.items()},
    }


def _describe_readout(readout: IntegerReadout, arrays: dict[str, Array]) -> dict[str, object]:
    arrays["readout.weight"] = pack(readout.weight, readout.weight_bits)
    arrays["readout.multiplier"] = _narrow(readout.multiplier)
    arrays["readout.bias"] = readout.bias.astype(np.int64)
    return {**_describe_shape(readout), "weight_bits": readout.weight_bits}


def _describe_shape(part: IntegerProjection) -> dict[str, object]:
    """Inputs and outputs, and of a convolution or pools where they look."""
    found: dict[str, object] = {"inputs": part.inputs, "outputs": part.outputs}
    if part.window is not None:
        found["window"] = _describe_window(part.window)
    if part.pools:
        found["pools"] = [{"kind": pool.kind, **_describe_window(pool.window)} for pool in part.pools]
    return found


def _describe_window(window: Window) -> dict[str, object]:
    return {
        "features": [window.channels, window.height, window.width],
        "kernel": list(window.kernel), "stride": list(window.stride), "padding": list(window.padding),
    }  # fmt: skip


def read(file: ArtifactArchive) -> IntegerArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming what.
    """
    if file.format != NAME:
        raise file.problem(f"is no {NAME}")
    file.check(VERSION, WITH_WINDOWS, WITH_MEMORY)
    return _Reader(file).artifact()


class _Reader:
    """Takes the network out of a file."""

    def __init__(self, file: ArtifactArchive) -> None:
        self.file, self.problem, self.number = file, file.problem, file.number

    def vector(self, name: str, length: int) -> NDArray[np.int64]:
        """Integers (length,), of which one stands for all where they are equal."""
        found = self.file.array(name, [np.int16, np.int32, np.int64], (None,))
        if len(found) not in (1, length):
            raise self.problem(f"has {name!r} with {len(found)} values, expected {length}")
        return np.broadcast_to(found, (length,)).astype(np.int64)

    def weights(self, name: str, rows: int, columns: int, bits: int) -> NDArray[np.int64]:
        """Packed weights (rows, columns)."""
        return unpack(self.file.array(name, np.uint8, (rows, -(-columns * bits // 8))), bits, columns)

    def format(self, table: object, name: str, where: str) -> FixedPoint:
        formats = table.get("formats") if isinstance(table, dict) else None
        value = formats.get(name) if isinstance(formats, dict) else None
        if not isinstance(value, list) or len(value) != 2:
            raise self.problem(f"has {where}formats.{name} {shown(value)}, expected [width, fraction]")
        pair = {"width": value[0], "fraction": value[1]}
        where = f"{where}formats.{name}."
        width = self.number(pair, "width", 2, MOST_BITS, where)
        return FixedPoint(width, self.number(pair, "fraction", 0, MOST_FRACTION, where))

    def artifact(self) -> IntegerArtifact:
        network, m = self.network(), self.file.manifest
        classes = self.file.classes(network.outputs)
        encoding, provenance = self.file.table("encoding"), self.file.table("provenance")
        steps = self.number(m, "steps", 1, MOST_STEPS)
        count = self.number(m.get("tests"), "count", 0, _MOST_TESTS, "tests.")
        try:
            check_bounds(network)
            _check_count(network, steps, count)
        except ArtifactError as error:
            raise ArtifactError(f"{self.file.path}: {error}") from None
        inputs = self.test_inputs(m.get("tests"), steps, count, network.inputs)
        scores = self.file.array("test.scores", np.int64, (count, len(classes)))
        return IntegerArtifact(network, steps, classes, encoding, provenance, inputs, scores)

    def network(self) -> IntegerNetwork:
        described = self.file.manifest.get("layers")
        if not isinstance(described, list) or len(described) > _MOST_LAYERS:
            raise self.problem("has no list of layers in its manifest")
        layers: list[IntegerLayer] = []
        before = None
        for number, table in enumerate(described):
            layers.append(self.layer(table, f"layers.{number}", before))
            before = layers[-1].outputs
        last = self.file.manifest.get("readout")
        readout = None if last is None else self.readout(last, before)
        if not layers and readout is None:
            raise self.problem("has neither layers nor a readout")
        return IntegerNetwork(tuple(layers), readout)

    def test_inputs(self, table: object, steps: int, count: int, inputs: int) -> NDArray[np.uint8]:
        bits = self.number(table, "bits", 1, 8, "tests.")
        packed = self.file.array("test.inputs", np.uint8, (steps * count, -(-inputs * bits // 8)))
        values: NDArray[np.uint8] = _unpacked(packed, bits, inputs).view(np.uint8) & np.uint8((1 << bits) - 1)
        return values.reshape(steps, count, inputs)

    def layer(self, table: object, place: str, before: int | None) -> IntegerLayer:
        where = f"{place}."
        if not isinstance(table, dict) or table.get("neuron") not in tuple(NEURONS):
            raise self.problem(f"has a {place} whose neuron is none of {', '.join(NEURONS)}")
        inputs, outputs, bits = self.sizes(table, where, before)
        current, v = self.format(table, "current", where), self.format(table, "v", where)
        if current.fraction != v.fraction:
            raise self.problem(f"has {where}formats with different fractions of current and v")
        window, pools = self.looks(table, where, inputs)
        rows, columns = self.weights_shape(window, pools, inputs, outputs, where)
        neuron = self.neuron(table, where, outputs)
        feedback = None
        if not isinstance(table.get("recurrent"), bool):
            raise self.problem(f"has {where}recurrent {shown(table.get('recurrent'))}, expected true or false")
        if table["recurrent"] and window is not None:
            raise self.problem(f"has a recurrent convolution {place}, which integers do not have")
        if table["recurrent"]:
            feedback = self.weights(where + "feedback", outputs, outputs, bits)
        return IntegerLayer(
            self.weights(where + "weight", rows, columns, bits), bits,
            self.vector(where + "multiplier", outputs),
            self.number(table, "shift", 0, MOST_SHIFT, where), current, neuron, feedback,
            window=window, pools=pools, synapse=self.synapse(table, where, outputs),
            delay=self.delay(table, where, columns if window is None else window.inputs),
        )  # fmt: skip

    def synapse(self, table: dict[str, object], where: str, count: int) -> IntegerSynapse | None:
        formats = table.get("formats")
        if not isinstance(formats, dict) or "trace" not in formats:
            return None
        return IntegerSynapse(self.format(table, "trace", where), self.vector(where + "decay", count))

    def delay(self, table: dict[str, object], where: str, sources: int) -> NDArray[np.int64] | None:
        is_delayed = table.get("delayed", False)
        if not isinstance(is_delayed, bool):
            raise self.problem(f"has {where}delayed {shown(is_delayed)}, expected true or false")
        return self.vector(where + "delay", sources) if is_delayed else None

    def looks(self, table: dict[str, object], where: str, inputs: int) -> tuple[Window | None, tuple[Pool, ...]]:
        """Where a convolution and pools look, each on what the one before it leaves."""
        described = table.get("pools", [])
        if not isinstance(described, list) or len(described) > _MOST_LAYERS:
            raise self.problem(f"has {where}pools {shown(described)}, expected a list")
        pools: list[Pool] = []
        for number, one in enumerate(described):
            place = f"{where}pools.{number}."
            kind = one.get("kind") if isinstance(one, dict) else None
            if kind not in ("sum", "max"):
                raise self.problem(f"has {place}kind {shown(kind)}, expected sum or max")
            pools.append(Pool(kind, self.window(one, place, inputs)))
            if pools[-1].window.padding != (0, 0):
                raise self.problem(f"has {place}padding, expected none")
            inputs = pools[-1].outputs
        window = None if table.get("window") is None else self.window(table["window"], f"{where}window.", inputs)
        return window, tuple(pools)

    def window(self, table: object, where: str, inputs: int) -> Window:
        """A window that has places, over so many features."""
        pairs = {}
        for name, count, least in (("features", 3, 1), ("kernel", 2, 1), ("stride", 2, 1), ("padding", 2, 0)):
            value = table.get(name) if isinstance(table, dict) else None
            if not isinstance(value, list) or len(value) != count:
                raise self.problem(f"has {where}{name} {shown(value)}, expected {count} numbers")
            given = {f"{name}.{k}": one for k, one in enumerate(value)}
            pairs[name] = [self.number(given, f"{name}.{k}", least, MOST_NEURONS, where) for k in range(count)]
        (channels, height, width), (kh, kw) = pairs["features"], pairs["kernel"]
        (sh, sw), (ph, pw) = pairs["stride"], pairs["padding"]
        if channels * height * width != inputs:
            raise self.problem(f"has {where}features {pairs['features']}, expected {inputs:,} in all")
        window = Window(channels, height, width, (kh, kw), (sh, sw), (ph, pw))
        if not window.fits:
            raise self.problem(f"has a {where}kernel {kh} × {kw} that does not fit {height} × {width}, padded")
        return window

    def weights_shape(
        self, window: Window | None, pools: tuple[Pool, ...], inputs: int, outputs: int, where: str
    ) -> tuple[int, int]:
        """Rows and columns of a part's weights."""
        if window is None:
            return outputs, pools[-1].outputs if pools else inputs
        channels, rest = divmod(outputs, window.places)
        if rest or not channels:
            raise self.problem(f"has {where}outputs {outputs:,}, expected a multiple of its window's {window.places:,}")
        return channels, window.sources

    def neuron(self, table: dict[str, object], where: str, count: int) -> IntegerNeuron:
        kind = NEURONS[str(table["neuron"])]
        fraction = self.number(table, "fraction", 0, MOST_FRACTION, where)
        formats = {state: self.format(table, state, where) for state in kind.states}
        constants = {name: self.vector(where + name, count) for name in kind.names()}
        for name, state in kind.held.items():
            number = formats[state]
            if (constants[name] < number.lowest).any() or (constants[name] > number.highest).any():
                raise self.problem(f"has {where}{name} beyond its format of {number.width} bits")
        return kind.of(formats, fraction, constants)

    def sizes(self, table: object, where: str, before: int | None) -> tuple[int, int, int]:
        inputs = self.number(table, "inputs", 1, MOST_NEURONS, where)
        if before is not None and inputs != before:
            raise self.problem(f"has {where}inputs {inputs:,}, expected {before:,}, the outputs before")
        return (
            inputs, self.number(table, "outputs", 1, MOST_NEURONS, where),
            self.number(table, "weight_bits", 2, 8, where),
        )  # fmt: skip

    def readout(self, table: object, before: int | None) -> IntegerReadout:
        if not isinstance(table, dict):
            raise self.problem("has a readout that is no table")
        inputs, outputs, bits = self.sizes(table, "readout.", before)
        window, pools = self.looks(table, "readout.", inputs)
        if window is not None:
            raise self.problem("has a readout with a window, expected a matrix")
        rows, columns = self.weights_shape(None, pools, inputs, outputs, "readout.")
        return IntegerReadout(
            self.weights("readout.weight", rows, columns, bits), bits,
            self.vector("readout.multiplier", outputs), self.vector("readout.bias", outputs), pools=pools,
        )  # fmt: skip
