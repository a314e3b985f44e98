"""What a core is built for: sizes, widths and formats of its layers, chosen or taken from an artifact."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from izhi.errors import SettingError, shown
from izhi.files import problem
from izhi.hardware.fixed import NEURONS, FixedPoint, Layer, Network, Readout
from izhi.hardware.fixed.arithmetic import Integers

#: What the four bits for a layer's number in a word that comes out can tell apart.
MOST_LAYERS = 16
#: Fields of a layer that are formats.
_FORMATS = ("current", "v", "u")
#: The least and the most of each number that core.json may hold, and bytes of the file.
_LIMITS = {
    "inputs": (1, 1 << 16), "outputs": (1, 1 << 16), "steps": (1, 1_000_000), "largest_input": (1, 255),
    "weight_bits": (2, 8), "width": (2, 32), "fraction": (0, 30), "shift": (0, 63), "constants": (1, 64),
    "multiplier_bits": (1, 64), "bias_bits": (1, 64), "lanes": (1, 1 << 16), "units": (1, 1 << 16),
}  # fmt: skip
_MOST_BYTES = 1 << 20


def bits_of(low: int, high: int) -> int:
    """Bits of a signed number that holds both."""
    return max(low.bit_length() if low >= 0 else (-low - 1).bit_length(), high.bit_length()) + 1


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True)
class LayerShape:
    """A layer of neurons.

    Attributes:
        kind: of the neurons, a name of ``fixed.NEURONS``.
        inputs, outputs: how many there are.
        weight_bits: of a weight.
        current, v, u: formats of the states; u is that of v for neurons without u.
        fraction: bits behind the point of the coefficients.
        shift: of the product with the multiplier.
        recurrent: whether the layer's own spikes come back.
        constants: bits of each signed constant, in the order of ``names``.
        lanes: neurons that an arriving spike reaches in a cycle.
        units: neurons that are updated in a cycle; a divisor of lanes.
        largest_input: how often one input may fire in a step.
    """

    kind: str
    inputs: int
    outputs: int
    weight_bits: int
    current: FixedPoint
    v: FixedPoint
    u: FixedPoint
    fraction: int
    shift: int
    recurrent: bool
    constants: tuple[int, ...]
    lanes: int
    units: int
    largest_input: int = 1

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.units < 1 or self.lanes % self.units:
            raise SettingError(f"lanes is {self.lanes} and units is {self.units}, expected units that divide lanes")

    @property
    def groups(self) -> int:
        """Words of weights, and cycles, that a spike takes."""
        return ceil_div(self.outputs, self.lanes)

    @property
    def sources(self) -> int:
        """Inputs, and the layer's own neurons where they come back."""
        return self.inputs + (self.outputs if self.recurrent else 0)

    @property
    def accumulator_bits(self) -> int:
        """Of a sum over one step, which can then never overflow."""
        half = 1 << (self.weight_bits - 1)
        most = half * (self.inputs * self.largest_input + (self.outputs if self.recurrent else 0))
        return bits_of(-most, most)

    @property
    def updates(self) -> int:
        """Cycles in which neurons are updated in a step."""
        return ceil_div(self.outputs, self.units)

    @property
    def weight_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.lanes * self.weight_bits, self.sources * self.groups

    @property
    def constant_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.units * sum(self.constants), self.updates

    @property
    def names(self) -> tuple[str, ...]:
        """Of the constants, in the order in which they are stored; the multiplier is the layer's."""
        return ("multiplier", *NEURONS[self.kind].names())


@dataclass(frozen=True)
class ReadoutShape:
    """A readout without neurons.

    Attributes:
        inputs, outputs: how many there are.
        weight_bits: of a weight.
        multiplier_bits, bias_bits: of the signed constants.
        steps: the most steps of an inference.
        largest_input: how often one input may fire in a step.
    """

    inputs: int
    outputs: int
    weight_bits: int
    multiplier_bits: int
    bias_bits: int
    steps: int
    largest_input: int = 1

    @property
    def weight_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.outputs * self.weight_bits, self.inputs

    @property
    def constant_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.multiplier_bits + self.bias_bits, self.outputs

    @property
    def accumulator_bits(self) -> int:
        """Of a sum over all steps."""
        return bits_of(-self._most, self._most)

    @property
    def score_bits(self) -> int:
        """Of a score."""
        most = self._most * ((1 << (self.multiplier_bits - 1)) - 1) + (self.steps << (self.bias_bits - 1))
        return bits_of(-most, most)

    @property
    def _most(self) -> int:
        """The greatest magnitude of a sum over all steps."""
        return self.steps * self.inputs * self.largest_input << (self.weight_bits - 1)


@dataclass(frozen=True)
class CoreShape:
    """Layers in a row, and what becomes of the last one's spikes.

    Attributes:
        layers: 1 to MOST_LAYERS.
        readout: or None, to count the last layer's spikes.
        steps: the most steps of an inference.
    """

    layers: tuple[LayerShape, ...]
    readout: ReadoutShape | None
    steps: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.layers) <= MOST_LAYERS:
            raise SettingError(f"the network has {len(self.layers)} layers of neurons, expected 1 to {MOST_LAYERS}")

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """What each memory holds, bits of a word, and words; in the order of their numbers."""
        parts: list[tuple[str, LayerShape | ReadoutShape]] = [
            (f"layer {number}", layer) for number, layer in enumerate(self.layers, start=1)
        ]
        if self.readout is not None:
            parts.append(("the readout", self.readout))
        return [
            (f"{what} of {name}", *memory)
            for name, part in parts
            for what, memory in (
                ("weights", part.weight_memory),
                ("constants", part.constant_memory),
            )
        ]

    @property
    def scores(self) -> int:
        """How many there are."""
        return self.layers[-1].outputs if self.readout is None else self.readout.outputs


def fingerprint(shape: CoreShape) -> int:
    """32 bits that tell shapes apart; a core has them in a register."""
    return int.from_bytes(hashlib.sha256(repr(shape).encode()).digest()[:4], "little")


def to_json(shape: CoreShape) -> str:
    """A shape as text, for ``read``."""
    table = {"izhi core": 1, **asdict(shape)}
    for layer, described in zip(shape.layers, table["layers"], strict=True):
        described.update({name: getattr(layer, name)._asdict() for name in _FORMATS})
    return json.dumps(table, indent=2) + "\n"


def read(path: str | Path) -> CoreShape:
    """The shape in a file, core.json, that ``izhi rtl`` wrote.

    Raises:
        SettingError: if there is no such file, or it holds something else.
    """
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES:,} bytes")
        return _shape(_table(json.loads(Path(path).read_text())))
    except OSError as error:
        raise SettingError(f"cannot read {path}: {problem(error)}") from None
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} describes no core ({error}), expected the core.json that izhi rtl writes") from None


def _shape(found: dict[str, object]) -> CoreShape:
    """The shape that a table describes; ValueError if it describes none."""
    if found.get("izhi core") != 1 or isinstance(found["izhi core"], bool):
        raise ValueError("another version")
    described = found.get("layers")
    if not isinstance(described, list) or set(found) != {"izhi core", *_names(CoreShape)}:
        raise ValueError("other fields")
    layers = tuple(_layer_shape(_table(layer)) for layer in described)
    readout, steps = None, _number("steps", found.get("steps"))
    if found["readout"] is not None:
        table = _table(found["readout"])
        _check_names(table, ReadoutShape)
        readout = ReadoutShape(**{name: _number(name, value) for name, value in table.items()})
    shape = CoreShape(layers, readout, steps)
    following = [layer.inputs for layer in layers[1:]] + ([] if readout is None else [readout.inputs])
    if following != [layer.outputs for layer in layers][: len(following)]:
        raise ValueError("layers of other sizes than those before them")
    if readout is not None and readout.steps != steps:
        raise ValueError("a readout of other steps")
    return shape


def _layer_shape(found: dict[str, object]) -> LayerShape:
    _check_names(found, LayerShape)
    kind, recurrent, constants = found.pop("kind"), found.pop("recurrent"), found.pop("constants")
    if not isinstance(kind, str) or kind not in NEURONS:
        raise ValueError(f"neurons of kind {shown(kind)}")
    if not isinstance(recurrent, bool):
        raise ValueError(f"recurrent {shown(recurrent)}")
    values: dict[str, Any] = {name: _format(name, _table(found.pop(name))) for name in _FORMATS}
    values.update({name: _number(name, value) for name, value in found.items()})
    names = ("multiplier", *NEURONS[kind].names())
    if not isinstance(constants, list) or len(constants) != len(names):
        raise ValueError(f"constants {shown(constants)}, not the bits of {len(names)}")
    bits = tuple(_number("constants", value) for value in constants)
    return LayerShape(kind, recurrent=recurrent, constants=bits, **values)


def _format(name: str, found: dict[str, object]) -> FixedPoint:
    if set(found) != set(FixedPoint._fields):
        raise ValueError(f"{name} {shown(found)}, not width and fraction")
    return FixedPoint(_number("width", found["width"]), _number("fraction", found["fraction"]))


def _number(name: str, value: object) -> int:
    low, high = _LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} {shown(value)}, not a whole number from {low:,} to {high:,}")
    return value


def _table(found: object) -> dict[str, object]:
    if not isinstance(found, dict):
        raise ValueError(f"{shown(found)} in place of a table")
    return found


def _names(kind: type[LayerShape | ReadoutShape | CoreShape]) -> set[str]:
    return {field.name for field in fields(kind)}


def _check_names(found: dict[str, object], kind: type[LayerShape | ReadoutShape]) -> None:
    if set(found) != _names(kind):
        raise ValueError(f"fields {shown(sorted(set(found) ^ _names(kind)))} too many or too few")


def constants_of(layer: Layer) -> dict[str, Integers]:
    """The constants of a layer's neurons by name, (N,) each."""
    return {"multiplier": layer.multiplier, **layer.neuron.values}


def require_matrices(network: Network) -> None:
    """Raise SettingError for a network with convolutions or pools, which no core has."""
    for number, part in enumerate(network.parts, start=1):
        if part.window is not None or part.pools:
            what = "a convolution" if part.window is not None else "behind a pool"
            raise SettingError(
                f"part {number} of the network is {what}, which the core does not have yet; run it on the emulator"
            )


def shape_of(network: Network, steps: int, *, lanes: int = 32, units: int = 2, largest_input: int = 1) -> CoreShape:
    """The shape of a network in integers.

    Args:
        network: with at least one layer of neurons.
        steps: the most steps of an inference.
        lanes: neurons that an arriving spike reaches in a cycle; fewer in narrow layers.
        units: neurons that are updated in a cycle.
        largest_input: how often one input may fire in a step.
    """
    require_matrices(network)
    layers = []
    for layer in network.layers:
        kind, (v, u, fraction) = layer.neuron.kind, layer.neuron.formats
        own = lanes
        while own % (2 * units) == 0 and own // 2 >= layer.outputs:
            own //= 2
        widths = tuple(bits_of(int(x.min()), int(x.max())) for x in constants_of(layer).values())
        layers.append(
            LayerShape(
                kind, int(layer.weight.shape[1]), layer.outputs, layer.weight_bits,
                layer.current_format, v, u, fraction, layer.shift, layer.feedback is not None,
                widths, own, min(units, own), largest_input,
            )
        )  # fmt: skip
        largest_input = 1
    return CoreShape(tuple(layers), _readout(network.readout, steps), steps)


def _readout(readout: Readout | None, steps: int) -> ReadoutShape | None:
    if readout is None:
        return None
    multiplier, bias = (bits_of(int(x.min()), int(x.max())) for x in (readout.multiplier, readout.bias))
    outputs, inputs = readout.weight.shape
    return ReadoutShape(int(inputs), int(outputs), readout.weight_bits, multiplier, bias, steps)
