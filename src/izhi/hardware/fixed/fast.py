"""The integer model at speed: Numba, event by event, samples in parallel; equal to ``fixed.run``.

The arithmetic is that of ``fixed``, the very functions, compiled for single numbers. Work is proportional to
spikes, as in the hardware: each adds a row of weights to the accumulators.
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
from izhi.hardware.fixed import arithmetic, network as networks, neuron
from izhi.hardware.fixed.compiled import Value, source_number
from izhi.hardware.fixed.delay import DelayLine
from izhi.hardware.fixed.network import Layer, Network, Outcome, Part, check_input, decayed, scaled

#: Samples of one piece of work.
_PIECE = 16

register_jitable(scaled)
register_jitable(decayed)


def _at(arrays: Value, j: Value) -> Value:
    """Element j of each array of a tuple; here for its overload alone."""
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
    """Add each spike's weights (channels, kernel height, kernel width, N) at the places that see it."""
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


@cache
def _advance(update: Value) -> Value:
    """One step of a layer's neurons, compiled with its caller: their sums (N,) → the spikes out (N,).

    ``trace`` is that of a synapse, whose decay (N,) and format ``filter`` has; without one it has no elements.
    """
    register_jitable(update)

    @inlined
    def advance(
        total: Value, filter_: Value, trace: Value, scale: Value, v: Value, u: Value, formats: Value,
        coefficients: Value, out: Value,
    ) -> None:  # fmt: skip
        decay, of_trace = filter_
        multiplier, shift, number = scale
        for j in range(len(out)):
            arrived = np.int64(total[j])
            if len(trace) > 0:
                arrived = decayed(trace[j], arrived, decay[j], of_trace, formats[2])
                trace[j] = arrived
            current = scaled(arrived, multiplier[j], shift, number)
            v[j], u[j], out[j] = update(v[j], u[j], current, formats, *_at(coefficients, j))

    return advance


@cache
def _convolution(update: Value) -> Value:
    """A convolution of neurons over all steps, compiled; ``update`` is that of their class."""
    made_of, advance = source_number(arithmetic, neuron, networks), _advance(update)

    @kept
    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def convolution(
        x: Value, weight: Value, window: Value, filter_: Value, trace: Value, scale: Value, v: Value, u: Value,
        formats: Value, coefficients: Value, out: Value,
    ) -> int:  # fmt: skip
        steps, batch, _ = x.shape
        channels = weight.shape[3]
        places = out.shape[2] // channels
        total = np.zeros((places, channels), np.int32)
        for b in range(batch):
            for t in range(steps):
                total[:] = 0
                _convolve(x[t, b], weight, window, total)
                by_channel = total.T.copy().reshape(-1)
                advance(by_channel, filter_, trace[b], scale, v[b], u[b], formats, coefficients, out[t, b])
        return made_of

    return convolution


@cache
def _layer(update: Value) -> Value:
    """A layer of neurons over all steps, compiled; ``update`` is that of their class."""
    made_of, advance = source_number(arithmetic, neuron, networks), _advance(update)

    @kept
    @njit(nogil=True)  # type: ignore[untyped-decorator]
    def layer(
        x: Value, weight: Value, feedback: Value, recurrent: Value, filter_: Value, trace: Value, scale: Value,
        v: Value, u: Value, formats: Value, coefficients: Value, out: Value,
    ) -> int:  # fmt: skip
        steps, batch, _ = x.shape
        total = np.zeros(out.shape[2], np.int32)
        for b in range(batch):
            for t in range(steps):
                total[:] = 0
                _accumulate(x[t, b], weight, total)
                if recurrent and t > 0:
                    _accumulate(out[t - 1, b], feedback, total)
                advance(total, filter_, trace[b], scale, v[b], u[b], formats, coefficients, out[t, b])
        return made_of

    return layer


@kept
@njit(nogil=True)  # type: ignore[untyped-decorator]
def _readout(x: Value, weight: Value, total: Value) -> None:
    steps, batch, _ = x.shape
    for b in range(batch):
        for t in range(steps):
            _accumulate(x[t, b], weight, total[b])


class _Prepared:
    """A layer as its kernel takes it: weights by source, constants as tuples of arrays."""

    def __init__(self, layer: Layer) -> None:
        self._layer, window, update = layer, layer.window, type(layer.neuron).update
        self._kernel = _layer(update) if window is None else _convolution(update)
        by_source = layer.weight.T
        if window is not None:
            by_source = by_source.reshape(window.channels, *window.kernel, -1)
        self._weight = np.ascontiguousarray(by_source.astype(np.int32))
        feedback = np.zeros((0, 0)) if layer.feedback is None else layer.feedback.T
        self._feedback = np.ascontiguousarray(feedback.astype(np.int32))

    def run(self, arriving: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Fill the spikes (T, batch, N) with what the layer makes of those that arrive."""
        layer, window = self._layer, self._layer.window
        arriving = _delayed(layer, _pooled(layer, arriving))
        batch, synapse = arriving.shape[1], layer.synapse
        v, u = layer.neuron.start(batch)
        scale = (layer.multiplier, layer.shift, layer.current_format)
        trace = np.zeros((batch, 0 if synapse is None else layer.outputs), np.int64)
        through = (layer.multiplier, layer.current_format) if synapse is None else (synapse.decay, synapse.number)
        if window is not None:
            looks = (window.height, window.width, window.down, window.across, window.stride, window.padding)
            self._kernel(
                arriving, self._weight, looks, through, trace, scale,
                v, u, layer.neuron.formats, layer.neuron.arguments, out,
            )  # fmt: skip
            return
        self._kernel(
            arriving, self._weight, self._feedback, layer.feedback is not None,
            through, trace, scale, v, u, layer.neuron.formats, layer.neuron.arguments, out,
        )  # fmt: skip


def _pooled(part: Part, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spikes (T, batch, inputs) behind the pools of a part."""
    if not part.pools:
        return x
    return part.pooled(x.reshape(-1, x.shape[2])).astype(np.uint8).reshape(*x.shape[:2], -1)  # type: ignore[arg-type]


def _delayed(layer: Layer, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What arrives, (T, batch, sources), of all that comes behind the pools."""
    if layer.delay is None:
        return x
    line = DelayLine(layer.delay, len(x), x.shape[1])
    return np.stack([line.arriving(now) for now in x])


def run(network: Network, spikes: NDArray[np.integer], *, threads: int | None = None) -> Outcome:
    """Run spikes (T, batch, inputs), at most 255 in each place, through the network.

    Args:
        network: the integer model.
        spikes: how often each input fires in each step.
        threads: None for one for each processor.
    """
    check_input(network, spikes)
    x = spikes.astype(np.uint8)
    steps, batch, _ = x.shape
    outputs = [np.empty((steps, batch, layer.outputs), np.uint8) for layer in network.layers]
    prepared = [_Prepared(layer) for layer in network.layers]
    readout = network.readout
    scores = np.zeros((batch, network.outputs), np.int64)
    transposed = None
    if readout is not None:
        transposed = np.ascontiguousarray(readout.weight.T.astype(np.int32))

    def piece(start: int) -> None:
        stop = min(batch, start + _PIECE)
        arriving = x[:, start:stop]
        for layer, out in zip(prepared, outputs, strict=True):
            layer.run(arriving, out[:, start:stop])
            arriving = out[:, start:stop]
        if readout is None:
            scores[start:stop] = arriving.sum(0, dtype=np.int64)
            return
        total = np.zeros((stop - start, network.outputs), np.int64)
        _readout(_pooled(readout, arriving), transposed, total)
        scores[start:stop] = total * readout.multiplier + steps * readout.bias

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(piece, range(0, batch, _PIECE)))
    return Outcome(scores, outputs)
