"""Networks of torch's own modules and bare neurons: the layers, and the numbers, of networks of layers."""

import pytest
import torch
from torch import nn

from izhi import LIF, Izhikevich
from izhi.errors import SettingError
from izhi.kernels import routes
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import AxonalDelay, Connection, Conv1d, Conv2d, ExponentialSynapse, Linear

PAIRS = {
    "line": (
        lambda: [nn.Linear(20, 16), Izhikevich("RS"), nn.Linear(16, 12, bias=False), LIF(threshold=0.3)],
        lambda: ([Layer(Linear(20, 16), Izhikevich("RS")), Layer(Linear(16, 12, bias=False), LIF(threshold=0.3))],),
    ),
    "readout": (
        lambda: [nn.Linear(20, 16), LIF(threshold=0.3), nn.Linear(16, 3)],
        lambda: ([Layer(Linear(20, 16), LIF(threshold=0.3))], Linear(16, 3)),
    ),
    "synapses": (
        lambda: [Linear(20, 16, synapse=ExponentialSynapse(3.0), recurrent=True), Izhikevich(gain=3.0),
                 AxonalDelay(16, 3), nn.Linear(16, 8), BatchNorm(8), LIF(), Linear(8, 3, synapse=ExponentialSynapse())],
        lambda: ([Layer(Linear(20, 16, synapse=ExponentialSynapse(3.0), recurrent=True), Izhikevich(gain=3.0)),
                  Layer(delay=AxonalDelay(16, 3), connection=Linear(16, 8), norm=BatchNorm(8), neuron=LIF())],
                 Linear(8, 3, synapse=ExponentialSynapse())),
    ),
    "convolutions": (
        lambda: [nn.Unflatten(1, (1, 4, 5)), nn.Conv2d(1, 4, 3, padding=1), LIF(threshold=0.2), nn.MaxPool2d(2),
                 Residual([nn.Conv2d(4, 4, 3, padding=1), LIF(threshold=0.2)]), nn.Flatten(2),
                 nn.Conv1d(4, 4, 2, groups=2), LIF(threshold=0.2), nn.Flatten(), nn.Linear(12, 3)],
        lambda: ([nn.Unflatten(1, (1, 4, 5)), Layer(Conv2d(1, 4, 3, padding=1), LIF(threshold=0.2)), nn.MaxPool2d(2),
                  Residual([Layer(Conv2d(4, 4, 3, padding=1), LIF(threshold=0.2))]), nn.Flatten(2),
                  Layer(Conv1d(4, 4, 2, groups=2), LIF(threshold=0.2)), nn.Flatten()], Linear(12, 3)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_network_of_torch_modules_is_the_network_of_layers(name):
    plain, layered = PAIRS[name]
    results = []
    for make in (lambda: Network(plain()), lambda: Network(*layered())):
        torch.manual_seed(0)
        network = make()
        x = (torch.rand(20, 4, 20) < 0.5).float()
        out = network.record(x)
        out.output.square().sum().backward()
        results.append((network, out, [p.grad for p in network.parameters() if p.requires_grad]))
    (one, out, grads), (other, same, others) = results
    assert str(one) == str(other)
    assert list(one.state_dict()) == list(other.state_dict())
    assert torch.equal(out.output, same.output)
    for a, b in zip(out.spikes + grads, same.spikes + others, strict=True):
        assert torch.equal(a, b)
    assert all(x.any() for x in (*out.spikes, *grads))


def test_the_fused_kernels_run_it():
    torch.manual_seed(0)
    network = Network([nn.Linear(20, 64), LIF(threshold=0.2), nn.Linear(64, 10), LIF()])
    other = Network([Layer(Linear(20, 64), LIF(threshold=0.2)), Layer(Linear(64, 10), LIF())])
    x = (torch.rand(20, 4, 20) < 0.5).float()
    seen = []
    for one in (network, other):
        with routes.recorded() as taken:
            one(x).output.sum().backward()
        seen.append([str(path) for path in taken])
    assert seen[0] == seen[1] != []


def test_it_shares_the_weights_of_the_modules():
    weights = nn.Linear(4, 3)
    network = Network([weights, LIF()])
    assert network.layers[0].connection.weight is weights.weight
    assert isinstance(network.layers[0].connection, Linear)
    assert network.layers[0].name == "layer 1"


def test_a_module_without_neurons_behind_it_runs_as_it_is():
    torch.manual_seed(0)
    network = Network([nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), LIF()])
    x = torch.rand(5, 2, 4)
    inner = network.layers[0]
    assert isinstance(inner, nn.Linear)
    assert torch.equal(network(x).output, network.layers[2](inner(x).relu())[0])
    scaled = Network([nn.Linear(4, 3), LIF(threshold=0.1), Scaled(3, 2)])
    assert scaled.readout is None
    assert scaled(x).output.shape == (5, 2, 2)


class Scaled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked():
    module = nn.Linear(4, 3)
    module.register_forward_hook(lambda *arguments: None)
    return module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv3d(1, 1, 1), "the weights are those of Conv3d, expected nn.Linear, nn.Conv1d or nn.Conv2d"),
        (lambda: Scaled(4, 3), "the weights are those of Scaled, expected nn.Linear"),
        (
            lambda: nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular"),
            "padding_mode of Conv1d is 'circular', expected",
        ),
        (hooked, "Linear has forward hooks, which a connection does not call"),
        (lambda: nn.LazyLinear(3), "LazyLinear has no weights yet; call it once"),
    ],
)
def test_modules_that_do_more_than_weigh(make, message):
    with pytest.raises(SettingError, match=message):
        Connection.of(make())
    with pytest.raises(SettingError, match=message):
        Network([nn.Linear(4, 4), LIF()], make())
