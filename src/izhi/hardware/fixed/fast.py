"""The integer model at speed: Numba, event by event, samples in parallel; equal to ``fixed.run``.

Work is proportional to spikes, as in the hardware: each adds a row of weights to the accumulators.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from izhi.hardware.fixed.network import Layer, Network, Outcome, check_input
from izhi.hardware.fixed.neuron import IzhikevichNeuron

#: Samples of one piece of work.
_PIECE = 16


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _accumulate(x: Any, weight: Any, total: Any) -> None:
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


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _izhikevich(total: Any, v: Any, u: Any, spikes: Any, p: Any, n: Any) -> None:
    multiplier, a1, a2, a3, a4, b1, b2, b3, c, d, threshold = p
    shift, half, low, high, v_low, v_high, u_low, u_high, point, half_point, fraction, middle = n
    for j in range(len(v)):
        current = min(max((total[j] * multiplier[j] + half) >> shift, low), high)
        fired = v[j] >= threshold[j]
        q = (v[j] * v[j] + half_point) >> point
        change = (a1[j] * q + a2[j] * v[j] + a3[j] * u[j] + a4[j] + middle) >> fraction
        v_new = min(max(v[j] + current + change, v_low), v_high)
        change = (b1[j] * v_new + b2[j] * u[j] + b3[j] + middle) >> fraction
        u_new = u[j] + (d[j] if fired else change)
        v[j] = c[j] if fired else v_new
        u[j] = min(max(u_new, u_low), u_high)
        spikes[j] = fired


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _lif(total: Any, v: Any, u: Any, spikes: Any, p: Any, n: Any) -> None:
    multiplier, beta, bias, threshold = p
    shift, half, low, high, v_low, v_high, _, _, _, _, fraction, middle = n
    for j in range(len(v)):
        current = min(max((total[j] * multiplier[j] + half) >> shift, low), high)
        leak = (beta[j] * v[j] + bias[j] + middle) >> fraction
        reset = threshold[j] if v[j] > threshold[j] else 0
        v[j] = min(max(current + leak - reset, v_low), v_high)
        spikes[j] = v[j] > threshold[j]


def _layer(update: Any) -> Any:
    @njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
    def layer(
        x: Any, weight: Any, feedback: Any, recurrent: Any, v: Any, u: Any, p: Any, n: Any, out: Any
    ) -> None:
        steps, batch, _ = x.shape
        total = np.zeros(out.shape[2], np.int32)
        for b in range(batch):
            for t in range(steps):
                total[:] = 0
                _accumulate(x[t, b], weight, total)
                if recurrent and t > 0:
                    _accumulate(out[t - 1, b], feedback, total)
                update(total, v[b], u[b], out[t, b], p, n)

    return layer


_LAYERS = {True: _layer(_izhikevich), False: _layer(_lif)}


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _readout(x: Any, weight: Any, total: Any) -> None:
    steps, batch, _ = x.shape
    for b in range(batch):
        for t in range(steps):
            _accumulate(x[t, b], weight, total[b])


def _arguments(layer: Layer) -> tuple[Any, ...]:
    """Transposed weights and feedback, constants of neurons, constants of the layer."""
    neuron, current = layer.neuron, layer.current_format
    v = neuron.v_format
    p: tuple[Any, ...]
    if isinstance(neuron, IzhikevichNeuron):
        u = neuron.u_format
        p = (
            layer.multiplier, neuron.a1, neuron.a2, neuron.a3, neuron.a4, neuron.b1, neuron.b2, neuron.b3,
            neuron.c, neuron.d, neuron.threshold,
        )  # fmt: skip
    else:
        u = v
        p = (layer.multiplier, neuron.beta, neuron.bias, neuron.threshold)
    n = (
        layer.shift, (1 << layer.shift) >> 1, current.lowest, current.highest, v.lowest, v.highest,
        u.lowest, u.highest, v.fraction, (1 << v.fraction) >> 1, neuron.fraction,
        (1 << neuron.fraction) >> 1,
    )  # fmt: skip
    weight = np.ascontiguousarray(layer.weight.T.astype(np.int32))
    feedback = np.zeros((0, 0), np.int32)
    if layer.feedback is not None:
        feedback = np.ascontiguousarray(layer.feedback.T.astype(np.int32))
    return weight, feedback, layer.feedback is not None, p, n


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
    prepared = [_arguments(layer) for layer in network.layers]
    readout = network.readout
    last = network.layers[-1].outputs if readout is None else len(readout.weight)
    scores = np.zeros((batch, last), np.int64)
    transposed = None
    if readout is not None:
        transposed = np.ascontiguousarray(readout.weight.T.astype(np.int32))

    def piece(start: int) -> None:
        stop = min(batch, start + _PIECE)
        arriving = x[:, start:stop]
        for layer, out, (weight, feedback, recurrent, p, n) in zip(
            network.layers, outputs, prepared, strict=True
        ):
            v, u = layer.neuron.start(stop - start)
            part = out[:, start:stop]
            kind = isinstance(layer.neuron, IzhikevichNeuron)
            _LAYERS[kind](arriving, weight, feedback, recurrent, v, u, p, n, part)
            arriving = part
        if readout is None:
            scores[start:stop] = arriving.sum(0, dtype=np.int64)
            return
        total = np.zeros((stop - start, last), np.int32)
        _readout(arriving, transposed, total)
        scores[start:stop] = total * readout.multiplier + steps * readout.bias

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        list(pool.map(piece, range(0, batch, _PIECE)))
    return Outcome(scores, outputs)
