"""A neuron alone takes the current of its equation; a connection delivers current_scale times its weighted spikes."""

import pytest
import torch

from izhi import LIF, Izhikevich, IzhikevichParameters, preset
from izhi.errors import SettingError
from izhi.kernels import SynapticInput
from izhi.network.connections import ConductanceSynapse, Linear
from izhi.network.layers import Layer

CURRENT = 10 + 5 * torch.rand(60, 2, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kernel", ["reference", "cpu"])
def test_a_neuron_alone_takes_millivolts_per_millisecond(kernel):
    neuron = Izhikevich("RS", kernel=kernel)
    spikes, state = neuron(CURRENT)
    assert spikes.sum() > 0
    for same in (Izhikevich("RS", gain=1, kernel=kernel), Izhikevich("RS", current_scale=7, kernel=kernel)):
        others, other = same(CURRENT)
        assert torch.equal(spikes, others)
        assert torch.equal(state.v, other.v)
    with torch.no_grad():
        assert torch.equal(neuron.trace(CURRENT)[0], spikes)
    steps, last = [], None
    for current in CURRENT:
        one, last = neuron.step(current, last)
        steps.append(one)
    assert torch.equal(torch.stack(steps), spikes)


@pytest.mark.parametrize("learn", [(), ("gain",), ("c", "gain")])
@pytest.mark.parametrize("synapse", [None, ConductanceSynapse])
def test_a_layer_computes_what_an_explicit_gain_of_200_does(learn, synapse):
    def layer(**options):
        torch.manual_seed(0)
        neuron = Izhikevich("RS", parameter_shape=6, learn=learn, **options)
        connection = Linear(5, 6, synapse=synapse and synapse(reversal=neuron.reversal, implicit=neuron.implicit))
        return Layer(connection, neuron)

    x = (torch.rand(50, 3, 5) < 0.4).float()
    results = []
    for own in (layer(), layer(gain=200.0)):
        spikes, state = own(x)
        spikes.sum().backward()
        results.append((spikes, state.v, *(p.grad for p in own.parameters() if p.grad is not None)))
    assert results[0][0].sum() > 0
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    layer().load_state_dict(layer(gain=200.0).state_dict())
    with pytest.raises(Exception, match="gain") if not learn else torch.no_grad():
        layer().load_state_dict(layer(gain=100.0).state_dict())


def test_an_explicit_gain_is_the_whole_factor():
    p = preset("RS")
    assert (p.gain, p.current_scale, p.connection_gain) == (1, 200, 200)
    assert p.replace(c=-60).connection_gain == 200
    assert p.replace(gain=40).connection_gain == 40
    assert p.replace(gain=1).connection_gain == 1
    assert p.replace(gain=2, current_scale=50).connection_gain == 100
    assert p.scaled(4).connection_gain == 800
    assert preset("normalized").current_scale == 1
    old = {**{name: getattr(p, name) for name in ("a1", "a2", "a3", "a4", "b1", "b2", "b3", "c", "d", "threshold")}}
    assert IzhikevichParameters(**old, gain=200.0).connection_gain == 200
    assert Izhikevich("RS").coefficients().gain == 200
    assert Izhikevich("RS").current_coefficients().gain == 1
    assert Izhikevich("RS", gain=3).current_coefficients().gain == 3
    assert Izhikevich({"RS": 0.5, "FS": 0.5}, parameter_shape=4).current_coefficients().gain == 1
    assert LIF().current_coefficients() == LIF().coefficients()
    with pytest.raises(SettingError, match="current_scale is -1, expected a number above 0"):
        Izhikevich("RS", current_scale=-1)


def test_a_learned_gain_acts_on_both():
    neuron = Izhikevich("RS", learn=("gain",))
    assert neuron.learned["gain"].item() == neuron.parameter_scale("gain") == 200
    for current in (CURRENT, SynapticInput(CURRENT / 200)):
        neuron.learned["gain"].grad = None
        neuron(current)[0].sum().backward()
        assert neuron.learned["gain"].grad.abs() > 0
