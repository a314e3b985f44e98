"""The IP's arithmetic: float32, every operation rounded, in its order; equal to it bit for bit.

In each of 30 steps, layer by layer, with x the currents of the inputs or the spikes of the layer before:

    I = bias;  I += weight[k]·x[k]  for k = 0 … 15

and then the neuron of the build (izhi.hardware.ip.network), whose v and u begin at 0. Spikes are those of the v
before the step, so each layer answers a step later. There are no limits of v; overflow gives infinity or NaN, and a
neuron whose v is NaN never fires. One difference is not checked on hardware: floating-point operators of FPGAs take
numbers below 1.2e-38 for 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from izhi.errors import ShapeError, shown
from izhi.hardware.fixed import Outcome
from izhi.hardware.ip.network import STEPS, Build, Floats, IPNetwork, check_sizes, spikes_of
from izhi.hardware.networks import Array

#: Pairs of network and sample that are computed at once: all their steps fit the cache.
_LANES = 256


def run(network: IPNetwork, currents: ArrayLike) -> Outcome:
    """Run samples through one network.

    Args:
        network: of the IP.
        currents: (B, n_in), finite: the constant input currents of each sample, rounded to float32.

    Returns:
        Scores (B, n_out), the spike counts of the last layer, and the spikes (30, B, N) of every layer.

    Raises:
        ShapeError: if the currents do not fit the network.
    """
    currents = check_currents(currents, network.inputs)
    weights = [layer.weight[None] for layer in network.layers]
    biases = [layer.bias[None] for layer in network.layers]
    batches = [_spikes(weights, biases, some, network.build) for some in _split(currents)]
    spikes = [
        np.concatenate([batch[k][:, :, 0] for batch in batches], 2).transpose(0, 2, 1).astype(np.uint8)
        for k in range(len(weights))
    ]
    return Outcome(spikes[-1].sum(0, dtype=np.int64), spikes)


def run_population(
    weights: Sequence[Array], biases: Sequence[Array], currents: ArrayLike, build: Build = "izhi"
) -> NDArray[np.int64]:
    """Run samples through many networks of the same shape at once.

    Args:
        weights: of each layer, (P, n_out, n_prev), float32; P networks.
        biases: of each layer, (P, n_out), float32.
        currents: (B, n_in): the constant input currents of each sample.
        build: the neuron, one of ``BUILDS``.

    Returns:
        Scores (P, B, n_out): how often each neuron of the last layer fires. Row p is what ``run`` gives
        for network p.

    Raises:
        ShapeError: if shapes do not fit each other.
        SettingError: for networks that the IP has no room for.
    """
    with np.errstate(over="ignore"):
        weights = [np.asarray(w, np.float32) for w in weights]
        biases = [np.asarray(b, np.float32) for b in biases]
    population = _check_population(weights, biases, build)
    currents = check_currents(currents, weights[0].shape[2])
    fast = _fast() if population * len(currents) >= _LANES else None
    if fast is not None:
        return fast(weights, biases, currents, build)
    return _scores(weights, biases, currents, build)


@cache
def _fast() -> Callable[..., NDArray[np.int64]] | None:
    """Scores by Numba, if it is installed, which it is not on every board."""
    try:
        from izhi.hardware.ip import fast
    except ImportError:
        return None
    return fast.scores


def _scores(weights: Sequence[Floats], biases: Sequence[Floats], currents: Floats, build: Build) -> NDArray[np.int64]:
    """Scores (P, B, n_out) in numpy."""
    members = max(1, _LANES // max(1, min(len(currents), _LANES)))
    scores = []
    for start in range(0, max(len(weights[0]), 1), members):
        w, b = ([x[start : start + members] for x in arrays] for arrays in (weights, biases))
        last = [_spikes(w, b, some, build)[-1].sum(0, dtype=np.int64) for some in _split(currents)]
        scores.append(np.concatenate(last, 2).transpose(1, 2, 0))
    return np.concatenate(scores)


def _split(currents: Floats) -> list[Floats]:
    """Some samples at a time."""
    return [currents[start : start + _LANES] for start in range(0, max(len(currents), 1), _LANES)]


def check_currents(currents: ArrayLike, inputs: int) -> Floats:
    """Currents (B, inputs) in float32; ShapeError if they are something else."""
    with np.errstate(over="ignore"):
        try:
            values = np.asarray(currents)
        except ValueError:  # rows of several lengths
            raise ShapeError(f"currents are {shown(currents)}, expected float32 (samples, {inputs})") from None
        if values.dtype.kind not in "fiub":
            raise ShapeError(f"currents are {values.dtype}, expected float32")
        values = np.ascontiguousarray(values, np.float32)
    if values.ndim != 2 or values.shape[1] != inputs:
        raise ShapeError(f"currents have shape {values.shape}, expected (samples, {inputs}): one value for each input")
    if not np.isfinite(values).all():
        raise ShapeError("currents hold a value that is not finite in float32, expected finite ones")
    return values


def _check_population(weights: Sequence[Array], biases: Sequence[Array], build: str) -> int:
    """The number of networks; raises unless the shapes fit each other and the IP."""
    if len(weights) != len(biases):
        raise ShapeError(f"{len(weights)} weights and {len(biases)} biases, expected one of each for every layer")
    for number, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        if w.ndim != 3 or b.shape != w.shape[:2] or len(w) != len(weights[0]):
            raise ShapeError(
                f"layer {number} of the population has weights {w.shape} and biases {b.shape}, expected"
                " (P, n_out, n_prev) and (P, n_out) with the same P in every layer"
            )
    check_sizes([w.shape[1:] for w in weights], build)
    return len(weights[0])


def _spikes(weights: Sequence[Floats], biases: Sequence[Floats], currents: Floats, build: Build) -> list[Floats]:
    """Spikes of every layer, (30, N, P, B), of P networks and B samples."""
    x: Floats = np.ascontiguousarray(currents.T)[None, :, None, :]
    spikes = []
    with np.errstate(all="ignore"):
        for weight, bias in zip(weights, biases, strict=True):
            x = spikes_of(build, _current(weight, bias, x), STEPS)
            spikes.append(x)
    return spikes


def _current(weight: Floats, bias: Floats, x: Floats) -> Floats:
    """I, (T, N, P, B), of x (T, K, P, B), where T or P of x is 1 if all are the same.

    Samples are contiguous in memory, so that a weight is multiplied with all of them at once. The zeros of the IP
    beyond k = K − 1 change nothing and are left out.
    """
    w = np.ascontiguousarray(weight.transpose(2, 1, 0))[:, None, :, :, None]
    steps, inputs, _, batch = x.shape
    total = np.empty((steps, weight.shape[1], len(weight), batch), np.float32)
    total[:] = bias.T[None, :, :, None]
    product = np.empty_like(total)
    for k in range(inputs):
        np.multiply(w[k], x[:, k : k + 1], out=product)
        total += product
    return total
