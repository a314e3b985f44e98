"""Which equations are those of a leaky integrate-and-fire neuron, and with which numbers."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import izhi
from izhi.equation.leaky import leaky_form

VALUES = {"beta": 0.875, "rest": 0.25, "threshold": 1.5, "v_reset": -0.5, "factor": 2.0}


def moved(v, I, p):
    """v ← β·(v − rest) + rest + k·I, by other operations."""
    return v - (1.0 - p.beta) * (v - p.rest) + I / (1.0 / p.factor)


def at_least(v, I, p):
    v = moved(v, I, p)
    return izhi.select(v >= p.threshold, p.v_reset, v), izhi.spike(v - p.threshold)


def below(v, I, p):
    v = moved(v, I, p)
    return izhi.select(~(v < p.threshold), p.v_reset, v), izhi.spike((v - p.threshold) * 3.0)


def swapped(v, I, p):
    v = moved(v, I, p)
    return izhi.select(p.threshold > v, v, p.v_reset), izhi.spike(v / p.threshold - 1.0)


def by_spike(v, I, p):
    v = moved(v, I, p)
    s = izhi.spike(-(p.threshold - v))
    return v - izhi.hold(s) * (v - p.v_reset), s


def above(v, I, p):
    v = moved(v, I, p)
    return izhi.select(v > p.threshold, p.v_reset, v), izhi.spike(v - p.threshold, strict=True)


def subtracting(v, I, p):
    v = moved(v, I, p)
    s = izhi.spike(v - p.threshold)
    return v - s * (p.threshold - p.rest), s


def backwards(v, I, p):
    v = moved(v, I, p)
    return izhi.select(v <= p.threshold, p.v_reset, v), izhi.spike(p.threshold - v)


def strict_reset(v, I, p):
    v = moved(v, I, p)
    return izhi.select(v > p.threshold, p.v_reset, v), izhi.spike(v - p.threshold)


def early_reset(v, I, p):
    v = moved(v, I, p)
    return izhi.select(v >= p.threshold - 0.5, p.v_reset, v), izhi.spike(v - p.threshold)


def of_the_last_step(v, I, p):
    return izhi.select(v >= p.threshold, p.v_reset, moved(v, I, p)), izhi.spike(v - p.threshold)


def partly_reset(v, I, p):
    v = moved(v, I, p)
    s = izhi.spike(v - p.threshold)
    return v - s * (p.threshold - p.rest) * 0.5, s


def squared(v, I, p):
    v = moved(v, I, p) + 0.5 * v * v
    return izhi.select(v >= p.threshold, p.v_reset, v), izhi.spike(v - p.threshold)


def drifting(v, I, p):
    v = v + p.rest + p.factor * I
    return izhi.select(v >= p.threshold, p.v_reset, v), izhi.spike(v - p.threshold)


@functools.cache
def model_of(function):
    return izhi.neuron(states="v", parameters=VALUES)(function)


def form_of(function, **values):
    values, model = VALUES | values, model_of(function)
    arrays = {name: np.atleast_1d(np.asarray(value, np.float64)) for name, value in values.items()}
    return leaky_form(model.equation, dict(zip(arrays, np.broadcast_arrays(*arrays.values()), strict=True)))


@settings(deadline=None, max_examples=30)
@given(
    beta=st.floats(0, 0.99), rest=st.floats(-1, 1), gap=st.floats(0.1, 3), below_it=st.floats(0.1, 2),
    factor=st.floats(0.1, 4),
)  # fmt: skip
def test_every_wording_has_the_same_numbers(beta, rest, gap, below_it, factor):
    threshold = rest + gap
    if not threshold > 0.01:
        threshold = rest + 3.0
    values = {"beta": beta, "rest": rest, "threshold": threshold, "v_reset": threshold - below_it, "factor": factor}
    for wording in (at_least, below, swapped, by_spike, above, subtracting):
        form = form_of(wording, **values)
        found = [form.beta, form.rest, form.threshold, form.factor]
        np.testing.assert_allclose(np.ravel(found), [beta, rest, threshold, factor], rtol=1e-9, atol=1e-9)
        assert form.is_strict == (wording is above)
        if wording is subtracting:
            assert form.v_reset is None
        else:
            np.testing.assert_allclose(form.v_reset, values["v_reset"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "function", [backwards, strict_reset, early_reset, of_the_last_step, partly_reset, squared, drifting],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_others_are_not_leaky(function):
    assert form_of(at_least) is not None
    assert form_of(function) is None


@pytest.mark.parametrize(
    "values",
    [
        {"beta": 1.01}, {"beta": -0.01}, {"beta": [0.5, 1.01]}, {"factor": [2.0, 1e400]}, {"threshold": 0.25},
        {"threshold": [1.5, 0.0]}, {"v_reset": 1.5}, {"v_reset": [0.0, 2.0]},
    ],
    ids=str,
)  # fmt: skip
def test_numbers_that_no_leaky_neuron_has(values):
    assert form_of(at_least, **values) is None


def test_a_neuron_without_a_leak_rests_at_0():
    form = form_of(at_least, beta=[1.0, 0.5], rest=0.0)
    assert form.beta.tolist() == [1.0, 0.5]
    assert form.rest.tolist() == [0.0, 0.0]
    assert form_of(drifting, rest=0.0).rest.tolist() == [0.0]


def test_a_neuron_without_input_is_not_leaky():
    def deaf(v, I, p):
        v = p.beta * v + 0.0 * I
        return izhi.select(v >= p.threshold, p.v_reset, v), izhi.spike(v - p.threshold)

    assert form_of(deaf) is None
