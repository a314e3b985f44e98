"""Quantised states: every kernel gives the spikes and states of the integer model, and the same gradients."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from test_fused import DEVICE, UNCOMPILED, quick, shape_for

from izhi import LIF, Izhikevich, kernels
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint
from izhi.kernels import Memory, SynapticInput
from izhi.kernels.plan import Formats, Grid

N, STEPS, BATCH = 24, 30, 3
#: Fractions of the coefficients of sums, and of the multiplier.
F, SHIFT = 14, 12
LEARNED = ("none", "gain", "constant", "all")
#: By the reset of LIF.
NEURONS_OF = {
    "subtract": fixed.LIFNeuron, "soft": fixed.SoftLIFNeuron, "zero": fixed.ZeroingLIFNeuron,
    "value": fixed.ValueLIFNeuron,
}  # fmt: skip


def formats(v, u):
    grids = [Grid(2.0**x.fraction, x.lowest * x.unit, x.highest * x.unit) for x in (v, u)]
    return Formats(grids[0], tuple(grids))


def spread(random, value, size, fraction):
    """Integers of that fraction around a value."""
    return np.rint((value + size * random.standard_normal(N)) * 2.0**fraction).astype(np.int64)


def izhikevich(random, v, u):
    """Integer neurons, and their coefficients as values."""
    p = Izhikevich("normalized").base_parameters
    fractions = {
        "a1": F, "a2": F, "a3": F + v.fraction - u.fraction, "a4": F + v.fraction,
        "b1": F + u.fraction - v.fraction, "b2": F, "b3": F + u.fraction,
        "c": v.fraction, "d": u.fraction, "threshold": v.fraction,
    }  # fmt: skip
    sizes = {"a1": 0.1, "a2": 0.02, "a3": 0.01, "b1": 0.01, "b2": 3e-3, "b3": 1e-3, "d": 0.05}
    whole = {n: spread(random, getattr(p, n), sizes.get(n, 0.03), f) for n, f in fractions.items()}
    # Constants of single precision hold few bits below the unit of v.
    whole["a4"] = whole["a4"] >> (F - 4) << (F - 4)
    start = spread(random, 0, 0.1, v.fraction), spread(random, 0, 0.1, u.fraction)
    neuron = fixed.IzhikevichNeuron(v, u, F, **whole, v0=start[0], u0=start[1])
    return neuron, [torch.tensor(whole[n] * 2.0**-f) for n, f in fractions.items()]


def lif(random, v, reset):
    threshold = spread(random, 1, 0.05, v.fraction)
    beta, bias = spread(random, 0.9, 0.02, F), spread(random, 0, 0.05, v.fraction + 4) << (F - 4)
    values = [beta * 2.0**-F, threshold * v.unit, bias * 2.0 ** -(F + v.fraction)]
    kind, began = NEURONS_OF[reset], []
    if reset == "value":
        began = [spread(random, -0.2, 0.1, v.fraction)]
        values.insert(2, began[0] * v.unit)
    return kind(v, F, beta, bias, threshold, *began), [torch.tensor(x) for x in values]


def integer_run(neuron, total, multiplier, current_format):
    """Spikes, v and u of the specification."""
    layer = fixed.IntegerLayer(np.zeros((N, 1), np.int64), 8, multiplier, SHIFT, current_format, neuron)
    states = neuron.start(BATCH)
    spikes = []
    for now in total:
        states, fired = neuron.step(states, layer.current(now.long().numpy()))
        spikes.append(fired)
    return np.stack(spikes), *states


def run(call, total, coefficients, states, kernel, learned):
    """Spikes, the last states, and the gradients of what is learned; the reference in float64."""
    kind = torch.float64 if kernel == "reference" else torch.float32
    device = DEVICE.get(kernel, "cpu")
    leaves = [x.detach().clone().to(device, kind) for x in (total, *coefficients)]
    # Of LIF gain and bias are the last.
    gain, constant = (10, 3) if len(coefficients) == 11 else (len(coefficients) - 2, len(coefficients) - 1)
    places = {"none": [], "gain": [gain], "constant": [constant], "all": range(len(coefficients))}[learned]
    for place in (0, *(1 + k for k in places)):
        leaves[place].requires_grad_()
    start = [torch.tensor(x).expand(BATCH, N).to(device, kind) for x in states]
    out, last = call(SynapticInput(leaves[0]), leaves[1:], start, kernel)
    (out * torch.linspace(-1, 1, out.numel(), device=device).view_as(out)).sum().backward()
    grads = [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]
    return (
        out.detach().cpu(),
        [x.detach().double().cpu() for x in last],
        [g.double().cpu() for g in grads],
    )


def check(call, neuron, coefficients, total, multiplier, kernel, v, u, learned):
    spikes, *states_after = integer_run(neuron, total, multiplier, v)
    states = [neuron.v0 * v.unit, neuron.u0 * u.unit] if u else [np.zeros(N)]
    last = 10 if u else len(coefficients) - 1
    gain = torch.tensor(multiplier * 2.0 ** -(SHIFT + v.fraction))
    coefficients = [*coefficients[:last], gain, *coefficients[last:]]
    found = {}
    for name in ("reference", kernel):
        out, after, found[name] = run(call, total, coefficients, states, name, learned)
        assert np.array_equal(out.numpy(), spikes), name
        for x, whole, number in zip(after, states_after, (v, u), strict=False):
            assert np.array_equal(x.numpy() / number.unit, whole), name
    for a, b in zip(found["reference"], found[kernel], strict=True):
        assert (a - b).abs().max() <= 1e-4 * a.abs().max().clamp(min=1e-3)
    return spikes


@UNCOMPILED
@settings(quick, max_examples=8)
@given(
    st.sampled_from([8, 12, 16]),
    st.integers(-1, 2),
    st.integers(0, 1000),
    st.sampled_from(LEARNED),
)
def test_izhikevich_is_the_integer_model(kernel, width, finer, seed, learned):
    random = np.random.default_rng(seed)
    v, u = FixedPoint(width, width - 3), FixedPoint(width, width - 3 + finer)
    neuron, coefficients = izhikevich(random, v, u)
    total = torch.from_numpy(random.integers(-30, 90, shape_for(kernel, (STEPS, BATCH, N)))).float()

    def call(drive, p, start, kernel):
        s = dataclasses.replace(Izhikevich("normalized").settings, formats=formats(v, u))
        a4 = p[3]  # the constant that contains the bias
        out, _, last = kernels.run(drive._replace(bias=a4), Memory(), start, (*p[:3], *p[4:]), s, kernel)
        return out, last

    multiplier = random.integers(1, 20, N) << v.fraction
    spikes = check(call, neuron, coefficients, total, multiplier, kernel, v, u, learned)
    assert spikes.any()


@UNCOMPILED
@pytest.mark.parametrize("reset", NEURONS_OF)
@settings(quick, max_examples=8)
@given(st.sampled_from([6, 8, 16]), st.integers(0, 1000), st.sampled_from(LEARNED))
def test_lif_is_the_integer_model(kernel, reset, width, seed, learned):
    random = np.random.default_rng(seed)
    v = FixedPoint(width, width - 3)
    neuron, coefficients = lif(random, v, reset)
    total = torch.from_numpy(random.integers(-30, 90, shape_for(kernel, (STEPS, BATCH, N)))).float()

    def call(drive, p, start, kernel):
        s = dataclasses.replace(LIF(reset=reset).settings, formats=formats(v, v))
        *p, bias = p
        out, _, last = kernels.run(drive._replace(bias=bias), Memory(), start, tuple(p), s, kernel)
        return out, last

    multiplier = random.integers(5, 40, N) << v.fraction
    spikes = check(call, neuron, coefficients, total, multiplier, kernel, v, None, learned)
    assert spikes.any()
