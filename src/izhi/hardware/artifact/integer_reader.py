"""Reads a network in integers from a file of izhi.hardware.artifact.archive, and checks everything in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError, shown
from izhi.hardware.artifact.archive import ArtifactArchive
from izhi.hardware.artifact.integers import (
    MOST_TESTS,
    NAME,
    VERSION,
    WITH_MEMORY,
    WITH_WINDOWS,
    IntegerArtifact,
    check_count,
    unpack,
    unpack_bytes,
)
from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    IntegerLayer,
    IntegerNetwork,
    IntegerNeuron,
    IntegerReadout,
    IntegerSynapse,
    Pool,
    Window,
    check_bounds,
)
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_FRACTION, MOST_NEURONS, MOST_SHIFT
from izhi.hardware.fixed.network import MOST_STEPS

#: No network for hardware has more; a file that claims more is refused.
_MOST_LAYERS = 64


def read(file: ArtifactArchive) -> IntegerArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming it.
    """
    if file.format != NAME:
        raise file.problem(f"is no {NAME}")
    file.check(VERSION, WITH_WINDOWS, WITH_MEMORY)
    return _Reader(file).artifact()


class _Reader:
    """The tables and arrays of a file, one after another; ``where`` begins the names of a table's entries."""

    def __init__(self, file: ArtifactArchive) -> None:
        self.file, self.problem, self.number = file, file.problem, file.number

    def artifact(self) -> IntegerArtifact:
        network, manifest = self.network(), self.file.manifest
        classes = self.file.classes(network.outputs)
        encoding, provenance = self.file.table("encoding"), self.file.table("provenance")
        steps = self.number(manifest, "steps", 1, MOST_STEPS)
        count = self.number(manifest.get("tests"), "count", 0, MOST_TESTS, "tests.")
        try:
            check_bounds(network)
            check_count(network, steps, count)
        except ArtifactError as error:
            raise ArtifactError(f"{self.file.path}: {error}") from None
        inputs = self.test_inputs(manifest.get("tests"), steps, count, network.inputs)
        scores = self.file.array("test.scores", np.int64, (count, len(classes)))
        return IntegerArtifact(network, steps, classes, encoding, provenance, inputs, scores)

    def network(self) -> IntegerNetwork:
        tables = self.file.manifest.get("layers")
        if not isinstance(tables, list) or len(tables) > _MOST_LAYERS:
            raise self.problem("has no list of layers in its manifest")
        layers: list[IntegerLayer] = []
        before = None
        for number, table in enumerate(tables):
            layers.append(self.layer(table, f"layers.{number}", before))
            before = layers[-1].outputs
        last = self.file.manifest.get("readout")
        readout = None if last is None else self.readout(last, before)
        if not layers and readout is None:
            raise self.problem("has neither layers nor a readout")
        return IntegerNetwork(tuple(layers), readout)

    def layer(self, table: object, name: str, before: int | None) -> IntegerLayer:
        where = f"{name}."
        if not isinstance(table, dict) or table.get("neuron") not in tuple(NEURONS):
            raise self.problem(f"has a {name} whose neuron is none of {', '.join(NEURONS)}")
        inputs, outputs, bits = self.sizes(table, where, before)
        current, v = self.format(table, "current", where), self.format(table, "v", where)
        if current.fraction != v.fraction:
            raise self.problem(f"has {where}formats with different fractions of current and v")
        window, pools = self.windows(table, where, inputs)
        rows, columns = self.weights_shape(window, pools, inputs, outputs, where)
        feedback = None
        if self.flag(where + "recurrent", table.get("recurrent")):
            if window is not None:
                raise self.problem(f"has a recurrent convolution {name}, which integers do not have")
            feedback = self.weights(where + "feedback", outputs, outputs, bits)
        is_delayed = self.flag(where + "delayed", table.get("delayed", False))
        return IntegerLayer(
            self.weights(where + "weight", rows, columns, bits), bits,
            self.vector(where + "multiplier", outputs),
            self.number(table, "shift", 0, MOST_SHIFT, where), current, self.neuron(table, where, outputs), feedback,
            window=window, pools=pools, synapse=self.synapse(table, where, outputs),
            delay=self.vector(where + "delay", columns if window is None else window.inputs) if is_delayed else None,
        )  # fmt: skip

    def readout(self, table: object, before: int | None) -> IntegerReadout:
        if not isinstance(table, dict):
            raise self.problem("has a readout that is no table")
        inputs, outputs, bits = self.sizes(table, "readout.", before)
        window, pools = self.windows(table, "readout.", inputs)
        if window is not None:
            raise self.problem("has a readout with a window, expected a matrix")
        rows, columns = self.weights_shape(None, pools, inputs, outputs, "readout.")
        return IntegerReadout(
            self.weights("readout.weight", rows, columns, bits), bits,
            self.vector("readout.multiplier", outputs), self.vector("readout.bias", outputs), pools=pools,
        )  # fmt: skip

    def sizes(self, table: object, where: str, before: int | None) -> tuple[int, int, int]:
        """Inputs, outputs and bits of a weight."""
        inputs = self.number(table, "inputs", 1, MOST_NEURONS, where)
        if before is not None and inputs != before:
            raise self.problem(f"has {where}inputs {inputs:,}, expected {before:,}, the outputs before")
        outputs = self.number(table, "outputs", 1, MOST_NEURONS, where)
        return inputs, outputs, self.number(table, "weight_bits", 2, 8, where)

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

    def synapse(self, table: dict[str, object], where: str, count: int) -> IntegerSynapse | None:
        formats = table.get("formats")
        if not isinstance(formats, dict) or "trace" not in formats:
            return None
        return IntegerSynapse(self.format(table, "trace", where), self.vector(where + "decay", count))

    def windows(self, table: dict[str, object], where: str, inputs: int) -> tuple[Window | None, tuple[Pool, ...]]:
        """The window of a convolution, and pools, each over the features behind the one before."""
        tables = table.get("pools", [])
        if not isinstance(tables, list) or len(tables) > _MOST_LAYERS:
            raise self.problem(f"has {where}pools {shown(tables)}, expected a list")
        pools: list[Pool] = []
        for number, one in enumerate(tables):
            name = f"{where}pools.{number}."
            kind = one.get("kind") if isinstance(one, dict) else None
            if kind not in ("sum", "max"):
                raise self.problem(f"has {name}kind {shown(kind)}, expected sum or max")
            pools.append(Pool(kind, self.window(one, name, inputs)))
            if pools[-1].window.padding != (0, 0):
                raise self.problem(f"has {name}padding, expected none")
            inputs = pools[-1].outputs
        window = None if table.get("window") is None else self.window(table["window"], f"{where}window.", inputs)
        return window, tuple(pools)

    def window(self, table: object, where: str, inputs: int) -> Window:
        """A window that fits so many features."""
        numbers = {}
        for name, count, least in (("features", 3, 1), ("kernel", 2, 1), ("stride", 2, 1), ("padding", 2, 0)):
            values = table.get(name) if isinstance(table, dict) else None
            if not isinstance(values, list) or len(values) != count:
                raise self.problem(f"has {where}{name} {shown(values)}, expected {count} numbers")
            named = {f"{name}.{k}": value for k, value in enumerate(values)}
            numbers[name] = [self.number(named, key, least, MOST_NEURONS, where) for key in named]
        (channels, height, width), (kh, kw) = numbers["features"], numbers["kernel"]
        (sh, sw), (ph, pw) = numbers["stride"], numbers["padding"]
        window = Window(channels, height, width, (kh, kw), (sh, sw), (ph, pw))
        if window.inputs != inputs:
            raise self.problem(f"has {where}features {numbers['features']}, expected {inputs:,} in all")
        if not window.fits:
            raise self.problem(f"has a {where}kernel {kh} × {kw} that does not fit {height} × {width}, padded")
        return window

    def weights_shape(
        self, window: Window | None, pools: tuple[Pool, ...], inputs: int, outputs: int, where: str
    ) -> tuple[int, int]:
        """Rows and columns of the weights."""
        if window is None:
            return outputs, pools[-1].outputs if pools else inputs
        channels, rest = divmod(outputs, window.places)
        if rest or not channels:
            raise self.problem(f"has {where}outputs {outputs:,}, expected a multiple of its window's {window.places:,}")
        return channels, window.sources

    def flag(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self.problem(f"has {name} {shown(value)}, expected true or false")
        return value

    def format(self, table: object, name: str, where: str) -> FixedPoint:
        formats = table.get("formats") if isinstance(table, dict) else None
        value = formats.get(name) if isinstance(formats, dict) else None
        if not isinstance(value, list) or len(value) != 2:
            raise self.problem(f"has {where}formats.{name} {shown(value)}, expected [width, fraction]")
        pair, where = {"width": value[0], "fraction": value[1]}, f"{where}formats.{name}."
        width = self.number(pair, "width", 2, MOST_BITS, where)
        return FixedPoint(width, self.number(pair, "fraction", 0, MOST_FRACTION, where))

    def vector(self, name: str, length: int) -> NDArray[np.int64]:
        """Integers (length,), of which the file may hold one for all."""
        values = self.file.array(name, [np.int16, np.int32, np.int64], (None,))
        if len(values) not in (1, length):
            raise self.problem(f"has {name!r} with {len(values)} values, expected {length}")
        return np.broadcast_to(values, (length,)).astype(np.int64)

    def weights(self, name: str, rows: int, columns: int, bits: int) -> NDArray[np.int64]:
        """Packed weights (rows, columns)."""
        return unpack(self.file.array(name, np.uint8, (rows, -(-columns * bits // 8))), bits, columns)

    def test_inputs(self, table: object, steps: int, count: int, inputs: int) -> NDArray[np.uint8]:
        bits = self.number(table, "bits", 1, 8, "tests.")
        packed = self.file.array("test.inputs", np.uint8, (steps * count, -(-inputs * bits // 8)))
        values: NDArray[np.uint8] = unpack_bytes(packed, bits, inputs).view(np.uint8) & np.uint8((1 << bits) - 1)
        return values.reshape(steps, count, inputs)
