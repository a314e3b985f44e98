"""Scores of populations at speed: Numba, one network and sample after another; equal to the arithmetic in numpy.

Layers are padded to 16 neurons, so that each step of a layer is a few vectors; the added neurons have neither weights
nor bias and never fire. Products and sums are rounded one by one and must not be fused; the step of a neuron is the
function that numpy runs. A product with 0 is left out where no weight is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from izhi.compiled import kept
from izhi.hardware.fixed import arithmetic
from izhi.hardware.fixed.compiled import Value, source_number
from izhi.hardware.ip import network
from izhi.hardware.ip.network import STEPS, WIDTH, Build, Floats


@kept
@njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _currents(x: Value, weight: Value, bias: Value, skips: Value, total: Value) -> None:
    for j in range(WIDTH):
        total[j] = bias[j]
    for k in range(len(weight)):
        xk = x[k]
        if xk != 0 or not skips:
            for j in range(WIDTH):
                total[j] += weight[k, j] * xk


@cache
def _population(build: Build) -> Value:
    """Scores of many networks and samples, compiled for a build of the IP."""
    made_of, step = source_number(network, arithmetic), network.NEURONS[build]
    register_jitable(step)

    @kept
    @njit(nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
    def population(weights: Value, biases: Value, inputs: Value, currents: Value, skips: Value, scores: Value) -> int:
        x = np.zeros((STEPS, WIDTH), np.float32)
        total = np.zeros(WIDTH, np.float32)
        v = np.zeros(WIDTH, np.float32)
        u = np.zeros(WIDTH, np.float32)
        for p in range(weights.shape[0]):
            for b in range(len(currents)):
                for layer in range(weights.shape[1]):
                    weight, bias = weights[p, layer, : inputs[layer]], biases[p, layer]
                    v[:] = 0
                    u[:] = 0
                    if layer == 0:
                        _currents(currents[b], weight, bias, skips, total)
                    for t in range(STEPS):
                        if layer > 0:
                            _currents(x[t], weight, bias, skips, total)
                        for j in range(WIDTH):
                            v[j], u[j], x[t, j] = step(v[j], u[j], total[j])
                for t in range(STEPS):
                    for j in range(scores.shape[2]):
                        scores[p, b, j] += np.int64(x[t, j])
        return made_of

    return population


def scores(weights: Sequence[Floats], biases: Sequence[Floats], currents: Floats, build: Build) -> NDArray[np.int64]:
    """Scores (P, B, n_out) of networks that ``run_population`` checked."""
    members, count = len(weights[0]), len(weights)
    packed = np.zeros((members, count, WIDTH, WIDTH), np.float32)
    constants = np.zeros((members, count, WIDTH), np.float32)
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        packed[:, k, : weight.shape[2], : weight.shape[1]] = weight.transpose(0, 2, 1)
        constants[:, k, : bias.shape[1]] = bias
    inputs = np.array([weight.shape[2] for weight in weights])
    counts = np.zeros((members, len(currents), weights[-1].shape[1]), np.int64)
    skips = bool(np.isfinite(packed).all())
    _population(build)(packed, constants, inputs, currents, skips, counts)
    return counts
