"""Neurons and networks in a loop of the user's: steps, autocast, compilation, copies, threads, hooks, truncation."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import izhi
from izhi import LIF, Izhikevich
from izhi.errors import ShapeError
from izhi.network import Network

NEURONS = {
    "LIF": lambda: LIF(threshold=0.3),
    "RS": lambda: Izhikevich("RS", gain=200),
    "learned": lambda: Izhikevich(parameter_shape=6, learn=["c", "d"], spread=0.1, gain=2.0),
}
X = torch.rand(20, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=NEURONS)
def pair(request):
    """Weights and the neurons behind them, as two modules of the user's."""
    torch.manual_seed(0)
    return nn.Linear(5, 6), NEURONS[request.param]()


def looped(linear, neuron, x):
    """Spikes of every step of a loop over time."""
    spikes, state = [], None
    for current in linear(x):
        out, state = neuron.step(current, state)
        spikes.append(out)
    return torch.stack(spikes), state


def test_a_loop_of_steps_is_a_call(pair):
    linear, neuron = pair
    (spikes, state), (same, last) = looped(linear, neuron, X), neuron(linear(X))
    assert spikes.sum() > 0
    assert torch.equal(spikes, same)
    torch.testing.assert_close(state.v, last.v)
    grads = []
    for out in (spikes, same):
        linear.zero_grad()
        out.square().sum().backward()
        grads.append(linear.weight.grad.clone())
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_autocast_keeps_states_in_single_precision(pair):
    linear, neuron = pair
    with torch.autocast("cpu", torch.bfloat16):
        for spikes, state in (looped(linear, neuron, X), neuron(linear(X))):
            assert spikes.dtype == torch.bfloat16
            assert {x.dtype for x in state if isinstance(x, torch.Tensor)} == {torch.float32}
            assert set(spikes.unique().tolist()) == {0.0, 1.0}
            linear.zero_grad()
            spikes.float().sum().backward()
            assert linear.weight.grad.isfinite().all()
            assert linear.weight.grad.any()


@pytest.mark.slow
def test_it_compiles_as_one_graph(pair):
    linear, neuron = pair
    expected, state = looped(linear, neuron, X[:4])
    compiled = torch.compile(looped, backend="eager", fullgraph=True)
    spikes, same = compiled(linear, neuron, X[:4])
    assert expected.any()
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(same.v, state.v)
    whole = torch.compile(neuron, backend="eager", fullgraph=True)
    assert torch.equal(whole(linear(X[:4]))[0], expected)


def test_copies_and_pickles_go_on_alike(pair):
    linear, neuron = pair
    _, state = neuron(linear(X))
    expected, _ = neuron(linear(X), state)
    assert expected.any()
    for other, last in (
        (copy.deepcopy(neuron), copy.deepcopy(state.detach())),
        (pickle.loads(pickle.dumps(neuron)), pickle.loads(pickle.dumps(state.detach()))),
    ):
        assert type(last) is type(state)
        assert torch.equal(other(linear(X), last)[0], expected)


def test_parts_of_a_batch_run_in_threads_as_data_parallel_has_them(pair):
    network = Network([*pair, nn.Linear(6, 3)])
    with torch.no_grad():
        expected, _ = network(X)
        assert expected.any()
        assert torch.equal(nn.DataParallel(network, dim=1)(X).output, expected)
        replicas, parts = [network, copy.deepcopy(network)], X.split(2, dim=1)
        with ThreadPoolExecutor(2) as pool:
            outputs = list(pool.map(lambda replica, part: replica(part).output, replicas, parts))
    torch.testing.assert_close(torch.cat(outputs, 1), expected)


def test_hooks_run_at_calls(pair):
    linear, neuron = pair
    seen = []
    neuron.register_forward_pre_hook(lambda module, inputs: seen.append(("before", inputs[0].shape)))
    neuron.register_forward_hook(lambda module, inputs, out: seen.append(("after", out[0].shape)))
    neuron.register_full_backward_hook(lambda module, into, of: seen.append(("backward", of[0].shape)))
    spikes, _ = neuron(linear(X))
    spikes.sum().backward()
    assert seen == [(name, (20, 4, 6)) for name in ("before", "after", "backward")]
    network = Network([linear, NEURONS["LIF"]()])
    network.layers[0].register_forward_hook(lambda layer, inputs, out: seen.append(out[0].sum().item()))
    recording = network.record(X)
    assert seen[-1] == recording.spikes[0].sum().item()


def test_truncated_backpropagation_ends_at_a_detached_state(pair):
    network = Network([*pair, nn.Linear(6, 3)])
    first, state = network(X[:10])
    second, _ = network(X[10:], state)
    whole, _ = network(X)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    v = state.layers[0].v
    (through,) = torch.autograd.grad(second.square().sum(), v, retain_graph=True)
    assert through.any(), "gradients flow through a state that is passed on"
    truncated, _ = network(X[10:], state.detach())
    assert second.any()
    assert torch.equal(truncated, second)
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        torch.autograd.grad(truncated.square().sum(), v)


def test_any_state_is_detached():
    neuron = izhi.LIF()
    state = neuron(torch.zeros(2, 1, 3, requires_grad=True))[1]
    assert state.v.requires_grad
    one, nothing, (v,) = izhi.detach([state, None, (state.v,)])
    assert not one.v.requires_grad
    assert nothing is None
    assert not v.requires_grad


def test_one_step_is_told_from_all():
    with pytest.raises(ShapeError, match=r"expected \(T, B, features\).*; one step .* is neuron.step\(current, state"):
        izhi.LIF()(torch.zeros(4, 3))
