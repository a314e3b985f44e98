"""Networks as descriptions and tables: what is built of them takes the weights, and gives the same spikes."""

import json

import pytest
import torch
from torch import nn

import izhi
from izhi.connections import AxonalDelay, ConductanceSynapse, Conv1d, Conv2d, ExponentialSynapse, Linear, SynapticDelay
from izhi.errors import SettingError
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.builder import build, describe
from izhi.spec import NetworkSpec

NETWORKS = {
    "row": lambda: Network([
        Layer(Linear(20, 12, bias=False),
              izhi.LIF(0.8, 0.7, parameter_shape=12, learn="beta,threshold", spread=0.1, reset="zero"),
              AxonalDelay(20, 4, learn=False)),
        Layer(Linear(12, 8, recurrent=True, synapse=ExponentialSynapse(3, filters_bias=True)), izhi.Izhikevich(
            "RS", learn="c,d", gain=150, surrogate=izhi.surrogate.FastSigmoid(10.0), jacobian_limit=0.8)),
        Layer(Linear(8, 8, synapse=ConductanceSynapse(5, inhibitory=0.25)), izhi.LIF(reset="value", v_reset=-0.2),
              SynapticDelay(8, 8, 3)),
    ], readout=Linear(8, 3, synapse=ExponentialSynapse(7, learn_tau=True))),
    "convolutions": lambda: Network([
        nn.Unflatten(1, (1, 4, 5)),
        Layer(Conv2d(1, 4, (3, 2), stride=(1, 2), padding=(1, 0)),
              izhi.Izhikevich(parameter_shape=(4, 1, 1), learn="c"),
              norm=BatchNorm(4)),
        nn.MaxPool2d(2), nn.Flatten(), nn.Unflatten(1, (4, 2)), Layer(Conv1d(4, 2, 1), izhi.LIF()), nn.AvgPool1d(2),
    ]),
    "residual blocks": lambda: Network([
        Layer(Linear(20, 6), izhi.Izhikevich({"RS": 0.5, "FS": 0.5}, parameter_shape=6)),
        Residual([Layer(Linear(6, 6), izhi.LIF())]),
        Residual([nn.Identity(), Layer(Linear(6, 4), izhi.LIF())], Linear(6, 4), add="currents"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_tables_is_the_network(name):
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    spec = describe(network, 20)
    tables = spec.tables()
    assert json.loads(json.dumps(tables)) == tables
    assert NetworkSpec.of_tables(tables) == spec
    found = build(NetworkSpec.of_tables(tables)).eval()
    found.load_state_dict(network.state_dict())
    x = (torch.rand(12, 3, 20) < 0.4).float()
    with torch.no_grad():
        one, other = network.record(x), found.record(x)
    assert all(torch.equal(a, b) for a, b in zip(one.spikes, other.spikes, strict=True))
    assert torch.equal(one.output, other.output)
    assert spec.parameters == sum(x.numel() for x in network.parameters())
    assert [layer.features for layer in spec.layers] == [x.shape[2:] for x in one.spikes]
    assert (spec.inputs, describe(network)) == (20, spec)
    learned = {name for name, x in network.named_parameters() if x.requires_grad}
    assert {name for name, x in found.named_parameters() if x.requires_grad} == learned
    surrogates = [layer.neuron.settings.surrogate for layer in network.spiking]
    assert [layer.neuron.settings.surrogate for layer in found.spiking] == surrogates


def test_what_tables_do_not_hold():
    with pytest.raises(SettingError, match="which settings do not hold"):
        describe(Network([Layer(Linear(4, 4), izhi.LIF()), nn.BatchNorm1d(4)]), 4)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "Lair"}, r"modules, number 1: unknown module 'Lair' \(did you mean 'Layer'\?\)"),
        ({}, r"modules, number 1, is \{\} \(.*KeyError"),
        ({"kind": "Layer", "features": [3]}, "modules, number 1, is .*KeyError: 'connection'"),
        ({"kind": "Layer", "features": [-3]}, "features are"),
        ({"kind": "MaxPool2d", "kernel": "wide", "stride": 1}, "a size is 'wide', expected whole numbers"),
    ],
)
def test_tables_that_are_none(table, message):
    with pytest.raises(SettingError, match=message):
        NetworkSpec.of_tables([table])
