"""Rows of any layers: convolutions, pooling, normalisation, residual blocks, and what may not stand there."""

import copy
import pickle

import pytest
import torch
from torch import nn

from izhi import LIF, IzhiError, Izhikevich
from izhi.errors import SettingError, ShapeError
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import (
    AxonalDelay,
    ConductanceSynapse,
    Conv1d,
    Conv2d,
    ExponentialSynapse,
    Linear,
    SynapticDelay,
)
from izhi.network.network import run_with_hooks
from izhi.training.checkpoint import load_weights


def spikes_of(*shape, rate=0.4):
    return (torch.rand(shape) < rate).float()


def make(dropout=0.0):
    """A network of everything, for images of 12 × 12."""
    torch.manual_seed(0)
    block = [Layer(Conv2d(8, 8, 3, padding=1, synapse=ExponentialSynapse(4.0)), LIF(threshold=0.5), AxonalDelay(8, 3))]
    return Network(
        [
            nn.Unflatten(1, (1, 12, 12)),
            Layer(Conv2d(1, 8, 3, padding=1), Izhikevich(parameter_shape=(8, 1, 1), learn="c,d"), norm=BatchNorm(8)),
            nn.MaxPool2d(2),
            Residual([Layer(Conv2d(8, 8, 3, padding=1), LIF(threshold=0.5))]),
            Residual(block, Conv2d(8, 8, 1), add="currents"),
            nn.Flatten(),
            Layer(Linear(288, 10), LIF(threshold=0.5)),
        ],
        dropout=dropout,
    )


@pytest.fixture
def network():
    return make()


def test_a_convolution_is_that_of_torch_in_every_step():
    connection, x = Conv2d(3, 5, 3, stride=2, padding=1), spikes_of(4, 2, 3, 9, 7)
    drive = connection(x)
    for t in range(4):
        torch.testing.assert_close(drive.step(t).current + drive.bias, connection.input(x[t]))
    along, y = Conv1d(3, 5, 4, dilation=2), spikes_of(4, 2, 3, 20)
    torch.testing.assert_close(along(y).current[1] + along(y).bias, along.input(y[1]))


def test_spikes_of_every_layer_and_gradients_of_every_weight(network):
    out = network.record(spikes_of(9, 3, 144))
    assert [tuple(x.shape[2:]) for x in out.spikes] == [(8, 12, 12), (8, 6, 6), (8, 6, 6), (10,)]
    assert network.neurons(144) == [1152, 288, 288, 10]
    assert all(x.sum() > 0 for x in out.spikes)
    out.output.sum().backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert idle == []


def test_it_goes_on_from_its_state(network):
    x = spikes_of(11, 2, 144)
    network(x)  # running means
    network.eval()
    whole, first = network(x), network(x[:4])
    assert whole.output.any()
    second = network(x[4:], first.state)
    assert torch.equal(whole.output, torch.cat([first.output, second.output]))


@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_copies_pickles_and_states_run_alike(network):
    x = spikes_of(6, 2, 144)
    network(x)
    network.eval()
    wanted = network(x).output
    assert wanted.sum() > 0
    other = make().eval()
    other.load_state_dict(network.state_dict())
    for found in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), other, network.to(torch.float32)):
        assert torch.equal(found(x).output, wanted)
    assert network.double()(x.double()).output.shape == wanted.shape


@pytest.mark.slow
def test_it_compiles():
    torch.manual_seed(0)
    row = [Layer(Conv2d(1, 4, 3), LIF(threshold=0.1)), nn.AvgPool2d(2), nn.Flatten()]
    network = Network([*row, Layer(Linear(36, 3), LIF(threshold=0.1))])
    x = spikes_of(4, 2, 1, 8, 8)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert network(x).output.any()
    assert torch.equal(compiled(x).output, network(x).output)


@pytest.mark.parametrize("neuron", [Izhikevich, LIF])
@pytest.mark.parametrize(("size", "learn"), [(None, ()), ((4, 1, 1), "threshold"), ((4, 5, 3), "threshold")])
def test_kernels_and_reference_agree_over_channels_and_places(neuron, size, learn):
    torch.manual_seed(1)
    x, found = 3 * torch.randn(12, 2, 4, 5, 3), {}
    for kernel in ("cpu", "reference"):
        layer = neuron(parameter_shape=size, learn=learn, kernel=kernel)
        current = x.clone().requires_grad_()
        out, state = layer(current)
        (out * torch.arange(12.0)[:, None, None, None, None]).sum().backward()
        found[kernel] = [out, state.v, current.grad, *(p.grad for p in layer.parameters())]
    for one, two in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    assert found["cpu"][0].sum() > 0


def test_a_delay_of_a_channel_and_of_a_weight():
    x = torch.zeros(6, 1, 2, 3, 3)
    x[0, 0, :, 1, 1] = 1
    axonal = AxonalDelay(2, 4)
    axonal.steps.data = torch.tensor([1.0, 3.0])
    arriving, _ = axonal(x)
    assert arriving[:, 0, :, 1, 1].nonzero().tolist() == [[1, 0], [3, 1]]
    connection = Conv2d(2, 1, 3, padding=1, bias=False)
    synaptic = SynapticDelay(2, 1, 4, kernel=(3, 3))
    synaptic.steps.data = torch.full((1, 2, 3, 3), 2.0)
    delayed, _ = synaptic(x)
    drive = connection(delayed, synaptic)
    torch.testing.assert_close(drive.current[2], connection(x).current[0])
    assert not drive.current[3].any()


@pytest.mark.parametrize("synapse", [None, ExponentialSynapse, ConductanceSynapse])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_convolution_with_any_synapse_and_recurrence(synapse, recurrent):
    torch.manual_seed(0)
    kind = "reference" if recurrent else "cpu"
    connection = Conv2d(2, 3, 3, padding=1, synapse=synapse and synapse(), recurrent=recurrent)
    layer = Layer(connection, Izhikevich("RS", kernel=kind))
    with torch.no_grad():
        connection.weight.abs_()
    x = spikes_of(20, 2, 2, 5, 5)
    whole, _ = layer(x)
    first, state = layer(x[:9])
    assert torch.equal(whole, torch.cat([first, layer(x[9:], state)[0]]))
    assert whole.sum() > 0
    if recurrent:
        before = whole
        with torch.no_grad():
            connection.feedback.weight.zero_()
        assert not torch.equal(layer(x)[0], before)


def test_normalised_currents_have_the_spread_that_was_asked_for():
    norm, x = BatchNorm(4, scale=0.5), 7 + 3 * torch.randn(10, 6, 4, 5, 5)
    y = norm(x)
    torch.testing.assert_close(y.mean((0, 1, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std((0, 1, 3, 4)), torch.full((4,), 0.5), rtol=1e-3, atol=0)
    for _ in range(200):
        norm(x)
    factor, lost = norm.eval().folded()
    across = (slice(None), None, None)
    torch.testing.assert_close(norm(x), x * factor[across] - lost[across], rtol=1e-4, atol=1e-4)


def test_a_residual_block_adds_spikes_or_currents():
    x = spikes_of(5, 2, 3)
    layer = Layer(Linear(3, 3), LIF())
    out, _ = Residual([layer])(x)
    assert torch.equal(out, layer(x)[0] + x)
    added, _ = Residual([layer], add="currents")(x)
    drive = layer.connection(x)
    assert added.any()
    assert torch.equal(added, layer.neuron(drive._replace(current=drive.current + x))[0])


def test_whoever_watches_sees_what_drives_each_layer(network):
    x, seen = spikes_of(9, 2, 144), []
    network(x)
    network.eval()
    output = run_with_hooks(network, x, lambda layer, drive, spikes: seen.append((layer, drive, spikes)))
    assert torch.equal(output, network(x).output)
    assert [layer for layer, _, _ in seen] == network.spiking
    assert all(spikes.any() for _, _, spikes in seen)
    for layer, drive, spikes in seen:
        assert torch.equal(layer.neuron(drive)[0], spikes)


def test_dropout_silences_the_same_neurons_in_every_step():
    network = make(dropout=0.5)
    seen = []
    network.layers[2].register_forward_hook(lambda module, given, out: seen.append(given[0]))
    out = network.record(torch.ones(12, 2, 144))
    heard, fired = seen[0].view(12, 2, -1), out.spikes[0].flatten(2)
    kept = (heard.amax(0) > 0)[fired.amax(0) > 0].float().mean()
    assert 0.4 < kept < 0.6
    assert set(heard.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(heard > 0, (fired > 0) & (heard.amax(0) > 0)), "for a whole sample"


def test_weights_from_when_synapses_were_connections_load():
    torch.manual_seed(0)
    synapse = ConductanceSynapse(inhibitory=0.5)
    network = Network([Layer(Linear(6, 4, synapse=synapse, recurrent=True), Izhikevich())])
    now = network.state_dict()
    before = {name.replace("synapse.logit", "logit"): x + (0.5 if "logit" in name else 0) for name, x in now.items()
              if not name.endswith("_extra_state")}  # fmt: skip
    before["layers.0.connection.sign"] = torch.ones(6)
    for load in (lambda n: load_weights("x.pt", n, before), lambda n: n.load_state_dict(before)):
        other = copy.deepcopy(network)
        load(other)
        torch.testing.assert_close(other.layers[0].connection.synapse.logit, synapse.logit + 0.5)
    assert "layers.0.connection.sign" in before, "what is loaded stays as it was"


def test_names_of_modules_of_ones_own_stay_as_they_are():
    class Signed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("sign", torch.tensor(-1.0))
            self.logit = nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            return x * self.sign * self.logit

    network = Network([Signed(), Layer(Linear(4, 2), LIF())])
    other = Network([Signed(), Layer(Linear(4, 2), LIF())])
    load_weights("x.pt", other, network.state_dict())
    assert torch.equal(other.layers[1].connection.weight, network.layers[1].connection.weight)


class Counts(nn.Module):
    def forward(self, x):
        return x, 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([LIF()], "number 1 of the row is the neuron LIF alone; join it to its connection"),
        (
            [Layer(Linear(4, 4), LIF()), Linear(4, 2), nn.Flatten()],
            "number 2 of the row is the connection Linear alone",
        ),
        ([nn.LSTM(4, 4)], "number 1 of the row is LSTM, which keeps a state of its own"),
        ([nn.Sequential(nn.GRUCell(4, 4))], "number 1 of the row is Sequential, which keeps a state"),
        ([4], "number 1 of the row is 4, expected a Layer or a module"),
        ([nn.Flatten()], "a network of no layers"),
    ],
)
def test_what_cannot_stand_in_a_row(row, message):
    with pytest.raises(IzhiError, match=message):
        Network(row)


def test_what_cannot_be_built():
    with pytest.raises(SettingError, match="number 1 of the row is the neuron LIF alone"):
        Residual([LIF()])
    with pytest.raises(SettingError, match="the shortcut of spikes is Linear, expected a module without state"):
        Residual([Layer(Linear(3, 3), LIF())], Linear(3, 3))
    with pytest.raises(SettingError, match="the shortcut of currents is Linear, expected a connection without synapse"):
        Residual([Layer(Linear(3, 3), LIF())], Linear(3, 3, synapse=ExponentialSynapse()), add="currents")
    with pytest.raises(SettingError, match="row ends in no layer"):
        Residual([Layer(Linear(3, 3), LIF()), nn.Flatten()], add="currents")
    with pytest.raises(SettingError, match="conductances are not normalised"):
        Layer(Linear(3, 3, synapse=ConductanceSynapse()), LIF(), norm=BatchNorm(3))
    with pytest.raises(SettingError, match="keep_every is set, but normalisation needs all steps"):
        Network([Layer(Linear(3, 3), LIF(), norm=BatchNorm(3))], keep_every=2)
    with pytest.raises(SettingError, match="groups is 2, expected a divisor of in_channels, 3"):
        Conv2d(3, 4, 3, groups=2)
    with pytest.raises(SettingError, match="delays of each synapse are set, which a convolution in groups has not"):
        Layer(Conv2d(4, 4, 3, groups=2), LIF(), SynapticDelay(2, 4, 3, kernel=(3, 3)))
    with pytest.raises(SettingError, match="scale is 0"):
        BatchNorm(3, scale=0)


@pytest.mark.parametrize(
    ("row", "x", "message"),
    [
        ([Layer(Conv2d(1, 2, 3), LIF())], (3, 2, 64), r"layer 1: .* expected 5 dimensions.*put nn.Unflatten\(1, "),
        ([Layer(Conv2d(1, 2, 3), LIF()), Layer(Linear(8, 2), LIF())], (3, 2, 1, 4, 4), "layer 2: .*put nn.Flatten"),
        ([Layer(Conv2d(2, 2, 3), LIF())], (3, 2, 1, 4, 4), r"layer 1: spikes are 1 wide, expected 2 \(in_channels\)"),
        ([Layer(Conv2d(1, 2, 5), LIF())], (3, 2, 1, 4, 4), "layer 1: spikes have height 4, expected at least 5"),
        ([nn.MaxPool2d(2), Layer(Linear(2, 2), LIF())], (3, 2, 9), "MaxPool2d does not take spikes of features"),
        ([Counts(), Layer(Linear(2, 2), LIF())], (3, 2, 2), "Counts gives tuple, expected a tensor"),
        ([nn.Flatten(0), Layer(Linear(2, 2), LIF())], (3, 2, 2), "Flatten gives 12 samples of 6"),
        ([Residual([Layer(Linear(4, 2), LIF())])], (3, 2, 4), r"a row gives features \(2,\), and its shortcut \(4,\)"),
        ([Layer(Linear(4, 2), LIF(parameter_shape=3))], (3, 2, 4),
         r"layer 1: current has features \(2,\), expected \(3,\)"),
    ],
)  # fmt: skip
def test_shapes_that_do_not_fit_name_the_layer(row, x, message):
    with pytest.raises(ShapeError, match=message):
        Network(row)(torch.zeros(x))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Layer(Linear(16, 5), LIF(threshold=0.1)),
        lambda: Layer(Linear(16, 5, synapse=ExponentialSynapse(3.0), recurrent=True), Izhikevich("RS")),
        lambda: Layer(Linear(16, 5), LIF(threshold=0.1), AxonalDelay(16, 2)),
        lambda: Layer(Conv2d(1, 3, 3), LIF(threshold=0.1), norm=BatchNorm(3)),
        lambda: Residual([Layer(Conv2d(1, 1, 3, padding=1), LIF(threshold=0.1))]),
    ],
)
@pytest.mark.parametrize("way", [nn.Identity(), nn.MaxPool2d(2)])
def test_a_step_that_is_repeated_counts_as_often(layer, way):
    torch.manual_seed(0)
    row = layer()
    is_linear = isinstance(row, Layer) and isinstance(row.connection, Linear)
    side = 8 if isinstance(way, nn.MaxPool2d) else 4
    network = Network([nn.Unflatten(1, (1, side, side)), way, nn.Flatten() if is_linear else nn.Identity(), row])
    values, found = torch.rand(2, side * side, requires_grad=True), []
    learned = [p for p in network.parameters() if p.requires_grad]
    for x in (values.expand(6, -1, -1), values.repeat(6, 1, 1), values.expand(6, -1, -1).detach().requires_grad_()):
        out = network(x).output
        g = torch.linspace(-1, 1, out.numel()).view(out.shape)
        given = x if x.is_leaf else values
        of_input, *gradients = torch.autograd.grad(out, [given, *learned], g)
        found.append((out, of_input.sum(0) if x.is_leaf else of_input, *gradients))
        assert not x.is_leaf or (of_input.abs().sum((1, 2)) > 0).sum() > 1, "each step has a gradient of its own"
    assert found[0][0].any()
    for one, *others in zip(*found, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
