"""What a network computes for a sample, counted by hand, and the energy that is made of it."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from izhi import LIF, Izhikevich
from izhi.cli import main
from izhi.connections import Conv2d, ExponentialSynapse, Linear
from izhi.data import Dataset
from izhi.experiments import energy
from izhi.experiments.energy import HOROWITZ, LayerCounts, count, technologies
from izhi.network import Layer, Network
from izhi.training import Classifier


class Given:
    """An encoder that gives the same spikes (T, 1, …) for every sample."""

    def __init__(self, spikes):
        self.spikes, self.features = spikes, spikes[0, 0].numel()

    def __call__(self, samples, seed, **others):
        return self.spikes.expand(-1, len(samples), *self.spikes.shape[2:])


def run_of(network, spikes):
    """A trained run, as far as counting needs it."""
    two = (torch.zeros(2, 2), torch.tensor([0, 1]))
    data = Dataset.of(*two, test=two, name="two", classes=["a", "b"])
    encoder = Given(spikes)
    network.eval()
    settings = SimpleNamespace(
        training=SimpleNamespace(seed=0), coding=SimpleNamespace(steps=len(spikes)),
        quantization=SimpleNamespace(weight_bits=None, state_bits=None),
    )  # fmt: skip
    return SimpleNamespace(
        network=network, dataset=data, encoder=encoder, classifier=Classifier(encoder, network), experiment=settings
    )


def with_weights(connection, weight, bias=None):
    with torch.no_grad():
        connection.input.weight.copy_(torch.tensor(weight))
        if bias is not None:
            connection.input.bias.copy_(torch.tensor(bias))
    return connection


#: Two inputs over three steps: 1 0, 1 1, 0 0.
SPIKES = torch.tensor([[1.0, 0], [1, 1], [0, 0]]).view(3, 1, 2)


def test_a_tiny_network_is_counted_as_by_hand():
    # Input 0 reaches two of three neurons, input 1 one. The large weight fires neuron 0 in steps 1 and 2, each time.
    hidden = with_weights(Linear(2, 3), [[9.0, 0], [0.0, 0.1], [0.001, 0]], [0.0, 0, 0])
    readout = with_weights(Linear(3, 2), [[1.0, 1, 0], [0, 1, 1]], [0.5, 0.5])
    network = Network([Layer(hidden, LIF(beta=0.5, reset="zero"))], readout)
    fired = network.record(SPIKES).spikes[0][:, 0]
    found = count(run_of(network, SPIKES))
    layer, last = found.layers
    assert layer.acs == 2 * 2 + 1 * 1  # two spikes of input 0, one of input 1
    assert layer.macs == last.macs == 0
    assert layer.dense == 3 * 2 * 3
    assert layer.once == 2 * 3
    assert layer.updates == 3 * 3
    assert fired[:, 0].tolist() == [1, 1, 0]
    assert layer.spikes == fired.sum() == 2
    assert last.acs == 2 * 1  # neuron 0 reaches output 0 alone
    assert last.dense == 3 * 3 * 2
    assert layer.reads == 5 + 9 * 1  # a weight for each operation, v for each update
    assert found.connection_sparsity == pytest.approx(5 / 12)  # 3 of 6, and 2 of 6
    assert found.activation_sparsity == pytest.approx(1 - 2 / 9)
    assert found.footprint >= 4 * (6 + 3 + 6 + 2)
    assert found.samples == 2
    floats = found.energies()[0]
    # Horowitz: 0.9 pJ an addition, 3.7 a product, and 10 for 64 bits, 5 for a word of 32.
    synapses = 7 * (0.9 + 5)
    neurons = 9 * (3.7 + 0.9) + 2 * 9 * 5
    assert floats[1] == pytest.approx((synapses + neurons) / 1000)
    twin = (6 + 6) * (3.7 + 0.9 + 5) + (2 + 2 * (3 + 2)) * 5
    assert floats[2] == pytest.approx(twin / 1000)


def test_inputs_that_are_no_spikes_are_multiplied():
    layer = Layer(with_weights(Linear(2, 1), [[1.0, 1.0]]), LIF())
    found = count(run_of(Network([layer]), 0.5 * SPIKES)).layers[0]
    assert (found.acs, found.macs) == (0, 3)


def test_feedback_counts_the_layers_own_spikes_a_step_later():
    connection = with_weights(Linear(2, 2, recurrent=True), [[9.0, 0], [9.0, 0]], [0.0, 0])
    with torch.no_grad():
        connection.feedback.weight.copy_(torch.tensor([[0.0, 1e-6], [0.0, 1e-6]]))
    network = Network([Layer(connection, LIF(beta=0.5, reset="zero"))])
    assert network.record(SPIKES).spikes[0][:, 0].tolist() == [[1, 1], [1, 1], [0, 0]]
    found = count(run_of(network, SPIKES)).layers[0]
    # Input 0 twice to both; neuron 1 fires twice, and goes to both.
    assert found.acs == 2 * 2 + 2 * 2
    assert found.dense == 3 * 2 * 2 + 2 * 2 * 2
    assert found.once == 2 * 2


def test_a_convolution_counts_each_place():
    spikes = torch.zeros(2, 1, 1, 3, 3)
    spikes[0, 0, 0, 1, 1] = 1  # the middle, which four kernels of 2 × 2 see
    spikes[1, 0, 0, 0, 0] = 1  # a corner, which one sees
    connection = Conv2d(1, 2, 2, bias=False)
    nn.init.ones_(connection.input.weight)
    found = count(run_of(Network([Layer(connection, Izhikevich("normalized"))]), spikes)).layers[0]
    assert found.acs == 2 * (4 + 1)
    assert found.dense == 2 * (4 * 4) * 2
    assert (found.outputs, found.updates, found.states) == (8, 16, 2)


def test_a_synapse_is_a_state_more():
    connection = Linear(2, 2, synapse=ExponentialSynapse(5.0))
    found = count(run_of(Network([Layer(connection, Izhikevich("normalized"))]), SPIKES)).layers[0]
    assert (found.states, found.products, found.additions) == (3, 7, 7)


def test_technologies_have_horowitzs_numbers():
    floats, integers, least, most = technologies(32, 32)
    assert (floats.addition, floats.multiply, floats.weight) == (0.9, 3.7, 5.0)
    assert (integers.addition, integers.multiply, integers.state) == pytest.approx((0.1, 3.1, 5.0))
    assert all(HOROWITZ in x.source for x in (floats, integers, least, most))
    layer = [LayerCounts("layer 1", macs=1000)]
    assert least.nanojoules(layer) == pytest.approx(7.1 * integers.nanojoules(layer))
    assert most.nanojoules(layer) == pytest.approx(14 * integers.nanojoules(layer))


TINY = ["--dataset", "iris", "--hidden", "8", "--steps", "4", "--epochs", "1", "--readout", "spikes", "--quiet"]


def test_evaluate_counts_what_training_measured(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", *TINY, "--neuron", "normalized", "--connection", "recurrent", "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--energy", "--precision", "32-true", "--json", str(tmp_path / "e.json")]) == 0
    said = capsys.readouterr().out
    assert "energy of a sample: an estimate" in said
    assert "no measurement" in said
    found = json.loads((tmp_path / "e.json").read_text())
    rates = found["rates"]
    assert [x["spikes"] for x in found["energy"]["layers"]] == pytest.approx([4 * 8 * rates[0], 4 * 3 * rates[1]])
    operations = found["energy"]["SynapticOperations"]
    assert operations["Dense"] == 4 * (4 * 8 + 8 * 3) + 3 * (8 * 8 + 3 * 3)
    assert 0 < operations["Effective_ACs"] <= operations["Dense"]
    assert found["energy"]["neuron_updates"] == 4 * (8 + 3)
    assert found["energy"]["dense_twin_MACs"] == 4 * 8 + 8 * 3


def test_compare_reports_operations_and_energy(tmp_path, capsys):
    out = tmp_path / "c"
    assert main(["compare", *TINY, "--neurons", "lif,normalized", "--out", str(out)]) == 0
    report = (out / "report.md").read_text()
    assert "## Operations and energy of a sample" in report
    assert energy.CAVEAT in report
    found = json.loads((out / "comparison.json").read_text())
    for row in found["rows"]:
        assert found["energy"][row["label"]]["spikes"] == pytest.approx(row["spikes_per_sample"], rel=1e-5)


def test_an_artifact_has_no_energy_to_count(tmp_path, capsys):
    capsys.readouterr()
    assert main(["evaluate", "x.izhi", "--energy"]) == 2
    assert "energy is set, which is counted of a run" in capsys.readouterr().err
