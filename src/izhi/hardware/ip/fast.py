"""Scores of populations at speed: Numba, one network and sample after another; equal to the arithmetic in numpy.

Layers are filled up to 16 neurons, so that each step of a layer is a few vectors; those that are not there have
neither weights nor bias and never fire. Products and sums are rounded one by one: nothing may be fused. A product
with 0, where nothing is infinite, adds nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from izhi.hardware.ip.arithmetic import A2, A3, BETA, DIVISOR, RESET, STEP_OF_U, THRESHOLD
from izhi.hardware.ip.network import STEPS, WIDTH, Floats


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _currents(x: Any, weight: Any, bias: Any, skips: Any, total: Any) -> None:
    for j in range(WIDTH):
        total[j] = bias[j]
    for k in range(len(weight)):
        xk = x[k]
        if xk != 0 or not skips:
            for j in range(WIDTH):
                total[j] += weight[k, j] * xk


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _izhikevich(total: Any, v: Any, u: Any, spikes: Any) -> None:
    for j in range(WIDTH):
        fired = v[j] >= THRESHOLD
        new = v[j] + (((v[j] * v[j] + A2 * v[j]) + A3 * u[j]) + total[j])
        after = u[j] - (new / DIVISOR + u[j] / DIVISOR)
        u[j] = u[j] + STEP_OF_U if fired else after
        v[j] = RESET if fired else new
        spikes[j] = np.float32(1.0) if fired else np.float32(0.0)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _lif(total: Any, v: Any, spikes: Any) -> None:
    for j in range(WIDTH):
        fired = v[j] > THRESHOLD
        new = total[j] + BETA * v[j]
        v[j] = new - THRESHOLD if fired else new
        spikes[j] = np.float32(1.0) if fired else np.float32(0.0)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _population(
    weights: Any, biases: Any, inputs: Any, currents: Any, skips: Any, lif: Any, scores: Any
) -> None:
    x = np.zeros((STEPS, WIDTH), np.float32)
    total, v, u = (
        np.zeros(WIDTH, np.float32),
        np.zeros(WIDTH, np.float32),
        np.zeros(WIDTH, np.float32),
    )
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
                    if lif:
                        _lif(total, v, x[t])
                    else:
                        _izhikevich(total, v, u, x[t])
            for t in range(STEPS):
                for j in range(scores.shape[2]):
                    scores[p, b, j] += np.int64(x[t, j])


def scores(
    weights: Sequence[Floats], biases: Sequence[Floats], currents: Floats, build: str
) -> NDArray[np.int64]:
    """Scores (P, B, n_out) of networks that ``run_population`` checked."""
    members, count = len(weights[0]), len(weights)
    packed = np.zeros((members, count, WIDTH, WIDTH), np.float32)
    constants = np.zeros((members, count, WIDTH), np.float32)
    for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        packed[:, k, : weight.shape[2], : weight.shape[1]] = weight.transpose(0, 2, 1)
        constants[:, k, : bias.shape[1]] = bias
    inputs = np.array([weight.shape[2] for weight in weights])
    found = np.zeros((members, len(currents), weights[-1].shape[1]), np.int64)
    skips = bool(np.isfinite(packed).all())
    _population(packed, constants, inputs, currents, skips, build == "lif", found)
    return found


__all__ = ["scores"]
