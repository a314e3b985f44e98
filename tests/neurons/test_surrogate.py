"""Surrogates against snnTorch's, and against the steps that they are derivatives of."""

import math
from dataclasses import dataclass

import pytest
import torch
from snntorch import surrogate as theirs

import izhi
from izhi import IzhiError
from izhi.neurons.surrogate import (
    ATan,
    FastSigmoid,
    Heaviside,
    Sigmoid,
    SpikeRateEscape,
    StraightThrough,
    Triangular,
    closed_form,
    spike,
)


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (ATan(2.0), theirs.atan(alpha=2.0)),
        (ATan(5.0), theirs.atan(alpha=5.0)),
        (FastSigmoid(25.0), theirs.fast_sigmoid(slope=25)),
        (Sigmoid(5.0), theirs.sigmoid(slope=5)),
        (StraightThrough(), theirs.straight_through_estimator()),
        (Heaviside(), theirs.heaviside()),
        (Triangular(0.7), theirs.triangular(threshold=0.7)),
        (SpikeRateEscape(2.0, 3.0), theirs.spike_rate_escape(beta=2.0, slope=3.0)),
    ],
)
def test_derivative_equals_snntorch(ours, other):
    x = torch.linspace(-3, 3, 101, dtype=torch.float64, requires_grad=True)
    other(x).sum().backward()
    torch.testing.assert_close(ours.derivative(x.detach()), x.grad)
    assert closed_form(other) == ours


@pytest.mark.parametrize(
    ("ours", "other"),
    [
        (ATan(), theirs.atan()),
        (FastSigmoid(), theirs.fast_sigmoid()),
        (Sigmoid(), theirs.sigmoid()),
        (Triangular(), theirs.triangular()),
        (SpikeRateEscape(), theirs.spike_rate_escape()),
    ],
)
def test_defaults_are_those_of_snntorch_at_the_threshold_too(ours, other):
    assert closed_form(other) == ours
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    other(x).sum().backward()
    assert torch.equal(ours.derivative(x.detach()), x.grad)


def test_what_has_no_closed_form():
    assert closed_form(lambda x: x) is None
    assert closed_form(theirs.SSO()) is None
    assert closed_form(theirs.atan(alpha=torch.tensor(2.0))) is None
    assert closed_form(theirs.fast_sigmoid(slope=-1)) is None


@pytest.mark.parametrize(
    "surrogate",
    [ATan(2.0), FastSigmoid(4.0), Sigmoid(4.0), StraightThrough(), Heaviside(), Triangular(0.7),
     SpikeRateEscape(2.0, 3.0)],
)  # fmt: skip
def test_derivative_is_that_of_the_smooth_step(surrogate):
    x = torch.linspace(-3, 3, 98, dtype=torch.float64, requires_grad=True)  # no kink among them
    surrogate.smooth(x).sum().backward()
    torch.testing.assert_close(surrogate.derivative(x.detach()), x.grad)


def test_sigmoid_is_finite_far_away():
    x = torch.tensor([-95.0, 95.0], requires_grad=True)
    spike(x, Sigmoid(25.0)).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_threshold_itself_fires_unless_strict():
    x = torch.zeros(1)
    assert spike(x, ATan()) == 1
    assert spike(x, ATan(), strict=True) == 0


@pytest.mark.parametrize("slope", [0.0, -1.0, math.nan, math.inf])
def test_bad_slope(slope):
    with pytest.raises(IzhiError, match="expected a finite number above 0"):
        ATan(slope)


@dataclass
class Unhashable:
    """A surrogate of the user's, which Python cannot hash, since it can change."""

    slope: float = 2.0

    def __call__(self, x):
        return torch.sigmoid(self.slope * x)


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_a_surrogate_need_not_be_hashable():
    current = torch.rand(5, 2, 3, requires_grad=True)
    for neuron in (izhi.LIF(surrogate=Unhashable()), izhi.Izhikevich("normalized", surrogate=Unhashable())):
        (gradient,) = torch.autograd.grad(neuron(current)[0].sum(), current)
        assert gradient.abs().sum() > 0
