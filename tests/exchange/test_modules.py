"""Modules of snnTorch taken over: the same spikes in every step; what cannot be is refused with a remedy."""

import brevitas.nn as qnn
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings, strategies as st
from test_nir import run
from torch import nn

import izhi
import izhi.snntorch as iz
from izhi.errors import ExchangeError
from izhi.hardware import fixed
from izhi.network import Network
from izhi.quantization import formats, in_integers, quantized


def strong(inputs, outputs, times=3, **options):
    found = nn.Linear(inputs, outputs, **options)
    with torch.no_grad():
        found.weight.mul_(times)
    return found


def looped(network, x):
    """What a network gives step by step, as its users run it."""
    iz.reset(network)
    network.eval()
    with torch.no_grad():
        out = [network(step) for step in x]
    return torch.stack([x[0] if isinstance(x, tuple) else x for x in out])


def assert_same(network, shape, sample=None, rate=0.3):
    """Every spike of 60 steps and 4 samples."""
    torch.manual_seed(1)
    x = (torch.rand(60, 4, *shape) < rate).float()
    found = iz.convert(network, sample)
    wanted, out = looped(network, x), run(found, x.flatten(2))
    own = out.output.reshape(wanted.shape)
    assert all(0.01 < float(s.mean()) < 0.95 for s in out.spikes)
    if found.readout is None:
        assert torch.equal(own, wanted)
    else:
        assert torch.allclose(own, wanted, atol=1e-5)
    return found


def leaky(**options):
    return snn.Leaky(0.9, init_hidden=True, **options)


ROWS = {
    "leaky": lambda: [strong(20, 30), leaky(), strong(30, 10), snn.Leaky(0.8, init_hidden=True, output=True)],
    "zero": lambda: [strong(20, 30), leaky(reset_mechanism="zero"), nn.Dropout(), strong(30, 10), leaky()],
    "zero at once": lambda: [strong(20, 30), leaky(reset_mechanism="zero", reset_delay=False)],
    "subtract at once": lambda: [strong(20, 30), leaky(reset_delay=False)],
    "no reset": lambda: [strong(20, 30), leaky(reset_mechanism="none")],
    "a readout": lambda: [strong(20, 30), leaky(), strong(30, 10)],
    "no bias": lambda: [strong(20, 30, bias=False), leaky()],
    "of each neuron": lambda: [
        strong(20, 30), snn.Leaky(torch.rand(30), threshold=torch.rand(30) + 0.2, init_hidden=True, learn_beta=True),
    ],
    "learned": lambda: [strong(20, 30), leaky(learn_beta=True, learn_threshold=True)],
    "synaptic": lambda: [strong(20, 30, 1), snn.Synaptic(0.7, 0.8, init_hidden=True), strong(30, 10, 1), leaky()],
    "synaptic to zero": lambda: [
        strong(20, 30, 1), snn.Synaptic(0.7, 0.8, init_hidden=True, reset_mechanism="zero", reset_delay=False),
    ],
    "recurrent": lambda: [strong(20, 30), snn.RLeaky(0.8, linear_features=30, init_hidden=True)],
    "recurrent, one to one": lambda: [
        strong(20, 30), snn.RLeaky(0.8, all_to_all=False, V=-0.5, init_hidden=True),
        strong(30, 10), snn.RLeaky(
            0.8, all_to_all=False, V=torch.linspace(-1, 1, 10), init_hidden=True, reset_mechanism="zero",
            reset_delay=False,
        ),
    ],
    "recurrent and synaptic": lambda: [
        strong(20, 30, 1), snn.RSynaptic(0.7, 0.8, linear_features=30, init_hidden=True),
    ],
    "izhikevich": lambda: [
        strong(20, 30), iz.Izhikevich(init_hidden=True), strong(30, 10),
        iz.RIzhikevich(linear_features=10, init_hidden=True, learn="c,d", learn_threshold=True),
    ],
    "normalised over the batch": lambda: [strong(20, 30), nn.BatchNorm1d(30), leaky()],
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_keep_every_spike(name):
    torch.manual_seed(0)
    network = nn.Sequential(*ROWS[name]())
    for module in network:
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0.3)
    found = assert_same(network, (20,))
    learned = [x for x in found.parameters() if x.requires_grad]
    assert learned


def test_convolutions_and_pools_keep_every_spike():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), snn.Leaky(0.9, threshold=0.3, init_hidden=True),
        nn.MaxPool2d(2), nn.Conv2d(4, 4, (3, 1), stride=(1, 2), bias=False), leaky(), nn.AvgPool2d((2, 1)),
        nn.Flatten(), strong(8, 10), leaky(),
    )  # fmt: skip
    network[1].running_mean.uniform_(-0.1, 0.1)
    assert_same(network, (1, 8, 8), torch.zeros(2, 1, 8, 8))


class Tutorial(nn.Module):
    """As snnTorch's tutorials write networks: states in hand, a loop over time, features made flat by the way."""

    def __init__(self):
        super().__init__()
        self.lif2, self.lif1 = snn.Leaky(0.9), snn.Leaky(0.8)  # in another order than they run
        self.fc1, self.fc2 = strong(16, 30), strong(30, 5)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for _ in range(20):
            spk1, mem1 = self.lif1(self.fc1(x.view(len(x), -1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            out.append(spk2)
        return torch.stack(out), mem2


def test_the_network_of_a_tutorial_is_found_by_running_it():
    torch.manual_seed(0)
    network, x = Tutorial(), torch.rand(3, 16)
    wanted, _ = network(x)
    found = iz.convert(network)
    assert [layer.neuron.beta for layer in found.spiking] == pytest.approx([0.8, 0.9])
    assert torch.equal(run(found, x.expand(20, -1, -1)).output, wanted)
    assert wanted.mean() > 0.01


def test_the_module_is_left_as_it_was():
    network = nn.Sequential(strong(20, 30), leaky(), strong(30, 10), leaky())
    network.train()
    network(torch.rand(4, 20))
    before = [network[k].mem.clone() for k in (1, 3)]
    weights = [x.clone() for x in network.parameters()]
    found = iz.convert(network)
    assert network.training
    assert all(torch.equal(network[k].mem, x) for k, x in zip((1, 3), before, strict=True))
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.zero_()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), weights, strict=True))


def test_layers_of_brevitas_give_their_rounded_weights():
    torch.manual_seed(0)
    network = nn.Sequential(
        qnn.QuantLinear(20, 30, bias=True, weight_bit_width=4), snn.Leaky(0.9, threshold=0.2, init_hidden=True),
        qnn.QuantLinear(30, 10, bias=False, weight_bit_width=3), snn.Leaky(0.9, threshold=0.2, init_hidden=True),
    )  # fmt: skip
    found = assert_same(network, (20,))
    assert len(found.spiking[0].connection.weight.unique()) <= 16
    assert len(found.spiking[1].connection.weight.unique()) <= 8


@pytest.mark.parametrize("name", ["leaky", "zero", "synaptic to zero", "recurrent", "recurrent and synaptic"])
def test_what_is_taken_over_goes_on_to_integers_spike_for_spike(name):
    torch.manual_seed(0)
    found = iz.convert(nn.Sequential(*ROWS[name]()))
    x = (torch.rand(30, 8, 20) < 0.3).float()
    whole = quantized(found, 4, formats(found, x, 16)).eval()
    with torch.no_grad():
        wanted = whole.record(x)
    out = fixed.run(in_integers(whole), x.numpy().astype("uint8"))
    for a, b in zip(wanted.spikes, out.spikes, strict=True):
        assert (a.numpy() == b).all()
        assert b.mean() > 0.01


BAD = {
    "an activation": (lambda: [strong(4, 3), nn.ReLU(), leaky()], None, r"1 \(ReLU\) is none that networks here have"),
    "weights alone": (lambda: [strong(4, 3), strong(3, 3), leaky()], None, r"1 \(Linear\) follows 0 \(Linear\)"),
    "neurons alone": (lambda: [leaky(), strong(4, 3)], torch.zeros(1, 4), r"0 \(Leaky\) has no weights before it"),
    "a pool of currents": (
        lambda: [nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), leaky()], torch.zeros(1, 1, 8, 8),
        r"1 \(MaxPool2d\) stands between 0 \(Conv2d\) and its neurons, .*put it behind the neurons",
    ),
    "no sample": (lambda: [nn.Conv2d(1, 2, 3), leaky()], None, "begins with Conv2d, which does not say .* a sample"),
    "a sample that does not fit": (lambda: [strong(4, 3), leaky()], torch.zeros(1, 5), r"a sample of shape \(1, 5\)"),
    "neurons that we lack": (lambda: [strong(4, 3), snn.Alpha(0.9, 0.8, init_hidden=True)], None, "is none of Leaky"),
    "a step's input that is dropped": (
        lambda: [strong(4, 3), snn.RLeaky(0.9, linear_features=3, init_hidden=True, reset_mechanism="zero")], None,
        "in which snnTorch drops what comes in; train it with reset_delay=False",
    ),
    "graded spikes": (lambda: [strong(4, 3), leaky(graded_spikes_factor=0.5)], None, "has graded spikes"),
    "a convolution at the end": (lambda: [nn.Conv2d(1, 2, 3)], torch.zeros(1, 1, 8, 8), r"ends in 0 \(Conv2d\)"),
    "recurrent weights of another kernel": (
        lambda: [
            nn.Conv2d(1, 2, 5, padding=2), snn.RLeaky(0.9, conv2d_channels=2, kernel_size=3, init_hidden=True),
        ],
        torch.zeros(1, 1, 8, 8), r"recurrent weights behind 0 .* have shape \(2, 2, 3, 3\), expected",
    ),
    "padding by reflection": (
        lambda: [nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), leaky()], torch.zeros(1, 1, 8, 8), "'reflect'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_taken_over_is_refused_in_one_line(name):
    make, sample, message = BAD[name]
    with pytest.raises(ExchangeError, match=message) as caught:
        iz.convert(nn.Sequential(*make()), sample)
    assert "\n" not in str(caught.value)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 3), snn.Leaky(0.9, init_hidden=True)

    def forward(self, x):
        return self.lif(torch.relu(self.fc(x)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(4, 4), snn.Leaky(0.9, init_hidden=True)

    def forward(self, x):
        return self.lif(self.fc(self.fc(x)))


def test_what_happens_between_modules_is_noticed():
    with pytest.raises(ExchangeError, match=r"lif \(Leaky\) is not given what fc \(Linear\) gives"):
        iz.convert(Functional())
    with pytest.raises(ExchangeError, match="runs for the first time behind|runs twice"):
        iz.convert(Twice())


@pytest.mark.slow
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_row_keeps_every_spike(data):
    torch.manual_seed(data.draw(st.integers(0, 10_000)))
    width = first = data.draw(st.integers(2, 10))
    row = []
    for _ in range(data.draw(st.integers(1, 3))):
        out = data.draw(st.integers(2, 10))
        beta, threshold = data.draw(st.floats(0.05, 0.95)), data.draw(st.floats(0.1, 2))
        late = data.draw(st.booleans())
        reset = data.draw(st.sampled_from(["subtract", "zero", "none"]))
        common = {"threshold": threshold, "init_hidden": True, "reset_mechanism": reset}
        kind = data.draw(st.sampled_from(["Leaky", "RLeaky"]))
        if kind == "Leaky":
            neuron = snn.Leaky(beta, reset_delay=late, **common)
        else:
            neuron = snn.RLeaky(beta, linear_features=out, reset_delay=late and reset != "zero", **common)
        row += [strong(width, out), neuron]
        width = out
    network = nn.Sequential(*row)
    x = (torch.rand(25, 3, first) < 0.4).float()
    found = iz.convert(network)
    assert isinstance(found, Network)
    assert torch.equal(run(found, x).output, looped(network, x))
    assert izhi.LIF is type(found.spiking[0].neuron)
