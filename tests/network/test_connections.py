"""Connections: their equations, units, state, and that any works with any neuron."""

import math

import pytest
import torch

from izhi import LIF, IzhiError, Izhikevich
from izhi.kernels import Memory
from izhi.kernels.cpu import bits
from izhi.kernels.reference import apply_synapse
from izhi.network.connections import (
    CONNECTIONS,
    ConductanceSynapse,
    Conv2d,
    ExponentialSynapse,
    Linear,
    currents,
    exponential_filter,
)
from izhi.network.layers import Layer


def spikes_of(shape, rate=0.3):
    return (torch.rand(shape) < rate).float()


def by_hand(spikes, weight, tau):
    """s ← s·(1 − 1/τ) + spike per presynaptic neuron, as S2NN-HLS keeps it; yields W·s."""
    s, out = torch.zeros_like(spikes[0]), []
    for spike in spikes:
        s = s * (1 - 1 / tau) + spike
        out.append(s @ weight.T)
    return torch.stack(out)


def arriving(drive):
    """Current and conductance after the synapse, step by step."""
    memory, steps = Memory(), []
    for t in range(len(drive.current)):
        now, memory = apply_synapse(drive.step(t), memory)
        current = now.current if now.bias is None else now.current + now.bias
        steps.append((current, now.conductance))
    return tuple(torch.stack(x) for x in zip(*steps, strict=True) if x[0] is not None)


@pytest.mark.parametrize("steps", [1, 5, 64, 65, 200])
def test_filter_is_the_recursion(steps):
    x = torch.randn(steps, 2, 3, dtype=torch.float64)
    state = torch.randn(2, 3, dtype=torch.float64)
    y, last = exponential_filter(x, 0.9, state), state
    for t in range(steps):
        last = 0.9 * last + x[t]
        torch.testing.assert_close(y[t], last)


def test_filter_gradients():
    x = torch.randn(70, 1, 2, dtype=torch.float64, requires_grad=True)
    decay = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    state = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(exponential_filter, (x, decay, state))


def test_linear():
    connection = Linear(5, 3)
    x = spikes_of((4, 2, 5))
    drive = connection(x)
    torch.testing.assert_close(drive.current, x @ connection.weight.T)
    assert drive.bias is connection.input.bias
    assert (drive.conductance, drive.synapse, drive.feedback) == (None, None, None)
    torch.testing.assert_close(currents(drive, None)[0], connection.input(x))


def test_exponential_is_the_synapse_of_the_earlier_work():
    connection = Linear(5, 3, synapse=ExponentialSynapse(10.0))
    x = spikes_of((30, 2, 5))
    current, _ = currents(connection(x), None)
    expected = by_hand(x, connection.weight, 10.0) / 10 + connection.input.bias
    torch.testing.assert_close(current, expected)
    torch.testing.assert_close(arriving(connection(x))[0], expected)


def test_one_spike_has_the_area_it_has_through_linear():
    connection = Linear(1, 1, bias=False, synapse=ExponentialSynapse(5.0))
    x = torch.zeros(200, 1, 1)
    x[0] = 1
    current, _ = currents(connection(x), None)
    assert current.sum().item() == pytest.approx(connection.weight.item(), rel=1e-4)


def test_tau_can_be_learned():
    connection = Linear(5, 3, synapse=ExponentialSynapse(learn_tau=True))
    currents(connection(spikes_of((30, 2, 5))), None)[0].square().sum().backward()
    assert connection.synapse.logit.grad != 0
    assert ExponentialSynapse().logit.requires_grad is False


@pytest.mark.parametrize("implicit", [0.0, 2.5])
@pytest.mark.parametrize("inhibitory", [None, 0.1, 0.4])
def test_conductance_equation(inhibitory, implicit):
    low, rest, high = -85.0, -65.0, 0.0
    synapse = ConductanceSynapse(reversal=(low, rest, high), inhibitory=inhibitory, implicit=implicit)
    connection = Linear(10, 3, synapse=synapse)
    x = spikes_of((20, 2, 10))
    current_at_0, conductance = arriving(connection(x))
    weight = synapse.signed(connection.weight).detach()
    plus, minus = weight.clamp(min=0), (-weight).clamp(min=0)
    g_exc = by_hand(x, plus, 10.0) / 10 / (high - rest)
    g_inh = by_hand(x, minus, 10.0) / 10 / (rest - low)
    share = 1 / (1 + implicit * (g_exc + g_inh))
    for v in (-80.0, -65.0, -20.0):
        current = current_at_0 - conductance * v
        expected = (g_exc * (high - v) + g_inh * (low - v)) * share + connection.input.bias
        torch.testing.assert_close(current, expected, rtol=1e-4, atol=1e-4)


def test_neuron_types_fix_the_signs():
    synapse = ConductanceSynapse(inhibitory=0.2)
    for connection in (Linear(10, 4, synapse=synapse), Conv2d(10, 4, 3, synapse=synapse)):
        signed = synapse.signed(connection.weight)
        assert (signed[:, :8] > 0).all()
        assert (signed[:, 8:] < 0).all()
        assert torch.equal(signed.abs(), synapse.strength * connection.weight.abs())


def test_reversal_potentials_agree_between_units():
    low, rest, high = Izhikevich("RS").reversal
    assert (low, rest, high) == (-85, -65, 0)
    scaled = Izhikevich("normalized").reversal
    lv = 100 / 0.7
    assert scaled == pytest.approx(tuple((x + 65) / lv for x in (low, rest, high)))


def test_recurrent_is_the_step_loop():
    neuron = Izhikevich()
    layer = Layer(Linear(5, 4, recurrent=True), neuron)
    x = spikes_of((30, 2, 5))
    out, _ = layer(x)
    state, last, total = None, torch.zeros(2, 4), 0
    for t in range(30):
        current = layer.connection.input(x[t]) + layer.connection.feedback(last)
        last, state = neuron.step(current, state)
        torch.testing.assert_close(out[t], last)
        total += last.sum()
    assert total > 5


def test_a_recurrent_synapse_filters_both():
    """y[t] = y[t−1]·(1 − 1/τ) + (W·s[t] + R·z[t−1])/τ"""
    neuron, tau = Izhikevich(gain=8.0), 4.0
    layer = Layer(Linear(5, 4, synapse=ExponentialSynapse(tau), recurrent=True), neuron)
    x = spikes_of((30, 2, 5))
    out, _ = layer(x)
    weight, bias = layer.connection.weight, layer.connection.input.bias
    state, last, y, total = None, torch.zeros(2, 4), torch.zeros(2, 4), 0
    for t in range(30):
        arriving = x[t] @ weight.T + layer.connection.feedback(last)
        y = y * (1 - 1 / tau) + arriving / tau
        last, state = neuron.step(y + bias, state)
        torch.testing.assert_close(out[t], last)
        total += last.sum()
    assert total > 5


@pytest.mark.parametrize("kind", CONNECTIONS)
@pytest.mark.parametrize("neuron", ["lif", "normalized", "RS", "CH"])
def test_any_connection_with_any_neuron(kind, neuron):
    """Runs, learns, and splits in time: two calls with state equal one."""
    cell = LIF() if neuron == "lif" else Izhikevich(neuron, gain=1.0 if neuron == "normalized" else 40.0)
    make, recurrent = CONNECTIONS[kind]
    extra = {"reversal": cell.reversal} if make is ConductanceSynapse else {}
    layer = Layer(Linear(20, 6, synapse=make and make(**extra), recurrent=recurrent), cell)
    with torch.no_grad():
        layer.connection.weight.abs_()
    x = spikes_of((24, 3, 20), 0.5)
    whole, _ = layer(x)
    first, state = layer(x[:10])
    second, _ = layer(x[10:], state)
    assert whole.sum() > 0
    assert (whole != torch.cat([first, second])).float().mean() < 0.005
    whole.sum().backward()
    assert layer.connection.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_wrong_inputs(kind):
    make, recurrent = CONNECTIONS[kind]
    connection = Linear(5, 3, synapse=make and make(), recurrent=recurrent)
    for x, message in (
        (torch.zeros(4, 5), "expected 3 dimensions"),
        (torch.zeros(4, 2, 6), r"6 wide, expected 5"),
        (torch.zeros(0, 2, 5), "T = 0"),
    ):
        with pytest.raises(IzhiError, match=message):
            connection(x)


def test_wrong_settings():
    with pytest.raises(IzhiError, match="in_features is 0"):
        Linear(0, 3)
    for tau in (1.0, -3.0, math.nan):
        with pytest.raises(IzhiError, match="expected a finite number of steps above 1"):
            ExponentialSynapse(tau)
    with pytest.raises(IzhiError, match="expected E_inh < v_rest < E_exc"):
        ConductanceSynapse(reversal=(0, -65, -85))
    with pytest.raises(IzhiError, match="expected a share from 0 to 1"):
        ConductanceSynapse(inhibitory=1.5)


def test_the_description_of_a_synapse_has_its_tau_of_now():
    synapse = ExponentialSynapse(10.0, learn_tau=True)
    with torch.no_grad():
        synapse.logit.fill_(math.log(4 - 1))  # 1 − 1/τ = 3/4
    assert synapse.spec.tau == pytest.approx(4)
    assert synapse.decay.item() == pytest.approx(0.75)


def test_a_conductance_by_default_is_that_of_a_neuron_at_rest_at_65_millivolts():
    synapse = ConductanceSynapse()
    assert (synapse.reversal, synapse.implicit, synapse.inhibitory) == ((-85.0, -65.0, 0.0), 1.0, None)
    assert synapse.spec.tau == pytest.approx(10)
    current, conductance = synapse.weights(torch.tensor([1.0, -1.0]))
    assert torch.allclose(current + conductance * 65.0, torch.tensor([8.0, -8.0]))  # at rest that of weights


def test_a_conductance_counts_its_spikes_once(monkeypatch):
    counts, pack = [], bits.packed
    monkeypatch.setattr(bits, "packed", lambda x: counts.append(x) or pack(x))
    layer = Linear(64, 8, synapse=ConductanceSynapse())
    spikes = (torch.rand(32, 100, 64) < 0.1).float().requires_grad_()
    drive = layer(spikes)
    assert len(counts) == 1
    signed = 8.0 * layer.weight
    excitatory, inhibitory = signed.clamp(min=0) / 65, (-signed).clamp(min=0) / 20
    torch.testing.assert_close(drive.conductance, spikes @ (excitatory + inhibitory).T)
    torch.testing.assert_close(drive.current, spikes @ (-85 * inhibitory).T)
