"""Balanced resonate-and-fire networks, built from published weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from izhi.errors import SettingError, ShapeError, shown
from izhi.network.connections import ExponentialSynapse, Linear
from izhi.network.layers import Layer
from izhi.network.network import Network
from izhi.neurons import Izhikevich
from izhi.spec import BalancedResonators
from izhi.spec.presets import BALANCED


def resonators(*, omega: Any, b_offset: Any, weight: Any, tau: Any, out: Any, kernel: str = "auto") -> Network:
    """The network of a recurrent layer of balanced resonate-and-fire neurons and a leaky readout.

        u ← u + δ·(b·u − ω·v + I),   v ← v + δ·(ω·u + b·v),   both from the old u, v and q
        b = p − b′ − q,   p = (√(1 − (δω)²) − 1)/δ,   I = W·[x[t]; z[t−1]]
        z = 1 where u > 1 + q,   q ← 0.9·q + z
        o ← α·o + (1 − α)·W_o·z,   α = e^(−1/|τ|)

    with δ = 0.01. The neurons are ``izhi.Izhikevich`` of the distribution ``izhi.BalancedResonators``; their v is u of
    these equations, and their u is v. A call takes x (T, B, inputs) and returns o (T, B, classes). The answer is o of
    the last step (S-MNIST), or its mean over the steps (PS-MNIST, ECG, SHD).

    Args:
        omega: ω of each neuron, (N,), of any sign; |ω| is below 100.
        b_offset: b′ of each neuron, (N,), of any sign.
        weight: W, (N, inputs + N): columns of the inputs, then of the layer's own spikes.
        tau: τ of each class in steps, (classes,), of any sign.
        out: W_o, (classes, N).
        kernel: of the neurons, see ``izhi.kernels``.

    Arrays are of numpy or torch, and become float32. The coefficients are fixed, and the weights can be trained.

    Raises:
        SettingError: for values that are no finite real numbers, an |ω| of 100 or more, or a τ of 0.
        ShapeError: for shapes that do not match.

    Source: Higuchi, Kairat, Bohté and Otte, Balanced resonate-and-fire neurons, ICML 2024, arXiv 2402.14603.
    """
    values = {"omega": omega, "b_offset": b_offset, "weight": weight, "tau": tau, "out": out}
    omega, b_offset, weight, tau, out = (_numbers(name, value) for name, value in values.items())
    inputs = _check_shapes(omega, b_offset, weight, tau, out)
    layer = Layer(Linear(inputs, len(omega), bias=False, recurrent=True), _neurons(omega.abs(), b_offset.abs(), kernel))
    leak = ExponentialSynapse(per_output=len(out))
    readout = Linear(len(omega), len(out), bias=False, synapse=leak)
    with torch.no_grad():
        layer.connection.input.weight.copy_(weight[:, :inputs])
        layer.connection.feedback.weight.copy_(weight[:, inputs:])
        readout.input.weight.copy_(out)
        leak.logit.copy_(-torch.expm1(1 / tau.double().abs()).log())  # α = sigmoid of it
    return Network([layer], readout)


def _numbers(name: str, value: Any) -> Tensor:
    """A float32 copy of an array; SettingError unless it has finite real numbers."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
    try:
        array = np.asarray(value)
    except ValueError:  # lists of several lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "iuf":
        raise SettingError(f"{name} is {shown(value)}, expected an array of real numbers")
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        position = tuple(int(k) for k in np.argwhere(~np.isfinite(single))[0])
        raise SettingError(f"{name} is {float(array[position]):g} at {position}, expected finite numbers of float32")
    return torch.from_numpy(single)


def _check_shapes(omega: Tensor, b_offset: Tensor, weight: Tensor, tau: Tensor, out: Tensor) -> int:
    """The number of inputs; ShapeError for shapes that do not match, and SettingError for values out of range."""

    def expect(name: str, x: Tensor, expected: str, matches: bool) -> None:
        if not matches:
            raise ShapeError(f"{name} has shape {tuple(x.shape)}, expected {expected}")

    expect("omega", omega, "(neurons,)", omega.dim() == 1 and len(omega) > 0)
    n = len(omega)
    expect("b_offset", b_offset, f"({n},), that of omega", b_offset.shape == omega.shape)
    matches = weight.dim() == 2 and len(weight) == n and weight.shape[1] > n
    expect("weight", weight, f"({n}, inputs + {n}): columns of the inputs, then of the {n} neurons", matches)
    expect("tau", tau, "(classes,)", tau.dim() == 1 and len(tau) > 0)
    expect("out", out, f"({len(tau)}, {n}), a row for each of tau", out.shape == (len(tau), n))
    limit = 1 / BALANCED.q_damping
    if (omega.abs() >= limit).any():
        position = int((omega.abs() >= limit).nonzero()[0])
        raise SettingError(f"omega is {float(omega[position]):g} at {position}, expected a magnitude below {limit:g}")
    if (tau == 0).any():
        raise SettingError(f"tau is 0 at {int((tau == 0).nonzero()[0])}, expected a number of steps other than 0")
    return weight.shape[1] - n


def _neurons(omega: Tensor, b_offset: Tensor, kernel: str) -> Izhikevich:
    """The neurons of these magnitudes of ω and b′."""
    values, ranges = {"omega": omega, "b_offset": b_offset}, dict[str, Any]()
    for name, (_, low, high) in BalancedResonators.DOMAIN.items():
        ranges[name] = tuple(min(max(float(x), low), high) for x in values[name].aminmax())
    # The range is a description; the values are exact, also those beyond what can be learned.
    neurons = Izhikevich(BalancedResonators(**ranges, seed=0), parameter_shape=len(omega), kernel=kernel)
    for name, value in values.items():
        neurons.register_buffer(f"mixed_{name}", value)
    return neurons
