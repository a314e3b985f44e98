"""A network in integers, step by step and layer by layer, as the hardware runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ShapeError, shown
from izhi.hardware.fixed.arithmetic import FixedPoint, Integers, rounded_shift, saturated
from izhi.hardware.fixed.delay import DelayLine
from izhi.hardware.fixed.neuron import Neuron
from izhi.hardware.fixed.window import Pool, Window
from izhi.hardware.networks import Arrays

#: Steps of a run, and how often an input may fire in a step, at most: with these, scores and sums fit 64 bits.
MOST_STEPS, MOST_INPUT = 1_000_000, 255
_P = TypeVar("_P", bound="Part")


def summed(x: Integers, weight: NDArray[np.float64]) -> Integers:
    """Σ_i weight[j, i]·x_i, exactly: float64, which numpy multiplies many times as fast, holds such sums."""
    total: Integers = (x.astype(np.float64) @ weight.T).astype(np.int64)
    return total


def scaled(total: Integers, multiplier: Integers, shift: int, number: FixedPoint) -> Integers:
    """I of the accumulated weights: sat(round(A·multiplier / 2^shift))."""
    return saturated(rounded_shift(total * multiplier, shift), number)


def decayed(trace: Integers, total: Integers, decay: Integers, number: FixedPoint, fraction: int) -> Integers:
    """S of a synapse after a step: sat(A·2^Fs + round(decay·S / 2^F))."""
    return saturated((total << number.fraction) + rounded_shift(decay * trace, fraction), number)


@dataclass(frozen=True)
class Synapse:
    """A sum that decays, between the accumulated weights A and the current of a layer's neurons.

        S ← sat(A·2^Fs + round(decay·S / 2^F)),   I = sat(round(S·multiplier / 2^shift))

    Attributes:
        number: the format of S, whose fraction is Fs; S begins at 0.
        decay: (N,), with the fraction F of the neurons' coefficients.
    """

    number: FixedPoint
    decay: Integers


@dataclass(frozen=True)
class Part:
    """Weights of a layer or of a readout.

    Attributes:
        weight: (N, inputs), of weight_bits bits; of a convolution (channels, sources of its window).
        weight_bits: 2 to 8.
        window: where a convolution looks, whose weights are the same at every place; None for a matrix. Its neurons
            are ordered by channel, then by place, row by row.
        pools: through which everything goes that comes in, in their order.
    """

    weight: Integers
    weight_bits: int
    window: Window | None = field(default=None, kw_only=True)
    pools: tuple[Pool, ...] = field(default=(), kw_only=True)

    @cached_property
    def _weight(self) -> NDArray[np.float64]:
        return self.weight.astype(np.float64)

    @property
    def outputs(self) -> int:
        places = 1 if self.window is None else self.window.places
        return int(self.weight.shape[0]) * places

    @property
    def inputs(self) -> int:
        """What comes in, before the pools."""
        if self.pools:
            return self.pools[0].window.inputs
        return int(self.weight.shape[1]) if self.window is None else self.window.inputs

    def pooled(self, x: Integers) -> Integers:
        """What comes in, (n, inputs), behind the pools."""
        for pool in self.pools:
            x = pool.of(x)
        return x

    def most(self, before: int) -> int:
        """The largest number behind the pools where ``before`` is the largest before them."""
        for pool in self.pools:
            before = pool.most(before)
        return before

    def weighted(self, x: Integers) -> Integers:
        """Σ_i weight[j, i]·x_i of each neuron, (n, outputs), of what comes in, (n, inputs)."""
        return self.product(self.pooled(x))

    def product(self, x: Integers) -> Integers:
        """The same of what comes behind the pools."""
        if self.window is None:
            return summed(x, self._weight)
        total = self.window.columns(x) @ self._weight.T
        found: Integers = total.transpose(0, 2, 1).reshape(len(x), -1).astype(np.int64)
        return found

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest weight."""
        half = 1 << (self.weight_bits - 1)
        return -half, half - 1

    @property
    def learnable(self) -> dict[str, Integers]:
        """The arrays that a search may change."""
        return {"weight": self.weight}

    @property
    def change(self) -> float:
        """What a search takes for a change of one: a quarter of the weights' range."""
        return (1 << (self.weight_bits - 1)) / 2

    def rounded(self, values: NDArray[np.float64]) -> Integers:
        """The nearest weights."""
        return np.clip(np.rint(values), *self.limits).astype(np.int64)

    def drawn(self, random: np.random.Generator) -> dict[str, Integers]:
        """Other weights, over half their range."""
        quarter = max(1, 1 << (self.weight_bits - 2))
        return {"weight": random.integers(-quarter, quarter + 1, self.weight.shape)}


@dataclass(frozen=True)
class Layer(Part):
    """Weights, and the neurons that they drive.

        A = Σ_i weight[j, i]·x_i + Σ_k feedback[j, k]·z_k        z: the layer's spikes of the step before
        I = sat(round(A·multiplier / 2^shift))                   or as ``Synapse`` says

    With delays x_i is what came in delay_i steps before, and 0 in the first of them.

    Attributes:
        weight: (N, inputs), of weight_bits bits.
        weight_bits: 2 to 8.
        multiplier: (N,), 0 or more.
        shift: of the product.
        current_format: of I; its fraction is that of v.
        neuron: what is driven.
        feedback: (N, N) in the same bits, or None.
        synapse: or None.
        delay: steps by which each source behind the pools is late, or None.
    """

    multiplier: Integers
    shift: int
    current_format: FixedPoint
    neuron: Neuron
    feedback: Integers | None = None
    synapse: Synapse | None = field(default=None, kw_only=True)
    delay: Integers | None = field(default=None, kw_only=True)

    @cached_property
    def _feedback(self) -> NDArray[np.float64] | None:
        return None if self.feedback is None else self.feedback.astype(np.float64)

    def accumulated(self, x: Integers, own: Integers) -> Integers:
        """A, (batch, N), of what arrives (batch, sources) and the layer's own last spikes (batch, N)."""
        total = self.product(x)
        return total if self._feedback is None else total + summed(own, self._feedback)

    def filtered(self, total: Integers, trace: Integers) -> Integers:
        """What the current is made of, (batch, N), of A and of what this gave in the step before, at first 0."""
        if self.synapse is None:
            return total
        return decayed(trace, total, self.synapse.decay, self.synapse.number, self.neuron.fraction)

    def current(self, total: Integers) -> Integers:
        """I of what ``filtered`` gives."""
        return scaled(total, self.multiplier, self.shift, self.current_format)


@dataclass(frozen=True)
class Readout(Part):
    """Scores without neurons: score_j = Σ_t (multiplier_j·Σ_i weight[j, i]·x_i[t] + bias_j).

    Attributes:
        weight: (classes, inputs), of weight_bits bits.
        weight_bits: 2 to 8.
        multiplier: (classes,), 0 or more.
        bias: (classes,).
    """

    multiplier: Integers
    bias: Integers

    def scores(self, x: Integers) -> Integers:
        """What one step adds to the scores, (batch, classes)."""
        return self.weighted(x) * self.multiplier + self.bias


def _changed(part: _P, arrays: Arrays) -> _P:
    """A part with other arrays."""
    values: dict[str, Any] = dict(arrays)
    return replace(part, **values)


@dataclass(frozen=True)
class Network:
    """Layers in a row; the scores are the last layer's spike counts, or those of a readout.

    The class is that of the largest score, the first of them where several are equal.
    """

    layers: tuple[Layer, ...]
    readout: Readout | None = None

    @property
    def inputs(self) -> int:
        return self.parts[0].inputs

    @property
    def outputs(self) -> int:
        """Scores of a sample."""
        return self.parts[-1].outputs

    @property
    def parts(self) -> tuple[Part, ...]:
        """The layers, and the readout if there is one."""
        return self.layers if self.readout is None else (*self.layers, self.readout)

    @property
    def score_unit(self) -> float | None:
        """A spike, or None for a readout, whose scores are in units of its own."""
        return 1.0 if self.readout is None else None

    def with_arrays(self, changed: Mapping[int, Arrays]) -> Network:
        """A network with other arrays in some parts, by their numbers; the other parts are the same objects."""
        layers = tuple(_changed(layer, changed[k]) if k in changed else layer for k, layer in enumerate(self.layers))
        readout, last = self.readout, len(layers)
        if readout is not None and last in changed:
            readout = _changed(readout, changed[last])
        return Network(layers, readout)

    def with_weights(self, number: int, weight: NDArray[np.integer]) -> Network:
        """A network with other weights in one layer, or in the readout, which follows the last one.

        Raises:
            ShapeError: if there are more or fewer weights, or one has more bits.
        """
        if not 0 <= number < len(self.parts):
            raise ShapeError(f"layer is {number}, expected 0 to {len(self.parts) - 1}")
        old = self.parts[number]
        if weight.shape != old.weight.shape or weight.dtype.kind not in "iu":
            raise ShapeError(
                f"weights are {weight.dtype} of shape {weight.shape}, expected integers of shape {old.weight.shape}"
            )
        low, high = old.limits
        if weight.size and not (low <= weight.min() and weight.max() <= high):
            raise ShapeError(
                f"weights are {weight.min()} to {weight.max()}, expected {low} to {high}: {old.weight_bits} bits"
            )
        return self.with_arrays({number: {"weight": weight.astype(np.int64)}})


@dataclass(frozen=True)
class Trace:
    """What happened inside: of each layer accumulator, current, v, u and spikes, (T, batch, N) each."""

    accumulator: list[Integers] = field(default_factory=list)
    current: list[Integers] = field(default_factory=list)
    v: list[Integers] = field(default_factory=list)
    u: list[Integers] = field(default_factory=list)
    spikes: list[Integers] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What a network made of a batch.

    Attributes:
        scores: (batch, classes).
        spikes: of each layer, (T, batch, N), 0 or 1.
        trace: everything else, if it was asked for.
    """

    scores: Integers
    spikes: list[NDArray[np.uint8]]
    trace: Trace | None = None

    @property
    def classes(self) -> Integers:
        """The class of each sample, (batch,)."""
        found: Integers = self.scores.argmax(1)
        return found


def check_input(network: Network, spikes: NDArray[np.integer]) -> None:
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


def run(network: Network, spikes: NDArray[np.integer], *, trace: bool = False) -> Outcome:
    """Run spikes (T, batch, inputs) through the network; the specification, not the fast way."""
    check_input(network, spikes)
    steps, batch, _ = spikes.shape
    states = [layer.neuron.start(batch) for layer in network.layers]
    traces = [np.zeros((batch, layer.outputs), np.int64) for layer in network.layers]
    lines = [None if layer.delay is None else DelayLine(layer.delay, steps, batch) for layer in network.layers]
    last = [np.zeros((batch, layer.outputs), np.int64) for layer in network.layers]
    fired: list[list[NDArray[np.uint8]]] = [[] for _ in network.layers]
    seen = [Trace() for _ in network.layers]
    scores = np.zeros((batch, 0), np.int64)
    for t in range(steps):
        x = spikes[t].astype(np.int64)
        for k, layer in enumerate(network.layers):
            x, line = layer.pooled(x), lines[k]
            x = x if line is None else line.arriving(x).astype(np.int64)
            total = layer.accumulated(x, last[k])
            traces[k] = layer.filtered(total, traces[k])
            current = layer.current(traces[k])
            v, u, x = layer.neuron.step(*states[k], current)
            states[k], last[k] = (v, u), x
            fired[k].append(x.astype(np.uint8))
            if trace:
                seen[k].spikes.append(x)
                seen[k].accumulator.append(total)
                seen[k].current.append(current)
                seen[k].v.append(v)
                seen[k].u.append(u)
        step = x if network.readout is None else network.readout.scores(x)
        scores = step if t == 0 else scores + step
    return Outcome(scores, [np.stack(own) for own in fired], _stacked(seen) if trace else None)


def _stacked(seen: list[Trace]) -> Trace:
    names = ("accumulator", "current", "v", "u", "spikes")
    return Trace(*([np.stack(getattr(s, name)) for s in seen] for name in names))
