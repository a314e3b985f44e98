"""A network in integers, step by step and layer by layer, as the hardware runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError, ShapeError, shown
from izhi.hardware.fixed.arithmetic import FixedPoint, Integers, rounded_shift, saturated
from izhi.hardware.fixed.neuron import IntegerNeuron
from izhi.hardware.fixed.window import Connectivity, Pool, Window
from izhi.hardware.networks import HardwareNetwork, HardwareProjection

#: What the scores of a sample are: sums or maxima over its steps, those of its last step, or those of each step.
Reading: TypeAlias = Literal["sum", "max", "last", "steps"]
#: Most steps of a run, and most spikes of an input in a step: within these, scores and sums fit 64 bits.
MOST_STEPS, MOST_INPUT = 1_000_000, 255


def summed(x: Integers, weight: NDArray[np.float64]) -> Integers:
    """Σ_i weight[j, i]·x_i, exactly: float64 holds such sums, and numpy multiplies it many times as fast."""
    total: Integers = (x.astype(np.float64) @ weight.T).astype(np.int64)
    return total


def scaled(total: Integers, multiplier: Integers, shift: int, number: FixedPoint) -> Integers:
    """I of the accumulated weights: sat(round(A·multiplier / 2^shift))."""
    return saturated(rounded_shift(total * multiplier, shift), number)


def decayed(trace: Integers, total: Integers, decay: Integers, number: FixedPoint, fraction: int) -> Integers:
    """S of a synapse after a step: sat(A·2^Fs + round(decay·S / 2^F))."""
    return saturated((total << number.fraction) + rounded_shift(decay * trace, fraction), number)


@dataclass(frozen=True)
class IntegerSynapse:
    """A sum that decays, between the accumulated weights A and the current of a layer's neurons.

        S ← sat(A·2^Fs + round(decay·S / 2^F)),   I = sat(round(S·multiplier / 2^shift))

    Attributes:
        number: the format of S, whose fraction is Fs; S begins at 0.
        decay: (N,), with the fraction F of the neurons' coefficients.
    """

    number: FixedPoint
    decay: Integers


@dataclass(frozen=True)
class IntegerMembrane(IntegerSynapse):
    """A synapse between the accumulated weights of a readout and its current, which is its scores but for the bias.

    Attributes:
        fraction: F, that of ``decay``.
        shift: of the product with the readout's multiplier.
        current_format: of I.
    """

    fraction: int
    shift: int
    current_format: FixedPoint


@dataclass(frozen=True)
class IntegerProjection(Connectivity, HardwareProjection):
    """Weights of a layer or of a readout.

    Attributes:
        weight: (N, inputs), of weight_bits bits; of a convolution (channels, sources of its window).
        weight_bits: 2 to 8.
        window: of a convolution, or None for a matrix. Neurons are ordered by channel, then by position, row by row.
        pools: applied to the inputs in their order.
    """

    weight: Integers
    weight_bits: int
    window: Window | None = field(default=None, kw_only=True)
    pools: tuple[Pool, ...] = field(default=(), kw_only=True)

    @cached_property
    def _weight(self) -> NDArray[np.float64]:
        return self.weight.astype(np.float64)

    @cached_property
    def outputs(self) -> int:
        return int(self.weight.shape[0]) * self.places

    @cached_property
    def inputs(self) -> int:
        """Before the pools."""
        if self.pools:
            return self.pools[0].window.inputs
        return int(self.weight.shape[1]) if self.window is None else self.window.inputs

    def pooled(self, x: Integers) -> Integers:
        """Inputs (n, inputs) behind the pools, (n, features)."""
        for pool in self.pools:
            x = pool.apply(x)
        return x

    def product(self, x: Integers) -> Integers:
        """Σ_i weight[j, i]·x_i of each output, (n, outputs), of features (n, features)."""
        if self.window is None:
            return summed(x, self._weight)
        total = self.window.columns(x) @ self._weight.T
        by_channel: Integers = total.transpose(0, 2, 1).reshape(len(x), self.outputs).astype(np.int64)
        return by_channel

    @property
    def constants(self) -> dict[str, Integers]:
        """The constants of the outputs by name, (N,) each, in the order in which a core stores them."""
        return {}

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest weight."""
        half = 1 << (self.weight_bits - 1)
        return -half, half - 1

    @property
    def change(self) -> float:
        """By how much a change of one in a search changes a weight: a quarter of the weights' range."""
        return (1 << (self.weight_bits - 1)) / 2

    def rounded(self, values: NDArray[np.float64]) -> Integers:
        return np.clip(np.rint(values), *self.limits).astype(np.int64)

    def drawn(self, random: np.random.Generator) -> dict[str, Integers]:
        """Random weights over half their range."""
        quarter = max(1, 1 << (self.weight_bits - 2))
        return {"weight": random.integers(-quarter, quarter + 1, self.weight.shape)}

    def checked(self, weight: NDArray[np.integer]) -> Integers:
        if weight.shape != self.weight.shape or weight.dtype.kind not in "iu":
            raise ShapeError(
                f"weights are {weight.dtype} of shape {weight.shape}, expected integers of shape {self.weight.shape}"
            )
        low, high = self.limits
        if weight.size and not (low <= weight.min() and weight.max() <= high):
            raise ShapeError(
                f"weights are {weight.min()} to {weight.max()}, expected {low} to {high}: {self.weight_bits} bits"
            )
        return weight.astype(np.int64)


@dataclass(frozen=True)
class IntegerLayer(IntegerProjection):
    """Weights, and the neurons that they drive.

        A = Σ_i weight[j, i]·x_i + Σ_k feedback[j, k]·z_k        z: the layer's spikes of the step before
        I = sat(round(A·multiplier / 2^shift))                   or as ``IntegerSynapse`` says

    With delays x_i is the input of delay_i steps before, and 0 in the first steps.

    Attributes:
        multiplier: (N,), 0 or more.
        shift: of the product.
        current_format: of I; its fraction is that of v.
        neuron: the driven neurons.
        feedback: (N, N) in the same bits, or None.
        synapse: or None.
        delay: in steps, of each feature behind the pools, or None.
    """

    multiplier: Integers
    shift: int
    current_format: FixedPoint
    neuron: IntegerNeuron
    feedback: Integers | None = None
    synapse: IntegerSynapse | None = field(default=None, kw_only=True)
    delay: Integers | None = field(default=None, kw_only=True)

    @cached_property
    def _feedback(self) -> NDArray[np.float64] | None:
        return None if self.feedback is None else self.feedback.astype(np.float64)

    @property
    def constants(self) -> dict[str, Integers]:
        synapse = {} if self.synapse is None else {"decay": self.synapse.decay}
        return {"multiplier": self.multiplier, **synapse, **self.neuron.values}

    def accumulated(self, x: Integers, own: Integers) -> Integers:
        """A, (batch, N), of arriving spikes (batch, features) and the layer's own last spikes (batch, N)."""
        total = self.product(x)
        return total if self._feedback is None else total + summed(own, self._feedback)

    def filtered(self, total: Integers, trace: Integers) -> Integers:
        """The synapse's S, or A without a synapse, (batch, N), of A and of S before the step, at first 0."""
        if self.synapse is None:
            return total
        return decayed(trace, total, self.synapse.decay, self.synapse.number, self.neuron.fraction)

    def current(self, total: Integers) -> Integers:
        """I of the result of ``filtered``."""
        return scaled(total, self.multiplier, self.shift, self.current_format)


@dataclass(frozen=True)
class IntegerReadout(IntegerProjection):
    """Scores without neurons, of each step.

        A = Σ_i weight[j, i]·x_i,   score = multiplier·A + bias       or score = I + bias, I as ``IntegerSynapse`` says

    Attributes:
        multiplier: (classes,), 0 or more.
        bias: (classes,).
        membrane: or None.
    """

    multiplier: Integers
    bias: Integers
    membrane: IntegerMembrane | None = field(default=None, kw_only=True)

    @property
    def constants(self) -> dict[str, Integers]:
        decay = {} if self.membrane is None else {"decay": self.membrane.decay}
        return {"multiplier": self.multiplier, "bias": self.bias, **decay}

    def step(self, x: Integers, trace: Integers) -> tuple[Integers, Integers]:
        """The scores of a step and S after it, (batch, classes), of inputs (batch, inputs) and S before it, at first 0.

        Without a membrane S is not used.
        """
        total, own = self.product(self.pooled(x)), self.membrane
        if own is None:
            return total * self.multiplier + self.bias, trace
        trace = decayed(trace, total, own.decay, own.number, own.fraction)
        return scaled(trace, self.multiplier, own.shift, own.current_format) + self.bias, trace


@dataclass(frozen=True)
class IntegerNetwork(HardwareNetwork):
    """Layers in a row; the scores of a step are the last layer's spikes, or those of a readout.

    The class is that of the largest score, the first of them where several are equal.

    Attributes:
        reads: what the scores of a sample are, by those of its steps.
    """

    layers: tuple[IntegerLayer, ...]
    readout: IntegerReadout | None = None
    reads: Reading = "sum"

    def __post_init__(self) -> None:
        if self.reads not in get_args(Reading):
            raise ArtifactError(f"reads is {shown(self.reads)}, expected {', '.join(get_args(Reading))}")

    def read(self, scores: NDArray[np.integer]) -> Integers:
        """The scores of samples, of those of all steps (T, batch, classes).

        They are (batch, classes), or (batch, T, classes) of each step.
        """
        each: Integers = scores.astype(np.int64)
        read: Integers = {
            "sum": lambda: each.sum(0), "max": lambda: each.max(0), "last": lambda: each[-1],
            "steps": lambda: each.transpose(1, 0, 2),
        }[self.reads]()  # fmt: skip
        return read

    @property
    def projections(self) -> tuple[IntegerProjection, ...]:
        return self.layers if self.readout is None else (*self.layers, self.readout)

    @property
    def score_unit(self) -> float | None:
        """A spike, or None for a readout, whose scores are in units of its own."""
        return 1.0 if self.readout is None else None


@dataclass(frozen=True)
class IntegerTrace:
    """What each layer computes over time: accumulator, current and spikes, (T, batch, N), and the states.

    Attributes:
        states: (T, states, batch, N) of each layer.
    """

    accumulator: list[Integers]
    current: list[Integers]
    states: list[Integers]
    spikes: list[Integers]

    @property
    def v(self) -> list[Integers]:
        """The membrane potential, (T, batch, N)."""
        return [z[:, 0] for z in self.states]

    @property
    def u(self) -> list[Integers]:
        """The second state, (T, batch, N); 0 for neurons with one."""
        return [z[:, 1] if z.shape[1] > 1 else np.zeros_like(z[:, 0]) for z in self.states]


@dataclass(frozen=True)
class Outcome:
    """The result of a network for a batch.

    Attributes:
        scores: (batch, classes), or of each step (batch, T, classes).
        spikes: of each layer, (T, batch, N), 0 or 1.
        trace: the states over time, if they were requested.
    """

    scores: Integers
    spikes: list[NDArray[np.uint8]]
    trace: IntegerTrace | None = None

    @property
    def classes(self) -> Integers:
        """The class of each sample, (batch,), or of each step, (batch, T)."""
        largest: Integers = self.scores.argmax(-1)
        return largest


def check_input(network: IntegerNetwork, spikes: NDArray[np.integer]) -> None:
    """Raise ShapeError unless spikes are integers (T, batch, inputs) from 0 to 255, T of 1 to a million."""
    if not isinstance(spikes, np.ndarray):
        raise ShapeError(f"spikes are {shown(spikes)}, expected a numpy array of integers (T, batch, {network.inputs})")
    if spikes.ndim != 3 or spikes.shape[2] != network.inputs or not 1 <= spikes.shape[0] <= MOST_STEPS:
        raise ShapeError(
            f"spikes have shape {spikes.shape}, expected (T, batch, {network.inputs}) with T of at least 1"
            f" and at most {MOST_STEPS:,}"
        )
    if spikes.dtype.kind not in "iub" or (spikes.size and spikes.min() < 0):
        raise ShapeError(f"spikes are {spikes.dtype}, expected integers of 0 or more: how often each input fires")
    if spikes.size and spikes.max() > MOST_INPUT:
        raise ShapeError(f"an input fires {spikes.max()} times in a step, expected at most {MOST_INPUT}")


class DelayBuffer:
    """Spikes of each source arrive some steps later: y_i[t] = x_i[t − delay_i], and 0 before.

    Args:
        delay: in steps, of each source.
        steps: of a run; spikes that would arrive after its end are dropped.
        batch: samples.
    """

    def __init__(self, delay: Integers, steps: int, batch: int) -> None:
        self._delay, self._sources = delay, np.arange(len(delay))
        self._slots = np.zeros((min(int(delay.max()) + 1, steps), batch, len(delay)), np.uint8)
        self._step = 0

    def arriving(self, x: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Spikes (batch, sources) that arrive in the step in which ``x`` enters, of at most 255 each."""
        length = len(self._slots)
        self._slots[self._step % length] = x
        # Slots are 0 before their first spikes, so that no spike arrives in the first steps.
        delayed: NDArray[np.uint8] = self._slots[(self._step - self._delay) % length, :, self._sources].T
        self._step += 1
        return np.where(self._delay < length, delayed, np.uint8(0))


class _LayerRun:
    """A layer over time: its state, its delayed spikes, its spikes of all steps, and if wanted its trace."""

    def __init__(self, layer: IntegerLayer, steps: int, batch: int, trace: bool) -> None:
        self.layer, self.state = layer, layer.neuron.start(batch)
        self.sums = self.last = np.zeros((batch, layer.outputs), np.int64)
        self.buffer = None if layer.delay is None else DelayBuffer(layer.delay, steps, batch)
        self.spikes: list[NDArray[np.uint8]] = []
        self.traces, self.trace = trace, list[tuple[Integers, ...]]()

    def step(self, x: Integers) -> Integers:
        """Spikes (batch, N) of inputs (batch, inputs)."""
        layer, x = self.layer, self.layer.pooled(x)
        if self.buffer is not None:
            x = self.buffer.arriving(x).astype(np.int64)
        total = layer.accumulated(x, self.last)
        self.sums = layer.filtered(total, self.sums)
        current = layer.current(self.sums)
        self.state, self.last = layer.neuron.step(self.state, current)
        self.spikes.append(self.last.astype(np.uint8))
        if self.traces:
            self.trace.append((total, current, self.state, self.last))
        return self.last


def run(network: IntegerNetwork, spikes: NDArray[np.integer], *, trace: bool = False) -> Outcome:
    """Run spikes (T, batch, inputs) through the network; the specification, not the fastest implementation."""
    check_input(network, spikes)
    steps, batch, _ = spikes.shape
    layers = [_LayerRun(layer, steps, batch, trace) for layer in network.layers]
    scores, sums = list[Integers](), np.zeros((batch, network.outputs), np.int64)
    for t in range(steps):
        x = spikes[t].astype(np.int64)
        for layer in layers:
            x = layer.step(x)
        if network.readout is not None:
            x, sums = network.readout.step(x, sums)
        scores.append(x)
    series = [[np.stack(values) for values in zip(*layer.trace, strict=True)] for layer in layers]
    states = IntegerTrace(*([one[k] for one in series] for k in range(4))) if trace else None
    return Outcome(network.read(np.stack(scores)), [np.stack(layer.spikes) for layer in layers], states)
