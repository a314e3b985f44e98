"""A trained network in integers, with all data that Izhi's own core needs, in one file.

The contents of the file are in docs/artifact.md, its form in izhi.hardware.artifact.archive. Files from strangers can
be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from izhi.equation.integers import IntegerStep
from izhi.errors import ArtifactError, ShapeError, shown
from izhi.hardware.artifact.archive import ArtifactArchive, ManifestTable
from izhi.hardware.artifact.artifact import Artifact
from izhi.hardware.fixed import (
    NEURONS,
    FixedPoint,
    IntegerLayer,
    IntegerMembrane,
    IntegerNetwork,
    IntegerNeuron,
    IntegerReadout,
    IntegerSynapse,
    Pool,
    Reading,
    Window,
    check_bounds,
    run,
    run_compiled,
)
from izhi.hardware.fixed.bounds import MOST_BITS, MOST_FRACTION, MOST_NEURONS, MOST_SHIFT
from izhi.hardware.fixed.network import MOST_INPUT, MOST_STEPS, IntegerProjection
from izhi.hardware.fixed.neuron import neuron_kind
from izhi.hardware.networks import GRADED, Array

NAME = "izhi artifact"
#: Of networks of linear layers alone; of those with convolutions or pools; of those with synapses, delays, or neurons
#: whose ``format_version`` it is; of those with neurons whose step is in the file; of those whose readout has a
#: membrane, or whose scores are not sums.
VERSION, WITH_WINDOWS, WITH_MEMORY, WITH_STEP, WITH_READING = 1, 2, 3, 4, 5
#: Test vectors, which run whenever an artifact is loaded, and additions of all of them. A step of a layer takes as
#: long as many thousands of additions, and an update of a neuron as long as some tens.
#: No network for hardware has more layers; a file that claims more is refused.
_MOST_LAYERS = 64
MOST_TESTS, _MOST_WORK, _WORK_OF_A_STEP, _WORK_OF_A_NEURON = 1000, 1 << 32, 1 << 17, 64


def in_whole_numbers(encoded: Array, encoding: Mapping[str, object]) -> NDArray[np.uint8]:
    """Inputs of the integer model, (T, B, inputs): spikes of each input in each step, or currents in their levels.

    Args:
        encoded: spikes, numbers of them, or with the encodings of ``GRADED`` values from 0 to 1.
        encoding: settings of an artifact.

    Raises:
        ShapeError: unless they are whole numbers from 0 to 255.
    """
    values = np.asarray(encoded)
    if values.dtype.kind not in "fiub":
        raise ShapeError(f"encoded samples are {values.dtype}, expected numbers (T, B, inputs)")
    levels = encoding.get("levels")
    if encoding.get("encoding") in GRADED and isinstance(levels, int):
        values = np.rint(values * np.float32(levels))
    if values.size and not 0 <= values.min() <= values.max() <= MOST_INPUT:
        raise ShapeError(
            f"encoded samples hold {values.min()} to {values.max()}, expected 0 to {MOST_INPUT}:"
            " how often each input fires in a step"
        )
    counts = values.astype(np.uint8)
    if (counts != values).any():
        raise ShapeError("encoded samples hold parts of spikes, expected whole numbers; use an encoder of spikes")
    return counts


@dataclass(frozen=True)
class IntegerArtifact(Artifact[IntegerNetwork]):
    """A network in integers, and how to use it.

    Raises:
        ArtifactError: if a number of the network could leave 64 bits.

    Attributes:
        test_inputs: inputs (T, tests, inputs) whose outcome is known; the others are those of ``Artifact``.
    """

    about: ClassVar[str] = "a network in integers for Izhi's own core"
    numbers: ClassVar[str] = "integers"
    devices: ClassVar[tuple[str, ...]] = ("emulator", "simulator", "pynq", "serial", "c")
    device: ClassVar[str] = "emulator"
    execute = staticmethod(run_compiled)
    specification = staticmethod(run)

    test_inputs: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 0, 1), np.uint8))

    def __post_init__(self) -> None:
        check_bounds(self.network)

    def inputs_of(self, encoded: Array) -> NDArray[np.uint8]:
        """Spikes of each input in each step, (T, B, inputs); ShapeError unless they are whole, 0 to 255."""
        return in_whole_numbers(encoded, self.encoding)

    def _manifest(self, arrays: dict[str, Array]) -> dict[str, object]:
        network, readout = self.network, self.network.readout
        steps, count = self._check_tests()
        layers = [_describe_layer(layer, f"layers.{number}", arrays) for number, layer in enumerate(network.layers)]
        last = None
        if readout is not None:
            last = _describe_readout(readout, arrays)
        inputs = self.test_inputs if count else np.zeros((steps, 0, network.inputs), np.uint8)
        bits = 1 if inputs.max(initial=0) <= 1 else 8
        arrays["test.inputs"] = pack(inputs.reshape(steps * count, network.inputs), bits)
        shape = _shape_of_scores(network, steps, count)
        arrays["test.scores"] = (self.test_scores if count else np.zeros(shape)).astype(np.int64)
        return {
            "format": NAME,
            "version": _version(network),
            "steps": steps,
            "classes": list(self.classes),
            "encoding": dict(self.encoding),
            "layers": layers,
            "readout": last,
            **({} if network.reads == "sum" else {"reads": network.reads}),
            "tests": {"count": count, "bits": bits},
            "provenance": dict(self.provenance),
        }

    def _check_tests(self) -> tuple[int, int]:
        """Steps and number of test vectors; ArtifactError where they do not fit the network."""
        network, count = self.network, self.test_inputs.shape[1] if self.test_inputs.ndim == 3 else 0
        if not isinstance(self.steps, int) or not 1 <= self.steps <= MOST_STEPS:
            raise ArtifactError(f"steps is {shown(self.steps)}, expected a whole number from 1 to {MOST_STEPS:,}")
        for name, values, expected, kind in (
            ("test inputs", self.test_inputs, (self.steps, count, network.inputs), np.uint8),
            ("test scores", self.test_scores, _shape_of_scores(network, self.steps, count), np.int64),
        ):
            if values.size and (values.shape != expected or values.dtype != kind):
                raise ArtifactError(
                    f"{name} are {values.dtype} of shape {values.shape}, expected {np.dtype(kind)} of shape {expected}"
                )
        check_count(network, self.steps, count)
        return self.steps, count


def _version(network: IntegerNetwork) -> int:
    """The lowest that can hold a network."""
    if network.reads != "sum" or (network.readout is not None and network.readout.membrane is not None):
        return WITH_READING
    if any(x.synapse is not None or x.delay is not None for x in network.layers):
        return WITH_MEMORY
    windows = WITH_WINDOWS if any(x.window or x.pools for x in network.projections) else VERSION
    return max([windows, *(x.neuron.format_version for x in network.layers)])


def pack(values: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Integers (rows, columns) in two's complement of some bits, each row padded to whole bytes.

    The lowest bit of the first integer is the lowest bit of a row's first byte.
    """
    unsigned = np.asarray(values, np.int64) & ((1 << bits) - 1)
    each = ((unsigned[:, :, None] >> np.arange(bits)) & 1).astype(np.uint8)
    return np.packbits(each.reshape(len(unsigned), unsigned.shape[1] * bits), axis=1, bitorder="little")


def unpack(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.int64]:
    """The integers (rows, columns) of which ``pack`` made bytes."""
    return unpack_bytes(packed, bits, columns).astype(np.int64)


def unpack_bytes(packed: NDArray[np.uint8], bits: int, columns: int) -> NDArray[np.int8]:
    """The same for at most 8 bits, a byte for each integer."""
    flat = np.unpackbits(packed, axis=1, bitorder="little", count=columns * bits)
    each = flat.reshape(len(packed), columns, bits)
    values: NDArray[np.int8] = -each[..., bits - 1].view(np.int8)
    for bit in reversed(range(bits - 1)):
        values <<= 1
        values |= each[..., bit].view(np.int8)
    return values


def most_tests(network: IntegerNetwork, steps: int) -> int:
    """How many test vectors of so many steps an artifact may have, so that loading it does not take long."""
    each = 0
    for projection in network.projections:
        sources = int(projection.weight.shape[1])
        if isinstance(projection, IntegerLayer):
            sources += 0 if projection.feedback is None else projection.outputs
            each += 0 if projection.delay is None else len(projection.delay)
        each += sum(pool.outputs * pool.window.kernel[0] * pool.window.kernel[1] for pool in projection.pools)
        each += projection.outputs * (sources + _WORK_OF_A_NEURON)
    left = _MOST_WORK // steps - len(network.projections) * _WORK_OF_A_STEP
    return min(MOST_TESTS, max(0, left // each))


def check_count(network: IntegerNetwork, steps: int, count: int) -> None:
    """Raise ArtifactError if so many test vectors would take too long."""
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


def _describe_layer(layer: IntegerLayer, prefix: str, arrays: dict[str, Array]) -> dict[str, object]:
    """The manifest's table of a layer, whose arrays are added."""
    neuron = layer.neuron
    arrays[f"{prefix}.weight"] = pack(layer.weight, layer.weight_bits)
    if layer.feedback is not None:
        arrays[f"{prefix}.feedback"] = pack(layer.feedback, layer.weight_bits)
    for name, values in {"multiplier": layer.multiplier, **neuron.values}.items():
        arrays[f"{prefix}.{name}"] = _narrow(values)
    formats = {"current": layer.current_format, **neuron.formats}
    if layer.synapse is not None:
        formats["trace"] = layer.synapse.number
        arrays[f"{prefix}.decay"] = _narrow(layer.synapse.decay)
    if layer.delay is not None:
        arrays[f"{prefix}.delay"] = _narrow(layer.delay)
    return {
        "neuron": neuron.kind,
        **({} if neuron.kind in NEURONS else {"step": neuron.operations.table(), "initial": list(neuron.initial)}),
        **_describe_sizes(layer),
        **({} if layer.delay is None else {"delayed": True}),
        "recurrent": layer.feedback is not None,
        "weight_bits": layer.weight_bits,
        "shift": layer.shift,
        "fraction": neuron.fraction,
        "formats": {name: [f.width, f.fraction] for name, f in formats.items()},
    }


def _describe_readout(readout: IntegerReadout, arrays: dict[str, Array]) -> dict[str, object]:
    """The manifest's table of a readout, whose arrays are added."""
    own = readout.membrane
    arrays["readout.weight"] = pack(readout.weight, readout.weight_bits)
    arrays["readout.multiplier"] = _narrow(readout.multiplier)
    arrays["readout.bias"] = readout.bias.astype(np.int64)
    table = {**_describe_sizes(readout), "weight_bits": readout.weight_bits}
    if own is None:
        return table
    arrays["readout.decay"] = _narrow(own.decay)
    formats = {"trace": list(own.number), "current": list(own.current_format)}
    return {**table, "shift": own.shift, "fraction": own.fraction, "formats": formats}


def _shape_of_scores(network: IntegerNetwork, steps: int, count: int) -> tuple[int, ...]:
    """Of the scores of so many test vectors."""
    return (count, steps, network.outputs) if network.reads == "steps" else (count, network.outputs)


def _describe_sizes(projection: IntegerProjection) -> dict[str, object]:
    """Inputs and outputs, and the windows of a convolution and of pools."""
    table: dict[str, object] = {"inputs": projection.inputs, "outputs": projection.outputs}
    if projection.window is not None:
        table["window"] = _describe_window(projection.window)
    if projection.pools:
        table["pools"] = [{"kind": pool.kind, **_describe_window(pool.window)} for pool in projection.pools]
    return table


def _describe_window(window: Window) -> dict[str, object]:
    pairs = {name: list(getattr(window, name)) for name in ("kernel", "stride", "padding")}
    return {"features": [window.channels, window.height, window.width], **pairs}


def read(file: ArtifactArchive) -> IntegerArtifact:
    """The artifact in a file, with everything in it checked but its test vectors not run.

    Raises:
        ArtifactError: for anything wrong with it, naming it.
    """
    file.check(NAME, VERSION, WITH_WINDOWS, WITH_MEMORY, WITH_STEP, WITH_READING)
    manifest = ManifestTable(file, file.manifest)
    network, tests = _read_network(file), manifest.table("tests")
    classes, encoding, provenance = file.classes(network.outputs), file.table("encoding"), file.table("provenance")
    steps, count = manifest.number("steps", 1, MOST_STEPS), tests.number("count", 0, MOST_TESTS)
    with file.named_in_errors():
        check_bounds(network)
        check_count(network, steps, count)
    bits = tests.number("bits", 1, 8)
    packed = file.array("test.inputs", np.uint8, (steps * count, -(-network.inputs * bits // 8)))
    values: NDArray[np.uint8] = unpack_bytes(packed, bits, network.inputs).view(np.uint8) & np.uint8((1 << bits) - 1)
    scores = file.array("test.scores", np.int64, _shape_of_scores(network, steps, count))
    inputs = values.reshape(steps, count, network.inputs)
    return IntegerArtifact(network, steps, classes, encoding, provenance, inputs, scores)


def _read_network(file: ArtifactArchive) -> IntegerNetwork:
    tables, last = file.manifest.get("layers"), file.manifest.get("readout")
    if not isinstance(tables, list) or len(tables) > _MOST_LAYERS:
        raise file.problem("has no list of layers in its manifest")
    if not isinstance(last, dict | None):
        raise file.problem("has a readout that is no table")
    if not tables and last is None:
        raise file.problem("has neither layers nor a readout")
    layers: list[IntegerLayer] = []
    before = None
    for number, table in enumerate(tables):
        layers.append(_read_layer(ManifestTable(file, table, f"layers.{number}."), before))
        before = layers[-1].outputs
    readout = None if last is None else _read_readout(ManifestTable(file, last, "readout."), before)
    with file.named_in_errors():
        return IntegerNetwork(tuple(layers), readout, cast(Reading, file.manifest.get("reads", "sum")))


def _read_layer(table: ManifestTable, before: int | None) -> IntegerLayer:
    name, kind = table.where[:-1], _read_kind(table)
    first = kind.states()[0]
    current, v = _read_format(table, "current"), _read_format(table, first)
    if current.fraction != v.fraction:
        raise table.problem(f"formats with different fractions of current and {first}")
    p = _read_projection(table, before)
    feedback = synapse = delay = None
    if table.flag("recurrent"):
        if p.window is not None:
            raise table.file.problem(f"has a recurrent convolution {name}, which integers do not have")
        feedback = _read_weights(table, "feedback", p.outputs, p.outputs, p.weight_bits)
    if "trace" in table.table("formats").values:
        synapse = IntegerSynapse(_read_format(table, "trace"), _read_vector(table, "decay", p.outputs))
    if table.flag("delayed", False):
        delay = _read_vector(table, "delay", p.features)
    return IntegerLayer(
        p.weight, p.weight_bits, _read_vector(table, "multiplier", p.outputs), table.number("shift", 0, MOST_SHIFT),
        current, _read_neuron(table, kind, p.outputs), feedback, window=p.window, pools=p.pools, synapse=synapse,
        delay=delay,
    )  # fmt: skip


def _read_readout(table: ManifestTable, before: int | None) -> IntegerReadout:
    p = _read_projection(table, before)
    if p.window is not None:
        raise table.file.problem("has a readout with a window, expected a matrix")
    multiplier, bias = (_read_vector(table, name, p.outputs) for name in ("multiplier", "bias"))
    membrane = None
    if "formats" in table.values:
        membrane = IntegerMembrane(
            _read_format(table, "trace"), _read_vector(table, "decay", p.outputs),
            table.number("fraction", 0, MOST_FRACTION), table.number("shift", 0, MOST_SHIFT),
            _read_format(table, "current"),
        )  # fmt: skip
    return IntegerReadout(p.weight, p.weight_bits, multiplier, bias, membrane=membrane, pools=p.pools)


def _read_projection(table: ManifestTable, before: int | None) -> IntegerProjection:
    """Weights behind pools, each over the features behind the one before, and the window of a convolution."""
    inputs, outputs = table.number("inputs", 1, MOST_NEURONS), table.number("outputs", 1, MOST_NEURONS)
    if before is not None and inputs != before:
        raise table.problem(f"inputs {inputs:,}, expected {before:,}, the outputs before")
    bits, tables = table.number("weight_bits", 2, 8), table.values.get("pools", [])
    if not isinstance(tables, list) or len(tables) > _MOST_LAYERS:
        raise table.problem(f"pools {shown(tables)}, expected a list")
    pools: list[Pool] = []
    for number, values in enumerate(tables):
        one = ManifestTable(table.file, values, f"{table.where}pools.{number}.")
        kind = one.values.get("kind")
        if kind not in ("sum", "max"):
            raise one.problem(f"kind {shown(kind)}, expected sum or max")
        pools.append(Pool(kind, _read_window(one, inputs)))
        if pools[-1].window.padding != (0, 0):
            raise one.problem("padding, expected none")
        inputs = pools[-1].outputs
    window, rows, columns = None, outputs, inputs
    if table.values.get("window") is not None:
        window = _read_window(table.table("window"), inputs)
        rows, rest = divmod(outputs, window.places)
        columns = window.sources
        if rest or not rows:
            raise table.problem(f"outputs {outputs:,}, expected a multiple of its window's {window.places:,}")
    weight = _read_weights(table, "weight", rows, columns, bits)
    return IntegerProjection(weight, bits, window=window, pools=tuple(pools))


def _read_window(table: ManifestTable, inputs: int) -> Window:
    """A window that fits so many features."""
    channels, height, width = features = table.numbers("features", 3, 1, MOST_NEURONS)
    (kh, kw), (sh, sw) = table.numbers("kernel", 2, 1, MOST_NEURONS), table.numbers("stride", 2, 1, MOST_NEURONS)
    up, left = table.numbers("padding", 2, 0, MOST_NEURONS)
    window = Window(channels, height, width, (kh, kw), (sh, sw), (up, left))
    if window.inputs != inputs:
        raise table.problem(f"features {features}, expected {inputs:,} in all")
    if not window.fits:
        raise table.file.problem(f"has a {table.where}kernel {kh} × {kw} that does not fit {height} × {width}, padded")
    return window


def _read_kind(table: ManifestTable) -> type[IntegerNeuron]:
    """A kind of neuron that has a name, or whose step the file holds."""
    name, step = str(table.values.get("neuron")), table.values.get("step")
    if step is None:
        if name not in NEURONS:
            raise table.file.problem(f"has a {table.where[:-1]} whose neuron is none of {', '.join(NEURONS)}")
        return NEURONS[name]
    initial = table.values.get("initial")
    with table.file.named_in_errors():
        operations = IntegerStep.of_table(table.table("step").values)
    allowed = [f"{x}0" for x in operations.states]
    if not isinstance(initial, list) or not all(x in allowed and initial.count(x) == 1 for x in initial):
        raise table.problem(f"initial {shown(initial)}, expected names of states with a 0")
    with table.file.named_in_errors():
        return neuron_kind(name, operations, tuple(initial))


def _read_neuron(table: ManifestTable, kind: type[IntegerNeuron], count: int) -> IntegerNeuron:
    fraction = table.number("fraction", 0, MOST_FRACTION)
    formats = {state: _read_format(table, state) for state in kind.states()}
    constants = {name: _read_vector(table, name, count) for name in kind.names()}
    for name, state in kind.held().items():
        number = formats[state]
        if (constants[name] < number.lowest).any() or (constants[name] > number.highest).any():
            raise table.problem(f"{name} beyond its format of {number.width} bits")
    return kind.of(formats, fraction, constants)


def _read_format(table: ManifestTable, name: str) -> FixedPoint:
    formats = table.table("formats")
    value = formats.values.get(name)
    if not isinstance(value, list) or len(value) != 2:
        raise formats.problem(f"{name} {shown(value)}, expected [width, fraction]")
    pair = ManifestTable(table.file, {"width": value[0], "fraction": value[1]}, f"{formats.where}{name}.")
    return FixedPoint(pair.number("width", 2, MOST_BITS), pair.number("fraction", 0, MOST_FRACTION))


def _read_vector(table: ManifestTable, name: str, length: int) -> NDArray[np.int64]:
    """Integers (length,), of which the file may hold one for all."""
    name = table.where + name
    values = table.file.array(name, [np.int16, np.int32, np.int64], (None,))
    if len(values) not in (1, length):
        raise table.file.problem(f"has {name!r} with {len(values)} values, expected {length}")
    return np.broadcast_to(values, (length,)).astype(np.int64)


def _read_weights(table: ManifestTable, name: str, rows: int, columns: int, bits: int) -> NDArray[np.int64]:
    """Packed weights (rows, columns)."""
    return unpack(table.file.array(table.where + name, np.uint8, (rows, -(-columns * bits // 8))), bits, columns)
