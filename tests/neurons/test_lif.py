"""LIF against snnTorch's Leaky, step for step."""

import math

import pytest
import snntorch
import torch
from snntorch import surrogate

from izhi import LIF, IzhiError


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("threshold", [1.0, 0.6])
def test_equals_leaky(reset, delay, kernel, threshold):
    current = torch.randn(40, 3, 7)
    leaky = snntorch.Leaky(beta=0.9, threshold=threshold, reset_mechanism=reset, reset_delay=delay)
    ours = LIF(0.9, threshold, reset=reset, reset_delay=delay, kernel=kernel)
    weight = torch.linspace(-1, 1, 40)[:, None, None]

    theirs_in = current.clone().requires_grad_()
    mem, out = torch.zeros(3, 7), []
    for current_t in theirs_in:
        spk, mem = leaky(current_t, mem)
        out.append(spk)
    expected = torch.stack(out)
    ((expected * weight).sum() + mem.sum()).backward()

    ours_in = current.clone().requires_grad_()
    spikes, state = ours(ours_in)
    ((spikes * weight).sum() + state.v.sum()).backward()

    assert expected.sum() > 20
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(state.v, mem)
    torch.testing.assert_close(ours_in.grad, theirs_in.grad)


def test_gradients_of_learned_coefficients_equal_leaky():
    current = torch.randn(30, 2, 4)
    leaky = snntorch.Leaky(beta=0.8, learn_beta=True, learn_threshold=True, spike_grad=surrogate.fast_sigmoid())
    ours = LIF(0.8, learn=["beta", "threshold"], surrogate=surrogate.fast_sigmoid())
    mem, total = torch.zeros(2, 4), 0.0
    for current_t in current:
        spk, mem = leaky(current_t, mem)
        total = total + spk.sum()
    total.backward()
    ours(current)[0].sum().backward()
    torch.testing.assert_close(ours.learned["beta"].grad, leaky.beta.grad)
    torch.testing.assert_close(ours.learned["threshold"].grad, leaky.threshold.grad)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_state_goes_in_and_out(kernel):
    neuron = LIF(kernel=kernel)
    current = torch.rand(40, 2, 3)
    whole, end = neuron(current)
    first, middle = neuron(current[:11])
    second, last = neuron(current[11:], middle)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(end.v, last.v)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beta": 1.5}, "beta is 1.5, expected a decay from 0 to 1"),
        ({"beta": math.nan}, "beta is nan"),
        ({"threshold": 0.0}, "threshold is 0.0, expected a finite number above 0"),
        ({"reset": "hard"}, "unknown reset mode 'hard'"),
        ({"learn": ["a1"]}, "unknown learnable coefficient 'a1'"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(IzhiError, match=message):
        LIF(**arguments)
