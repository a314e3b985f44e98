"""A layer that stays silent while it is trained says so, once."""

import warnings

import pytest
import torch

import izhi
from izhi.connections import Linear
from izhi.errors import SilentLayerWarning
from izhi.network import Layer, Network


def train(model, calls, steps=25):
    """The warnings of training steps on MNIST-like values."""
    pixels = torch.rand(16, 784) * (torch.rand(16, 784) < 0.2)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(calls):
            model(izhi.encoding.rate(pixels, steps))
    return [str(w.message) for w in seen if w.category is SilentLayerWarning]


def silent():
    return Layer(Linear(784, 32), izhi.Izhikevich("RS", gain=1.0))


@pytest.mark.parametrize("name", ["RS", "IB", "CH", "FS", "LTS", "TC", "RZ", "biological", "tonic spiking"])
def test_a_layer_of_presets_in_mv_fires_by_default(name):
    layer = Layer(Linear(784, 512), izhi.Izhikevich(name))
    pixels = torch.rand(16, 784) * (torch.rand(16, 784) < 0.2)
    spikes, _ = layer(izhi.encoding.rate(pixels, 25))
    assert (spikes.sum((0, 1)) > 0).float().mean() > 0.3
    assert not train(layer, 8)


def test_a_silent_layer_warns_once_and_says_which_and_what_to_do():
    network = Network([Layer(Linear(784, 32), izhi.Izhikevich("RS", gain=1.0)), Layer(Linear(32, 4), izhi.LIF())])
    with torch.no_grad():
        network.layers[1].connection.input.bias.fill_(0)
    said = train(network, 12)
    assert said == [
        "layer 1 (784 → 32, izhikevich) is silent: no neuron has fired in 5 calls (125 steps) of training;"
        " raise its input current (gain or weights) or the steps",
        "layer 2 (32 → 4, lif) is silent: no neuron has fired in 5 calls (125 steps) of training;"
        " raise its input current (gain or weights) or the steps",
    ]


def test_a_layer_alone_warns_where_it_is_called():
    layer = silent()
    for _ in range(4):
        layer(torch.zeros(25, 2, 784))
    with pytest.warns(SilentLayerWarning, match="a layer \\(784 → 32, izhikevich\\) is silent") as seen:
        layer(torch.zeros(25, 2, 784))
    assert seen[0].filename == __file__


@pytest.mark.parametrize(("calls", "steps"), [(4, 100), (5, 19), (99, 1)])
def test_fewer_calls_or_steps_are_no_reason_to_warn(calls, steps):
    layer = silent()
    assert not train(layer, calls, steps)
    assert len(train(layer, 6, 25)) == 1


def test_what_is_not_trained_says_nothing():
    assert not train(silent().eval(), 12)
    assert not train(silent(), 3), "a few calls say little"
    assert not train(silent(), 12, steps=2), "nor do a few steps"
    assert not train(silent().requires_grad_(False), 12)
    with torch.no_grad():
        assert not train(silent(), 12)


def test_a_layer_that_has_fired_is_looked_at_no_more(monkeypatch):
    layer = Layer(Linear(784, 32), izhi.Izhikevich("RS"))
    assert not train(layer, 1)
    assert layer.watch.is_over
    with torch.no_grad():
        layer.connection.weight.zero_()
        layer.connection.input.bias.zero_()
    assert not train(layer, 8)
