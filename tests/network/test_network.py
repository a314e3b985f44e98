"""Networks: state in and out, recording, and keeping only every k-th state."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from izhi import LIF, IzhiError, Izhikevich
from izhi.errors import DivergenceError, SettingError
from izhi.network.connections import (
    ConductanceSynapse,
    Connection,
    ExponentialSynapse,
    Linear,
)
from izhi.network.layers import Layer
from izhi.network.network import Network, first_nonfinite
from tiers import slow_but


def tensors(state):
    """Every tensor of a state."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [x for part in state for x in tensors(part)] if isinstance(state, (tuple, list)) else []


def make(keep_every=None, readout=True):
    torch.manual_seed(0)
    neuron = Izhikevich(gain=3.0)
    layers = [
        Layer(Linear(8, 12, synapse=ExponentialSynapse()), Izhikevich(gain=9.0, learn=("a2",))),
        Layer(Linear(12, 10, recurrent=True), LIF()),
        Layer(Linear(10, 10, synapse=ConductanceSynapse(reversal=neuron.reversal)), neuron),
    ]
    last: Connection | None = Linear(10, 3, synapse=ExponentialSynapse()) if readout else None
    return Network(layers, last, keep_every=keep_every)


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("keep_every", slow_but([7, 100], [1, 7, 20, 60, 100]))
def test_keeping_every_kth_state_changes_no_number(keep_every, readout):
    spikes = (torch.rand(60, 4, 8) < 0.4).float()
    results = []
    for network in (make(readout=readout), make(keep_every, readout)):
        out = network.record(spikes)
        out.output.square().sum().backward()
        results.append((out, [p.grad for p in network.parameters() if p.requires_grad]))
    (whole, grads), (parts, other) = results
    torch.testing.assert_close(parts.output, whole.output)
    for a, b in zip(whole.spikes, parts.spikes, strict=True):
        assert torch.equal(a, b)
    assert all(x.any() for x in (*whole.spikes, *grads))
    torch.testing.assert_close(grads, other, rtol=1e-4, atol=1e-5)


def test_keeping_every_kth_state_saves_memory():
    """What is kept for the backward pass no longer grows with T, but for the input."""

    def kept(keep_every, steps):
        network = Network(
            [Layer(Linear(4, 64), Izhikevich()), Layer(Linear(64, 64), Izhikevich())],
            keep_every=keep_every,
        )
        spikes = (torch.rand(steps, 2, 4) < 0.4).float()
        sizes = {}

        def count(x):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(count, lambda x: x):
            network(spikes)
        return sum(sizes.values())

    assert kept(10, 400) < 0.2 * kept(None, 400)


def test_state_carries_on():
    network, spikes = make(), (torch.rand(40, 4, 8) < 0.4).float()
    whole = network(spikes)
    assert whole.output.any()
    first = network(spikes[:13])
    second = network(spikes[13:], first.state)
    torch.testing.assert_close(torch.cat([first.output, second.output]), whole.output)


def test_a_call_returns_output_and_state_and_recording_is_a_method_of_its_own():
    network, x = make(), torch.zeros(5, 2, 8)
    output, state = network(x)
    recording = network.record(x, state)
    assert recording._fields == ("output", "state", "spikes")
    assert [s.shape for s in recording.spikes] == [(5, 2, 12), (5, 2, 10), (5, 2, 10)]
    assert torch.equal(output, network(x).output)
    with pytest.raises(AttributeError, match="network.record"):
        _ = network(x).spikes
    with pytest.raises(SettingError, match="use network.record"):
        network(x, record=True)
    with pytest.raises(SettingError, match=r"state is \[None.*expected a NetworkState"):
        network(x, [None, None, None])


@pytest.mark.parametrize("readout", [True, False])
def test_a_state_is_cut_from_the_graph_and_moved(readout):
    network, x = make(readout=readout), (torch.rand(6, 3, 8) < 0.4).float()
    state = network(x).state
    assert any(tensor.requires_grad for tensor in tensors(state))
    assert not any(tensor.requires_grad for tensor in tensors(state.detach()))
    assert type(state.detach()) is type(state)
    for one, other in zip(tensors(state.detach()), tensors(state), strict=True):
        assert torch.equal(one, other)
    assert {tensor.dtype for tensor in tensors(state.to(torch.float64))} == {torch.float64}
    assert {tensor.device.type for tensor in tensors(state.to("meta"))} == {"meta"}
    own = state.layers[0]
    own = own.neuron if hasattr(own, "neuron") else own
    assert not own.detach().v.requires_grad
    assert own.to("meta").v.device.type == "meta"


def test_bad_networks():
    with pytest.raises(IzhiError, match="keep_every is 0, expected at least 1 step"):
        make(keep_every=0)
    with pytest.raises(IzhiError, match="no layers"):
        Network([])
    with pytest.raises(IzhiError, match="expected Linear or ExponentialSynapse"):
        Network([], Linear(4, 2, recurrent=True))(torch.zeros(3, 1, 4))


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
@pytest.mark.parametrize("keep_every", [None, 2])
@pytest.mark.parametrize("neuron", [LIF, partial(LIF, reset="zero"), Izhikevich])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_state_that_is_no_number_is_refused(neuron, keep_every, kernel, value):
    """Without an error a network of NaN looks like a silent one: its spikes and its loss are finite."""
    network = Network([nn.Linear(4, 3), neuron(kernel=kernel)], nn.Linear(3, 2), keep_every=keep_every)
    with torch.no_grad():
        network.layers[0].connection.weight[0, :2] = torch.tensor([value, -value])
    with pytest.raises(DivergenceError, match="a state of layer 1 is not a number: weights, coefficients or inputs"):
        network(torch.ones(5, 2, 4))
    assert first_nonfinite(network, torch.ones(5, 2, 4)) == "layer 1, time step 0"
