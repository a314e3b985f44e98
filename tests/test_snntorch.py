"""The snnTorch adapter, as a snnTorch user meets it."""

import gc
import weakref

import pytest
import snntorch as snn
import torch
from snntorch import surrogate
from snntorch.functional import quant
from torch import nn

import izhi
from izhi import IzhiError
from izhi.snntorch import Izhikevich, reset

CURRENT = torch.rand(30, 2, 3) * 0.3


@pytest.mark.parametrize("name", ["normalized", "RS", "tonic bursting"])
def test_equals_the_layer_step_for_step(name):
    current = CURRENT * (1 if name == "normalized" else 80)
    expected, state = izhi.Izhikevich(name)(current)
    neuron, mem, u = Izhikevich(name), None, None
    for t, current_t in enumerate(current):
        spk, mem, u = neuron(current_t, mem, u)
        assert torch.equal(spk, expected[t])
    assert torch.equal(mem, state.v)
    assert torch.equal(u, state.u)
    assert expected.sum() > 0


def test_is_a_spiking_neuron_and_returns_what_its_options_say():
    assert isinstance(Izhikevich(), snn.SpikingNeuron)
    assert len(Izhikevich()(CURRENT[0])) == 3
    assert isinstance(Izhikevich(init_hidden=True)(CURRENT[0]), torch.Tensor)
    assert len(Izhikevich(init_hidden=True, output=True)(CURRENT[0])) == 3
    with pytest.raises(TypeError, match="init_hidden"):
        Izhikevich(init_hidden=True)(CURRENT[0], torch.zeros(2, 3))


def test_init_hidden_keeps_state_and_reset_mem_clears_it():
    neuron = Izhikevich(init_hidden=True)
    first = torch.stack([neuron(x) for x in CURRENT])
    carried = torch.stack([neuron(x) for x in CURRENT])
    neuron.reset_mem()
    again = torch.stack([neuron(x) for x in CURRENT])
    assert torch.equal(first, again)
    assert not torch.equal(first, carried)


def test_reset_mem_starts_at_the_preset():
    neuron = Izhikevich("RS", init_hidden=True)
    neuron(CURRENT[0])
    mem, u = neuron.reset_mem()
    assert (mem == -70).all()
    assert (u == -14).all()


def mixed():
    return nn.Sequential(
        nn.Linear(3, 8), Izhikevich(init_hidden=True), nn.Linear(8, 5),
        snn.Leaky(beta=0.9, init_hidden=True), nn.Linear(5, 4), Izhikevich("RS", gain=40, init_hidden=True),
        nn.Linear(4, 2), snn.Synaptic(alpha=0.9, beta=0.8, init_hidden=True, output=True),
    )  # fmt: skip


def states(network):
    return [(m.mem.clone(), getattr(m, "u", torch.zeros(0)).clone()) for m in network if hasattr(m, "mem")]


def test_mixed_with_leaky_in_one_network_trains():
    network = mixed()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    x, y = torch.rand(16, 3), torch.randint(0, 2, (16,))
    losses = []
    for _ in range(30):
        reset(network)
        total = sum(network(x)[2] for _ in range(15))
        loss = nn.functional.cross_entropy(total, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is not None for p in network.parameters())


def test_reset_resets_this_network_and_no_other():
    one, two = mixed(), mixed()
    for _ in range(10):
        one(torch.rand(4, 3))
        two(torch.rand(4, 3))
    before = states(two)
    reset(one)
    assert all(torch.equal(a, b) for x, y in zip(before, states(two), strict=True) for a, b in zip(x, y, strict=True))
    mem, u = states(one)[0]
    assert (mem == 0).all()
    assert (u == 0).all()
    assert (states(one)[1][0] == 0).all()
    assert (states(one)[2][0] == -70).all()
    assert (states(one)[3][0] == 0).all()


def test_reset_finds_nested_layers():
    inner = nn.ModuleDict({"cell": Izhikevich(init_hidden=True)})
    outer = nn.ModuleList([nn.ModuleList([inner])])
    inner["cell"](torch.full((1, 2), 3.0))
    reset(outer)
    assert (inner["cell"].mem == 0).all()


def test_snntorch_keeps_no_neuron_alive():
    neuron = Izhikevich()
    assert not any(n is neuron for n in snn.SpikingNeuron.instances)
    alive = weakref.ref(neuron)
    del neuron
    gc.collect()
    assert alive() is None


def test_threshold_learns():
    neuron = Izhikevich("normalized", learn_threshold=True)
    assert "threshold" in dict(neuron.named_parameters())
    mem = u = None
    total = 0.0
    for x in CURRENT:
        spk, mem, u = neuron(x, mem, u)
        total = total + spk.sum()
    total.backward()
    assert neuron.threshold.grad < 0, "a higher threshold gives fewer spikes"


def test_state_quant_is_applied_to_both_states():
    q = quant.state_quant(num_bits=4, uniform=True, lower_limit=0.0, upper_limit=0.0, threshold=1)
    neuron = Izhikevich("normalized", state_quant=q)
    mem = u = None
    values = set()
    for x in CURRENT:
        _, mem, u = neuron(x, mem, u)
        assert torch.equal(q(mem), mem)
        values |= set(mem.flatten().tolist())
    assert 2 < len(values) <= 17


def test_graded_spikes_surrogates_and_disabled_gradients():
    spk, _, _ = Izhikevich(graded_spikes_factor=3.0)(torch.zeros(1, 2), torch.ones(1, 2), torch.zeros(1, 2))
    assert (spk == 3).all()
    x = torch.full((1, 2), 0.5, requires_grad=True)
    Izhikevich(izhi.preset("normalized").replace(order="snntorch"), spike_grad=surrogate.fast_sigmoid())(x)[
        0
    ].sum().backward()
    assert (x.grad > 0).all()
    off = Izhikevich(izhi.preset("normalized").replace(order="snntorch"), surrogate_disable=True)
    spk, _mem, _ = off(x)
    assert not spk.requires_grad or torch.autograd.grad(spk.sum(), x)[0].abs().sum() == 0


def test_state_dict_is_that_of_a_plain_neuron():
    a, b = Izhikevich("RS", learn=["d"]), Izhikevich("RS", learn=["d"])
    a.layer.learned["d"].data.fill_(5.0)
    a(torch.rand(4, 3))
    b.load_state_dict(a.state_dict())
    assert b.layer.learned["d"] == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 2.0}, "threshold is 2.0, expected none"),
        ({"reset_mechanism": "zero"}, "resets v to c"),
        ({"inhibition": True}, "inhibition is True"),
        ({"learn": ["threshold"]}, "learn_threshold=True"),
        ({"parameters": "RZZ"}, "unknown neuron preset"),
    ],
)
def test_options_without_meaning(options, message):
    with pytest.raises(IzhiError, match=message):
        Izhikevich(**options)
