"""What a core is built for: sizes, widths and formats of its layers, chosen or taken from an artifact."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from izhi.errors import SettingError
from izhi.hardware.fixed import NEURONS, FixedPoint, Layer, Network, Pool, Readout, Window
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.network import MOST_INPUT
from izhi.hardware.networks import GRADED

#: What the four bits for a layer's number in a word that comes out can tell apart.
MOST_LAYERS = 16
#: Bits of each of two sources in one word.
PAIR_BITS = 14


def bits_of(low: int, high: int) -> int:
    """Bits of a signed number that holds both."""
    return max(low.bit_length() if low >= 0 else (-low - 1).bit_length(), high.bit_length()) + 1


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def names_of(kind: str, has_synapse: bool) -> tuple[str, ...]:
    """The constants of a layer's neurons, in the order in which a core stores them."""
    return ("multiplier", *(["decay"] if has_synapse else []), *NEURONS[kind].names())


def behind(pools: tuple[Pool, ...], inputs: int) -> int:
    """Features that pools leave of so many."""
    return pools[-1].outputs if pools else inputs


def _most(pools: tuple[Pool, ...], most: int) -> int:
    for pool in pools:
        most = pool.most(most)
    return most


def _pairs(inputs: int, has_delays: bool, window: Window | None, pools: tuple[Pool, ...]) -> bool:
    """Whether a layer can add two spikes at once."""
    return window is None and not pools and not has_delays and inputs <= 1 << PAIR_BITS


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
        trace: format of a synapse's sums, or None.
        delay: the longest, in steps, of the features behind the pools; 0 for none.
        window: where a convolution looks, or None.
        pools: what comes in goes through.
        spikes: that are added at once, 1 or 2; 2 without delays, window and pools alone.
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
    trace: FixedPoint | None = None
    delay: int = 0
    window: Window | None = None
    pools: tuple[Pool, ...] = ()
    spikes: int = 1

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.units < 1 or self.lanes % self.units:
            raise SettingError(f"lanes is {self.lanes} and units is {self.units}, expected units that divide lanes")
        if self.spikes not in (1, 2):
            raise SettingError(f"spikes is {self.spikes}, expected 1 or 2 that are added at once")
        if self.spikes == 2 and not _pairs(self.inputs, bool(self.delay), self.window, self.pools):
            raise SettingError(
                "spikes is 2, but the first layer has delays, pools, a convolution or more than"
                f" {1 << PAIR_BITS:,} inputs, where they are added one by one; use 1"
            )

    @property
    def features(self) -> int:
        """What is left behind the pools."""
        return behind(self.pools, self.inputs)

    @property
    def most(self) -> int:
        """How often one of those may fire in a step."""
        return _most(self.pools, self.largest_input)

    @property
    def places(self) -> int:
        """Of a convolution's window; 1 of a matrix."""
        return 1 if self.window is None else self.window.places

    @property
    def channels(self) -> int:
        """Neurons at a place."""
        return self.outputs // self.places

    @property
    def groups(self) -> int:
        """Words of weights, and cycles, that a spike takes at each place that sees it."""
        return ceil_div(self.channels, self.lanes)

    @property
    def sums(self) -> int:
        """Words of sums: of all groups of each place."""
        return self.places * self.groups

    @property
    def sources(self) -> int:
        """Rows of weights: of a window, or of the features, and of the layer's own neurons where they come back."""
        own = self.features if self.window is None else self.window.sources
        return own + (self.outputs if self.recurrent else 0)

    @property
    def accumulator_bits(self) -> int:
        """Of a sum over one step, which can then never overflow."""
        half, own = 1 << (self.weight_bits - 1), self.outputs if self.recurrent else 0
        most = half * ((self.sources - own) * self.most + own)
        return bits_of(-most, most)

    @property
    def addend_bits(self) -> int:
        """Of what is added to a sum at once."""
        return self.weight_bits + self.spikes - 1

    @property
    def rows(self) -> int:
        """Cycles in which the neurons of a place are updated."""
        return ceil_div(self.channels, self.units)

    @property
    def updates(self) -> int:
        """Cycles in which neurons are updated in a step."""
        return self.places * self.rows

    @property
    def weight_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.lanes * self.weight_bits, self.sources * self.groups

    @property
    def constant_memory(self) -> tuple[int, int]:
        """Bits of a word, and words, which are the same at every place."""
        return self.units * sum(self.constants), self.rows

    @property
    def memories(self) -> list[tuple[str, tuple[int, int]]]:
        """What each memory holds, with bits of a word, and words."""
        found = [("weights", self.weight_memory), ("constants", self.constant_memory)]
        return [*found, ("delays", (self.delay.bit_length(), self.features))] if self.delay else found

    @property
    def names(self) -> tuple[str, ...]:
        """Of the constants, in the order in which they are stored; the first ones are the layer's."""
        return names_of(self.kind, self.trace is not None)


@dataclass(frozen=True)
class ReadoutShape:
    """A readout without neurons.

    Attributes:
        inputs, outputs: how many there are.
        weight_bits: of a weight.
        multiplier_bits, bias_bits: of the signed constants.
        steps: the most steps of an inference.
        largest_input: how often one input may fire in a step.
        pools: what comes in goes through.
    """

    inputs: int
    outputs: int
    weight_bits: int
    multiplier_bits: int
    bias_bits: int
    steps: int
    largest_input: int = 1
    pools: tuple[Pool, ...] = ()

    @property
    def features(self) -> int:
        """What is left behind the pools."""
        return behind(self.pools, self.inputs)

    @property
    def weight_memory(self) -> tuple[int, int]:
        """Bits of a word, and words."""
        return self.outputs * self.weight_bits, self.features

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
        return self.steps * self.features * _most(self.pools, self.largest_input) << (self.weight_bits - 1)

    @property
    def memories(self) -> list[tuple[str, tuple[int, int]]]:
        """What each memory holds, with bits of a word, and words."""
        return [("weights", self.weight_memory), ("constants", self.constant_memory)]


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
        return [(f"{what} of {name}", *memory) for name, part in parts for what, memory in part.memories]

    def memory_of(self, number: int) -> int:
        """The number of the memory that has the weights of a layer, or of the readout behind them."""
        return sum(len(layer.memories) for layer in self.layers[:number])

    @property
    def scores(self) -> int:
        """How many there are."""
        return self.layers[-1].outputs if self.readout is None else self.readout.outputs


def fingerprint(shape: CoreShape) -> int:
    """32 bits that tell shapes apart; a core has them in a register."""
    return int.from_bytes(hashlib.sha256(repr(shape).encode()).digest()[:4], "little")


def _all_constants(layer: Layer) -> dict[str, Integers]:
    """The constants of a layer's neurons by name, (N,) each."""
    synapse = {} if layer.synapse is None else {"decay": layer.synapse.decay}
    return {"multiplier": layer.multiplier, **synapse, **layer.neuron.values}


def constants_of(layer: Layer) -> dict[str, Integers]:
    """Those of a place, (channels,) each; of a matrix all."""
    places = 1 if layer.window is None else layer.window.places
    return {name: values[::places] for name, values in _all_constants(layer).items()}


def largest_input(encoding: Mapping[str, object]) -> int:
    """How often an input may fire in a step, by the settings of an encoding."""
    levels = encoding.get("levels")
    if encoding.get("encoding") in GRADED and isinstance(levels, int):
        return levels
    return MOST_INPUT if encoding.get("counts") else 1


def require_core(network: Network, *, largest_input: int = 1) -> None:
    """Raise SettingError for a network that no core runs, naming what to change.

    Args:
        network: in integers.
        largest_input: how often one input may fire in a step.
    """
    if not 1 <= len(network.layers) <= MOST_LAYERS:
        raise SettingError(f"the network has {len(network.layers)} layers of neurons, expected 1 to {MOST_LAYERS}")
    for number, part in enumerate(network.parts, start=1):
        where = f"part {number} of the network"
        for pool in part.pools:
            _require_pool(where, pool, largest_input)
            largest_input = pool.most(largest_input)
        if isinstance(part, Layer) and part.window is not None:
            _require_equal(where, part)
        largest_input = 1


def _require_pool(where: str, pool: Pool, most: int) -> None:
    (kh, kw), (sh, sw) = pool.window.kernel, pool.window.stride
    if kh > sh or kw > sw:
        raise SettingError(
            f"{where} is behind a pool of {kh} × {kw} that moves by {sh} × {sw}, whose windows overlap; let it move by"
            " its size"
        )
    if pool.kind == "max" and most > 1:
        raise SettingError(
            f"{where} is behind a pool of the largest of counts, which the core does not have; use the mean, or spikes"
        )


def _require_equal(where: str, layer: Layer) -> None:
    first, places = constants_of(layer), layer.outputs // len(layer.weight)
    for name, values in _all_constants(layer).items():
        if not np.array_equal(np.repeat(first[name], places), values):
            raise SettingError(
                f"{where} is a convolution whose {name} differs between places, but the core has one for each"
                " channel; learn it for each channel, or for all"
            )


def takes_pairs(network: Network) -> bool:
    """Whether two spikes of the input can be added at once."""
    first = network.layers[0]
    return _pairs(first.inputs, first.delay is not None, first.window, first.pools)


def shape_of(
    network: Network, steps: int, *, lanes: int = 32, units: int = 2, largest_input: int = 1, spikes: int = 1
) -> CoreShape:
    """The shape of a network in integers.

    Args:
        network: with at least one layer of neurons.
        steps: the most steps of an inference.
        lanes: neurons that an arriving spike reaches in a cycle; fewer in narrow layers.
        units: neurons that are updated in a cycle.
        largest_input: how often one input may fire in a step.
        spikes: of the input that are added at once, 1 or 2.

    Raises:
        SettingError: for a network that no core runs.
    """
    require_core(network, largest_input=largest_input)
    layers = list[LayerShape]()
    for layer in network.layers:
        kind, (v, u, fraction) = layer.neuron.kind, layer.neuron.formats
        own, constants = lanes, constants_of(layer)
        while own % (2 * units) == 0 and own // 2 >= len(constants["multiplier"]):
            own //= 2
        widths = tuple(bits_of(int(x.min()), int(x.max())) for x in constants.values())
        layers.append(
            LayerShape(
                kind, layer.inputs, layer.outputs, layer.weight_bits,
                layer.current_format, v, u, fraction, layer.shift, layer.feedback is not None,
                widths, own, min(units, own), largest_input,
                None if layer.synapse is None else layer.synapse.number,
                0 if layer.delay is None else max(1, int(layer.delay.max())), layer.window, layer.pools,
                1 if layers else spikes,
            )
        )  # fmt: skip
        largest_input = 1
    return CoreShape(tuple(layers), _readout(network.readout, steps), steps)


def _readout(readout: Readout | None, steps: int) -> ReadoutShape | None:
    if readout is None:
        return None
    multiplier, bias = (bits_of(int(x.min()), int(x.max())) for x in (readout.multiplier, readout.bias))
    return ReadoutShape(
        readout.inputs, readout.outputs, readout.weight_bits, multiplier, bias, steps, pools=readout.pools
    )
