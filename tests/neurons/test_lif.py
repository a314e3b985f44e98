"""LIF against snnTorch's Leaky, step for step."""

import math

import numpy as np
import pytest
import snntorch
import torch
from snntorch import surrogate

from izhi import LIF, IzhiError
from izhi.neurons import surrogate as ours


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
    assert total > 5
    total.backward()
    ours(current)[0].sum().backward()
    torch.testing.assert_close(ours.learned["beta"].grad, leaky.beta.grad)
    torch.testing.assert_close(ours.learned["threshold"].grad, leaky.threshold.grad)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_spike_sets_v_to_a_value_before_the_next_decay(kernel):
    current = torch.tensor([0.8, 0.9, 0.0, 0.7, 2.0, 0.0]).view(-1, 1, 1)
    for delay, expected in ((True, [0.8, 1.3, -0.1, 0.65, 2.325, -0.1]), (False, [0.8, -0.2, -0.1, 0.65, -0.2, -0.1])):
        neuron = LIF(0.5, reset="value", v_reset=-0.2, reset_delay=delay, kernel=kernel)
        spikes, v = neuron.trace(current)
        assert spikes.flatten().tolist() == [0, 1, 0, 0, 1, 0]
        assert v.flatten().tolist() == pytest.approx(expected)
        whole, last = neuron(current)
        assert torch.equal(whole, spikes)
        assert torch.equal(last.v, v[-1])


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_value_of_zero_is_the_reset_to_zero(kernel, delay):
    current, found = torch.randn(40, 3, 7), []
    for reset in ("zero", "value"):
        x = current.clone().requires_grad_()
        spikes, state = LIF(0.9, reset=reset, reset_delay=delay, learn="beta", kernel=kernel)(x)
        ((spikes * torch.linspace(-1, 1, 40)[:, None, None]).sum() + state.v.sum()).backward()
        found.append((spikes, state.v, x.grad))
    assert found[0][0].sum() > 20
    for zero, value in zip(*found, strict=True):
        assert torch.equal(zero, value)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_a_spike_takes_the_threshold_from_v_before_the_next_decay(kernel):
    current = torch.tensor([0.8, 0.9, 0.0, 4.0, 0.0, 0.0]).view(-1, 1, 1)
    for delay, expected in (
        (True, [0.8, 1.3, 0.15, 4.075, 1.5375, 0.26875]), (False, [0.8, 0.3, 0.15, 3.075, 0.5375, 0.26875]),
    ):  # fmt: skip
        neuron = LIF(0.5, reset="soft", reset_delay=delay, kernel=kernel)
        spikes, v = neuron.trace(current)
        assert spikes.flatten().tolist() == [0, 1, 0, 1, 1, 0]
        assert v.flatten().tolist() == pytest.approx(expected)
        whole, last = neuron(current)
        assert torch.equal(whole, spikes)
        assert torch.equal(last.v, v[-1])


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_soft_is_the_subtraction_in_the_step_of_the_spike(kernel):
    current, beta, threshold = torch.randn(60, 3, 7) + 0.3, np.float32(0.9), np.float32(0.6)
    v, spikes = np.zeros((3, 7), np.float32), []
    for current_t in current.numpy():
        v = beta * v + current_t
        spikes.append(v > threshold)
        v = v - threshold * spikes[-1]
    assert (v > threshold).any()  # what is left may fire again, and is not lost
    found, state = LIF(0.9, 0.6, reset="soft", reset_delay=False, kernel=kernel)(current)
    assert np.array_equal(found.numpy(), spikes)
    assert np.array_equal(state.v.numpy(), v)
    found, state = LIF(0.9, 0.6, reset="soft", kernel=kernel)(current)
    assert np.array_equal(found.numpy(), spikes)
    assert np.array_equal(state.v.numpy() - threshold * spikes[-1], v)


@pytest.mark.parametrize("delay", [True, False])
@pytest.mark.parametrize(
    ("reset", "values", "expected"),
    [
        ("value", {"beta": [0.8, 0.7, 0.5], "v_reset": [-0.3, 0.1, 0.0]}, [1, 0, 0, 1, 0, 0]),
        ("soft", {"beta": [0.8, 0.7, 0.5], "threshold": [1.0, 1.2, 0.9]}, [1, 0, 0, 1, 1, 0]),
    ],
)
def test_gradients_of_the_coefficients_of_a_reset_are_true_derivatives(delay, reset, values, expected):
    """Where no spike comes or goes v is smooth in them, and the surrogate is as flat as the step."""
    current = torch.tensor([1.5, 0.2, 0.1, 1.9, 0.3, -0.1]).double().view(-1, 1, 1).expand(-1, 2, 3)
    neuron = LIF(
        reset=reset, reset_delay=delay, parameter_shape=3, learn=tuple(values), kernel="reference",
        surrogate=ours.FastSigmoid(1e12),
    )  # fmt: skip

    def last_v(*given):
        learned = {f"learned.{name}": value for name, value in zip(values, given, strict=True)}
        spikes, state = torch.func.functional_call(neuron, learned, current)
        assert spikes[:, 0, 0].tolist() == expected
        return state.v

    given = (torch.tensor(x).double().requires_grad_() for x in values.values())
    assert torch.autograd.gradcheck(last_v, tuple(given))


@pytest.mark.parametrize(
    ("reset", "values", "is_same"),
    [("soft", {}, True), ("zero", {}, True), ("value", {"v_reset": -0.3}, True), ("subtract", {}, False)],
)
def test_the_delay_of_a_reset_matters_for_the_subtraction_behind_the_decay_alone(reset, values, is_same):
    current = 0.3 + torch.randn(200, 2, 20, generator=torch.Generator().manual_seed(0))
    late, now = (LIF(0.9, reset=reset, reset_delay=delay, **values)(current)[0] for delay in (True, False))
    assert late.sum() > 100
    assert torch.equal(late, now) == is_same


def test_what_is_learned_stays_below_the_threshold():
    neuron = LIF(reset="value", v_reset=0.5, learn="threshold,v_reset", parameter_shape=3)
    for parameter, values in zip(neuron.parameters(), ([1.0, 0.3, 0.3], [0.9, 0.2, 7.0]), strict=True):
        parameter.data = torch.tensor(values)
    _, threshold, v_reset = neuron.coefficients()
    assert threshold.tolist() == pytest.approx([1.0, 0.3, 0.3])
    assert v_reset.tolist() == pytest.approx([0.9, 0.2, 0.25])
    v_reset.sum().backward()
    assert neuron.learned["v_reset"].grad.tolist() == [1, 1, 1]
    alone = LIF(reset="value", v_reset=0.5, learn="threshold")
    alone.learned["threshold"].data.fill_(0.1)
    assert alone.coefficients()[1].item() == pytest.approx(0.55)
    assert torch.equal(LIF(reset="value", v_reset=0.99, learn="v_reset").coefficients()[2], torch.tensor(0.99))


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_state_goes_in_and_out(kernel):
    neuron = LIF(kernel=kernel)
    current = torch.rand(40, 2, 3)
    whole, end = neuron(current)
    first, middle = neuron(current[:11])
    second, last = neuron(current[11:], middle)
    assert whole.any()
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
        ({"learn": ["v_reset"], "reset": "zero"}, "unknown learnable coefficient 'v_reset'"),
        ({"reset": "value", "v_reset": math.nan}, "v_reset is nan, expected a finite number below the threshold, 1"),
        ({"reset": "value", "v_reset": -math.inf}, "v_reset is -inf, expected a finite number"),
        ({"reset": "value", "v_reset": 1.0}, "v_reset is 1.0, expected a finite number below the threshold, 1"),
        ({"reset": "zero", "v_reset": -0.5}, "v_reset is -0.5, which reset 'zero' has no use for; choose reset"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(IzhiError, match=message):
        LIF(**arguments)
