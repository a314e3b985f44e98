"""The integer model at speed: Numba, event by event, samples in parallel; equal to ``fixed.run``.

The functions of ``fixed`` are compiled for single numbers. Work is proportional to spikes, as in the hardware: each
adds a row of weights to the accumulators.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numba import njit
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from izhi.compiled import inlined, kept
from izhi.hardware.fixed import arithmetic, network as networks
from izhi.hardware.fixed.arithmetic import FixedPoint
from izhi.hardware.fixed.compiled import Value, source_number
from izhi.hardware.fixed.network import (
    DelayBuffer,
    IntegerLayer,
    IntegerMembrane,
    IntegerNetwork,
    IntegerProjection,
    IntegerReadout,
    Outcome,
    Reading,
    check_input,
    decayed,
    scaled,
)

#: Samples that one thread runs at a time.
_BATCH = 16

for _function in (scaled, decayed):
    register_jitable(_function)


def _at(arrays: Value, j: Value) -> Value:
    """Element j of each array of a tuple; only its overload runs."""
    raise NotImplementedError


@overload(_at, strict=False)  # type: ignore[untyped-decorator]
def _overload_at(arrays: Value, j: Value) -> Value:
    if len(arrays) == 0:
        return lambda arrays, j: ()
    return lambda arrays, j: (arrays[0][j], *_at(arrays[1:], j))


@kept
@njit(nogil=True)  # type: ignore[untyped-decorator]
def _accumulate(x: Value, weight: Value, total: Value) -> None:
    for i in range(len(x)):
        times = np.int32(x[i])
        if times != 0:
            row = weight[i]
            if times == 1:
                for j in range(len(total)):
                    total[j] += row[j]
            else:
                for j in range(len(total)):
                    total[j] += times * row[j]


@kept
@njit(nogil=True)  # type: ignore[untyped-decorator]
def _convolve(x: Value, weight: Value, window: Value, total: Value) -> None:
    """Add each spike's weights (channels, kernel height, kernel width, N) at the positions whose window covers it."""
    height, width, down, across, (stride_y, stride_x), (pad_y, pad_x) = window
    for c in range(weight.shape[0]):
        for place in range(height * width):
            times = np.int32(x[c * height * width + place])
            if times == 0:
                continue
            for ky in range(weight.shape[1]):
                y = place // width + pad_y - ky
                if y < 0 or y % stride_y or y // stride_y >= down:
                    continue
                for kx in range(weight.shape[2]):
                    z = place % width + pad_x - kx
                    if z < 0 or z % stride_x or z // stride_x >= across:
                        continue
                    row, into = weight[c, ky, kx], total[y // stride_y * across + z // stride_x]
                    for n in range(len(row)):
                        into[n] += times * row[n]


def _add(x: Value, weight: Value, window: Value, total: Value) -> None:
    """Add the weights of spikes (sources,) to sums (N,), which are 0; ``window`` is () for a matrix."""
    raise NotImplementedError


@overload(_add, strict=False)  # type: ignore[untyped-decorator]
def _overload_add(x: Value, weight: Value, window: Value, total: Value) -> Value:
    def convolve(x: Value, weight: Value, window: Value, total: Value) -> None:
        by_place = np.zeros((len(total) // weight.shape[3], weight.shape[3]), np.int32)
        _convolve(x, weight, window, by_place)
        total[:] = by_place.T.copy().reshape(-1)

    return convolve if len(window) else lambda x, weight, window, total: _accumulate(x, weight, total)


@cache
def _advance(update: Value) -> Value:
    """One step of a layer's neurons, compiled with its caller: their sums (N,) → the spikes out (N,).

    ``trace`` is that of a synapse, whose decay (N,) and format ``filter`` has; without one it has no elements.
    """
    register_jitable(update)

    @inlined
    def advance(
        total: Value, filter_: Value, trace: Value, scale: Value, z: Value, formats: Value, fraction: Value,
        constants: Value, out: Value,
    ) -> None:  # fmt: skip
        decay, of_trace = filter_
        multiplier, shift, number = scale
        for j in range(len(out)):
            arrived = np.int64(total[j])
            if len(trace) > 0:
                arrived = decayed(trace[j], arrived, decay[j], of_trace, fraction)
                trace[j] = arrived
            current = scaled(arrived, multiplier[j], shift, number)
            out[j] = update(z[:, j], current, formats, fraction, _at(constants, j))

    return advance


@cache
def _layer(update: Value) -> Value:
    """A layer of neurons over all steps, compiled; ``update`` is that of their class."""
    made_of, advance = source_number(arithmetic, networks, text=update.__code__.co_filename), _advance(update)

    @kept
    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def layer(
        x: Value, weight: Value, window: Value, feedback: Value, recurrent: Value, filter_: Value, trace: Value,
        scale: Value, z: Value, formats: Value, fraction: Value, constants: Value, out: Value,
    ) -> int:  # fmt: skip
        steps, batch, _ = x.shape
        total = np.zeros(out.shape[2], np.int32)
        for b in range(batch):
            for t in range(steps):
                total[:] = 0
                _add(x[t, b], weight, window, total)
                if recurrent and t > 0:
                    _accumulate(out[t - 1, b], feedback, total)
                advance(total, filter_, trace[b], scale, z[:, b], formats, fraction, constants, out[t, b])
        return made_of

    return layer


@kept
@njit(nogil=True)  # type: ignore[untyped-decorator]
def _readout(
    x: Value, weight: Value, filter_: Value, trace: Value, scale: Value, bias: Value, reading: Value, out: Value
) -> None:
    """Fill scores (batch, 1 or T, classes); ``trace`` and ``filter_`` are as in ``_advance``, with the fraction.

    A score is added to the one before if ``reading`` is 1, and is the larger of both if it is 2.
    """
    steps, batch, _ = x.shape
    decay, of_trace, fraction = filter_
    multiplier, shift, number = scale
    total = np.zeros(out.shape[2], np.int64)
    for b in range(batch):
        for t in range(steps):
            total[:] = 0
            _accumulate(x[t, b], weight, total)
            scores = out[b, min(t, out.shape[1] - 1)]
            for j in range(len(total)):
                score = total[j] * multiplier[j]
                if len(trace[b]) > 0:
                    trace[b, j] = decayed(trace[b, j], total[j], decay[j], of_trace, fraction)
                    score = scaled(trace[b, j], multiplier[j], shift, number)
                score += bias[j]
                if t > 0 and reading == 1:
                    score += scores[j]
                elif t > 0 and reading == 2:
                    score = max(score, scores[j])
                scores[j] = score


class _Kernel:
    """A layer as its kernel takes it: weights by source, constants as tuples of arrays."""

    def __init__(self, layer: IntegerLayer) -> None:
        self._layer, window = layer, layer.window
        self._kernel = _layer(type(layer.neuron).update)
        by_source, self._window = layer.weight.T, tuple[object, ...]()
        if window is not None:
            by_source = by_source.reshape(window.channels, *window.kernel, -1)
            self._window = (window.height, window.width, window.down, window.across, window.stride, window.padding)
        self._weight = np.ascontiguousarray(by_source.astype(np.int32))
        feedback = np.zeros((0, 0)) if layer.feedback is None else layer.feedback.T
        self._feedback = np.ascontiguousarray(feedback.astype(np.int32))

    def run(self, arriving: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Fill the spikes (T, batch, N) of the layer for those that arrive."""
        layer, synapse = self._layer, self._layer.synapse
        arriving = _delayed(layer, _pooled(layer, arriving))
        batch = arriving.shape[1]
        trace = np.zeros((batch, 0 if synapse is None else layer.outputs), np.int64)
        self._kernel(
            arriving, self._weight, self._window, self._feedback, layer.feedback is not None,
            (layer.multiplier, layer.current_format) if synapse is None else (synapse.decay, synapse.number), trace,
            (layer.multiplier, layer.shift, layer.current_format), layer.neuron.start(batch), *layer.neuron.arguments,
            out,
        )  # fmt: skip


class _ReadoutKernel:
    """A readout as its kernel takes it."""

    def __init__(self, readout: IntegerReadout, reads: Reading) -> None:
        self._readout, self._reading = readout, {"sum": 1, "max": 2}.get(reads, 0)
        self._weight = np.ascontiguousarray(readout.weight.T.astype(np.int32))

    def run(self, arriving: NDArray[np.uint8], out: NDArray[np.int64]) -> None:
        """Fill the scores (batch, 1 or T, classes)."""
        readout, own = self._readout, self._readout.membrane
        trace = np.zeros((len(out), 0 if own is None else readout.outputs), np.int64)
        own = own or IntegerMembrane(FixedPoint(1, 0), readout.bias, 0, 0, FixedPoint(1, 0))
        _readout(
            _pooled(readout, arriving), self._weight, (own.decay, own.number, own.fraction), trace,
            (readout.multiplier, own.shift, own.current_format), readout.bias, self._reading, out,
        )  # fmt: skip


def _pooled(part: IntegerProjection, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spikes (T, batch, inputs) behind the pools of a part."""
    if not part.pools:
        return x
    return part.pooled(x.reshape(-1, x.shape[2])).astype(np.uint8).reshape(*x.shape[:2], -1)  # type: ignore[arg-type]


def _delayed(layer: IntegerLayer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spikes (T, batch, features) behind the delays of a layer."""
    if layer.delay is None:
        return x
    line = DelayBuffer(layer.delay, len(x), x.shape[1])
    return np.stack([line.arriving(now) for now in x])


def run(network: IntegerNetwork, spikes: NDArray[np.integer], *, threads: int | None = None) -> Outcome:
    """Run spikes (T, batch, inputs), at most 255 in each place, through the network.

    Args:
        network: the integer model.
        spikes: spikes of each input in each step.
        threads: None for one a processor.
    """
    check_input(network, spikes)
    x = spikes.astype(np.uint8)
    steps, batch, _ = x.shape
    outputs = [np.empty((steps, batch, layer.outputs), np.uint8) for layer in network.layers]
    kernels = [_Kernel(layer) for layer in network.layers]
    readout = None if network.readout is None else _ReadoutKernel(network.readout, network.reads)
    scores = np.zeros((batch, steps if network.reads == "steps" else 1, network.outputs), np.int64)

    def run_batch(start: int) -> None:
        stop = min(batch, start + _BATCH)
        arriving = x[:, start:stop]
        for layer, out in zip(kernels, outputs, strict=True):
            layer.run(arriving, out[:, start:stop])
            arriving = out[:, start:stop]
        if readout is None:
            scores[start:stop] = network.read(arriving).reshape(scores[start:stop].shape)
        else:
            readout.run(arriving, scores[start:stop])

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(run_batch, range(0, batch, _BATCH)))
    return Outcome(scores if network.reads == "steps" else scores[:, 0], outputs)
