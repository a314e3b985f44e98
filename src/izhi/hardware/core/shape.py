"""The description of a core: sizes, widths and formats of its layers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TypeAlias

from izhi.equation.graph import Symbol, rewritten
from izhi.equation.integers import FRACTION, INPUT, IntegerStep
from izhi.errors import SettingError
from izhi.hardware.fixed import NEURONS, FixedPoint, IntegerNeuron, Pool, Reading, Window
from izhi.hardware.fixed.arithmetic import Integers
from izhi.hardware.fixed.neuron import neuron_kind
from izhi.hardware.fixed.window import Connectivity

#: Layers that the four bits of a layer's number in a word of output can tell apart.
MOST_LAYERS = 16
#: Bits of each of two sources in one word.
PAIR_BITS = 14
#: Bits of the source in a word that counts its spikes.
COUNTED_BITS = 20
#: The shift behind the product with the multiplier, as the value of a shift in ``step_of``.
SHIFT = "shift"
#: Bits of a score.
SCORE_BITS = 32
#: Bits of a word of a memory, and words.
MemorySize: TypeAlias = tuple[int, int]


def bits_of(low: int, high: int) -> int:
    """Bits of a signed number that holds both."""
    return max(low.bit_length() if low >= 0 else (-low - 1).bit_length(), high.bit_length()) + 1


def bits_of_all(values: Integers) -> int:
    """Bits of a signed number that holds each of some integers."""
    return bits_of(int(values.min()), int(values.max()))


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def adds_pairs(layer: Connectivity, has_delays: bool) -> bool:
    """Whether a layer can add two spikes in a cycle."""
    return layer.window is None and not layer.pools and not has_delays and layer.inputs <= 1 << PAIR_BITS


@dataclass(frozen=True)
class LayerShape(Connectivity):
    """A layer of neurons.

    Attributes:
        kind: of the neurons, a name of ``fixed.NEURONS``.
        inputs, outputs: their numbers.
        weight_bits: of a weight.
        current, v, u: formats of the states; u is that of v for neurons without u.
        fraction: bits behind the point of the coefficients.
        shift: of the product with the multiplier.
        recurrent: whether the layer has feedback from its own spikes.
        constants: bits of each signed constant, in the order of ``names``.
        lanes: weights that are added in a cycle.
        units: neurons that are updated in a cycle; a divisor of lanes.
        largest_input: most spikes of an input in a step.
        trace: format of a synapse's sums, or None.
        delay: the longest, in steps, of the features behind the pools; 0 for none.
        window: of a convolution, or None.
        pools: applied to the inputs.
        spikes: that are added in a cycle, 1 or 2, each of another input; 2 only without delays, window and pools, and
            where an input fires once in a step.
        others: formats of a third state and of more.
        step, initial: of neurons whose kind has no name, see ``IntegerNeuron``.

    Raises:
        SettingError: for lanes, units, spikes or inputs that no core has.
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
    others: tuple[FixedPoint, ...] = field(default=(), repr=False)
    step: IntegerStep | None = field(default=None, repr=False)
    initial: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.lanes < 1 or self.units < 1 or self.lanes % self.units:
            raise SettingError(f"lanes is {self.lanes} and units is {self.units}, expected units that divide lanes")
        if self.spikes not in (1, 2):
            raise SettingError(f"spikes is {self.spikes}, expected 1 or 2 that are added at once")
        if self.pools and self.largest_input > 1:
            raise SettingError(
                f"an input fires up to {self.largest_input} times in a step, but is behind a pool, which takes single"
                " spikes; use 1"
            )
        if self.spikes == 2 and self.largest_input > 1:
            raise SettingError(
                "spikes is 2, but an input fires several times in a step, whose spikes are added at once; use 1"
            )
        if self.spikes == 2 and not adds_pairs(self, bool(self.delay)):
            raise SettingError(
                "spikes is 2, but the first layer has delays, pools, a convolution or more than"
                f" {1 << PAIR_BITS:,} inputs, where they are added one by one; use 1"
            )

    @property
    def neuron(self) -> type[IntegerNeuron]:
        """The kind of the neurons."""
        return NEURONS[self.kind] if self.step is None else neuron_kind(self.kind, self.step, self.initial)

    @property
    def states(self) -> dict[str, FixedPoint]:
        """The formats of the neurons' states by name."""
        return dict(zip(self.neuron.states(), (self.v, self.u, *self.others), strict=False))

    @property
    def kept(self) -> dict[str, FixedPoint]:
        """The formats of what is kept from step to step: the states, and the ``trace`` of a synapse."""
        return {**self.states, **({} if self.trace is None else {"trace": self.trace})}

    @property
    def numbers(self) -> dict[str, FixedPoint]:
        """The formats of what is kept, and of the ``current``."""
        return {**self.kept, "current": self.current}

    @property
    def fractions(self) -> dict[str, int]:
        """Bits behind the point of these, and of the coefficients; that of the multiplier's product is its shift."""
        return {**{name: x.fraction for name, x in self.numbers.items()}, FRACTION: self.fraction, SHIFT: self.shift}

    @property
    def largest(self) -> int:
        """Most spikes of a feature in a step."""
        return self.most(self.largest_input)

    @property
    def most_at_once(self) -> int:
        """Most spikes of a feature that are added at once; delays add up those that arrive in a step."""
        return self.largest if self.delay else self.largest_input

    @property
    def groups(self) -> int:
        """Words of weights, and cycles, of a spike at each position of the window that covers it."""
        return ceil_div(self.channels, self.lanes)

    @property
    def sums(self) -> int:
        """Words of sums: of all groups at each position."""
        return self.places * self.groups

    @property
    def feedback(self) -> int:
        """The layer's own neurons as sources."""
        return self.outputs if self.recurrent else 0

    @property
    def sources(self) -> int:
        """Rows of weights: of a window or of the features, then of the layer's own neurons."""
        return self.fan_in + self.feedback

    @property
    def accumulator_bits(self) -> int:
        """Of a sum over one step, which then never overflows."""
        most = (self.fan_in * self.largest + self.feedback) << (self.weight_bits - 1)
        return bits_of(-most, most)

    @property
    def addend_bits(self) -> int:
        """Of the number that is added to a sum in a cycle."""
        at_once = self.most_at_once
        return self.weight_bits + (at_once.bit_length() if at_once > 1 else self.spikes - 1)

    @property
    def rows(self) -> int:
        """Cycles in which the neurons of a position are updated."""
        return ceil_div(self.channels, self.units)

    @property
    def updates(self) -> int:
        """Cycles in which neurons are updated in a step."""
        return self.places * self.rows

    @property
    def weight_memory(self) -> MemorySize:
        return self.lanes * self.weight_bits, self.sources * self.groups

    @property
    def constant_memory(self) -> MemorySize:
        """Its words serve every position."""
        return self.units * sum(self.constants), self.rows

    @property
    def memories(self) -> list[tuple[str, MemorySize]]:
        """What each memory holds, and its size."""
        delays = [("delays", (self.delay.bit_length(), self.features))] if self.delay else []
        return [("weights", self.weight_memory), ("constants", self.constant_memory), *delays]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the constants, in the order of ``IntegerLayer.constants``."""
        return ("multiplier", *(() if self.trace is None else ("decay",)), *self.neuron.names())

    @property
    def bits(self) -> dict[str, int]:
        """Bits of each constant by name."""
        return dict(zip(self.names, self.constants, strict=True))


def step_of(shape: LayerShape) -> dict[str, Symbol]:
    """What a layer computes in a step, by name: each state and the ``trace`` of a synapse after it, and ``fired``.

    Variables are the constants and states by name, and ``sum``.
    """
    operations = shape.neuron.operations
    graph, results = operations.spike.graph, dict[str, Symbol]()
    total = graph.variable("sum")
    if shape.trace is not None:
        kept = graph.node("shift", graph.variable("decay") * graph.variable("trace"), value=FRACTION)
        total = graph.node("saturated", graph.node("aligned", total, value=f"trace {FRACTION}") + kept, value="trace")
        results["trace"] = total
    product = graph.node("shift", total * graph.variable("multiplier"), value=SHIFT)
    current = graph.node("saturated", product, value="current")

    def change(node: Symbol, args: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
        if node.op == "variable" and node.value == INPUT:
            return current
        return _selected(args) if node.op == "select" else args

    *after, fired = rewritten(operations.results, change)
    return {**results, **dict(zip(operations.states, after, strict=True)), "fired": fired}


def _selected(args: tuple[Symbol, ...]) -> Symbol | tuple[Symbol, ...]:
    """A selection of two sums with an operand in common adds it behind the selection: one adder in place of two."""
    condition, *branches = args
    graph, zero = condition.graph, condition.graph.constant(0.0)

    def remainders(node: Symbol) -> dict[tuple[Symbol, str], Symbol]:
        """What is added to an operand, or subtracted from it, by the operand and the sign."""
        alone = {(node, "+"): zero, (node, "-"): zero}
        if node.op not in ("+", "-"):
            return alone
        a, b = node.args
        return {(a, node.op): b} | ({(b, "+"): a} if node.op == "+" else {}) | alone

    first, second = map(remainders, branches)
    for x, sign in first:
        if (x, sign) in second and x.op != "constant" and any(y.op in ("+", "-") for y in branches):
            selected = graph.node("select", condition, first[x, sign], second[x, sign])
            return x + selected if sign == "+" else x - selected
    return args


@dataclass(frozen=True)
class MembraneShape:
    """The membrane of a readout.

    Attributes:
        trace, current: formats of its sums and of its currents.
        fraction: bits behind the point of the decay.
        shift: of the product with the multiplier.
        decay_bits: of the signed decay.
    """

    trace: FixedPoint
    current: FixedPoint
    fraction: int
    shift: int
    decay_bits: int


@dataclass(frozen=True)
class ReadoutShape(Connectivity):
    """A readout without neurons.

    Attributes:
        inputs, outputs: their numbers.
        weight_bits: of a weight.
        multiplier_bits, bias_bits: of the signed constants.
        steps: the most steps of an inference.
        largest_input: most spikes of an input in a step.
        pools: applied to the inputs.
        membrane: or None.
        reads: what the scores are of those of the steps: ``sum``, ``max`` or ``last``.
    """

    inputs: int
    outputs: int
    weight_bits: int
    multiplier_bits: int
    bias_bits: int
    steps: int
    largest_input: int = 1
    pools: tuple[Pool, ...] = ()
    membrane: MembraneShape | None = field(default=None, repr=False)
    reads: Reading = field(default="sum", repr=False)

    @property
    def is_stepwise(self) -> bool:
        """Whether it computes the scores of each step."""
        return self.membrane is not None or self.reads != "sum"

    @property
    def window(self) -> None:
        """A readout has no convolution."""

    @property
    def bits(self) -> dict[str, int]:
        """Bits of each constant by name."""
        decay = {} if self.membrane is None else {"decay": self.membrane.decay_bits}
        return {"multiplier": self.multiplier_bits, "bias": self.bias_bits, **decay}

    @property
    def weight_memory(self) -> MemorySize:
        return self.outputs * self.weight_bits, self.features

    @property
    def constant_memory(self) -> MemorySize:
        return sum(self.bits.values()), self.outputs

    @property
    def accumulator_bits(self) -> int:
        """Of a sum over all steps, or over one if it computes the scores of each."""
        return bits_of(-self._largest_sum, self._largest_sum)

    @property
    def score_bits(self) -> int:
        """Of a score."""
        if self.membrane is not None:
            most, steps = -self.membrane.current.lowest, 1
        else:
            most, steps = self._largest_sum * ((1 << (self.multiplier_bits - 1)) - 1), self._summed
        most += steps << (self.bias_bits - 1)
        most *= self.steps if self.is_stepwise and self.reads == "sum" else 1
        return bits_of(-most, most)

    @property
    def _summed(self) -> int:
        """Steps over which weights are added up."""
        return 1 if self.is_stepwise else self.steps

    @property
    def _largest_sum(self) -> int:
        return self._summed * self.features * self.most(self.largest_input) << (self.weight_bits - 1)

    @property
    def memories(self) -> list[tuple[str, MemorySize]]:
        """What each memory holds, and its size."""
        return [("weights", self.weight_memory), ("constants", self.constant_memory)]


@dataclass(frozen=True)
class CoreShape:
    """Layers in a row, and a readout or counters of the last layer's spikes.

    Attributes:
        layers: 1 to MOST_LAYERS.
        readout: or None, to count the last layer's spikes.
        steps: the most steps of an inference.

    Raises:
        SettingError: for another number of layers, or neurons that fire several times in a step.
    """

    layers: tuple[LayerShape, ...]
    readout: ReadoutShape | None
    steps: int

    def __post_init__(self) -> None:
        require_layers(len(self.layers))
        for number, layer in enumerate(self.layers[1:], start=2):
            if layer.largest_input > 1:
                raise SettingError(
                    f"inputs of layer {number} fire up to {layer.largest_input} times in a step, but they are neurons,"
                    " which fire once; use 1"
                )

    @property
    def projections(self) -> tuple[LayerShape | ReadoutShape, ...]:
        """The layers, and the readout if there is one."""
        return self.layers if self.readout is None else (*self.layers, self.readout)

    @property
    def sizes(self) -> list[int]:
        """Inputs, neurons of each layer, and with a readout its classes."""
        return [self.layers[0].inputs, *(x.outputs for x in self.projections)]

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """What each memory holds, bits of a word, and words; in the order of their numbers."""
        names = [f"layer {number}" for number in range(1, len(self.layers) + 1)] + ["the readout"]
        return [
            (f"{content} of {name}", *size)
            for name, projection in zip(names, self.projections, strict=False)
            for content, size in projection.memories
        ]

    def memory_of(self, number: int) -> int:
        """The number of the memory of the weights of a layer, or of the readout behind them."""
        return sum(len(layer.memories) for layer in self.layers[:number])

    @property
    def scores(self) -> int:
        """Scores of a sample."""
        return self.projections[-1].outputs


def identity(shape: CoreShape) -> str:
    """Text by which shapes differ: the repr, whose names are those of files, and what older cores do not have."""
    steps: list[object] = [(x.step.text, x.initial, x.others) for x in shape.layers if x.step is not None]
    steps += [x.most_at_once for x in shape.layers if x.most_at_once > 1]
    r = shape.readout
    steps += [(r.membrane, r.reads)] if r is not None and r.is_stepwise else []
    return repr(shape) + "".join(map(repr, steps))


def fingerprint(shape: CoreShape) -> int:
    """32 bits by which shapes differ, which a core has in a register."""
    return int.from_bytes(hashlib.sha256(identity(shape).encode()).digest()[:4], "little")


def require_layers(count: int) -> None:
    """Raise SettingError for a number of layers that no core has."""
    if not 1 <= count <= MOST_LAYERS:
        raise SettingError(f"the network has {count} layers of neurons, expected 1 to {MOST_LAYERS}")


def require_score(readout: ReadoutShape) -> None:
    """Raise SettingError for scores that may take more bits than those of a core have."""
    if readout.score_bits > SCORE_BITS:
        raise SettingError(f"scores may take {readout.score_bits} bits, expected at most {SCORE_BITS}; use fewer steps")
