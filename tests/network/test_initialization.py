"""Weights scaled by samples: v without spikes has the deviation that was asked for, in every kind of layer."""

import pytest
import torch
from torch import nn

import izhi
from izhi.cli import main
from izhi.connections import Conv2d, ExponentialSynapse, Linear
from izhi.equation import literature
from izhi.errors import SettingError
from izhi.network import Layer, Network
from izhi.network.delays import AxonalDelay
from izhi.network.layers import BatchNorm
from izhi.training import checkpoint

SPIKES = (torch.rand(120, 24, 12, generator=torch.Generator().manual_seed(0)) < 0.3).float()
NEURONS = {
    "resonator": lambda n: izhi.Izhikevich("resonator", parameter_shape=n),
    "lif": lambda n: izhi.LIF(0.9),
    "spread lif": lambda n: izhi.LIF(izhi.spread(tau=(2, 100)), parameter_shape=n),
    "adlif": lambda n: izhi.Izhikevich("adlif"),
}


def without_spikes(layer, arriving):
    """v of a layer whose threshold nothing reaches."""
    neuron, drive = layer.neuron, layer.drive(arriving)[0]
    made = neuron.coefficients

    def raised():
        return made()._replace(threshold=1e9)

    neuron.coefficients = raised
    v, state = [], None
    for t in range(len(drive.current)):
        _, state = neuron.step(drive.step(t), state)
        v.append(state.v)
    del neuron.coefficients
    return torch.stack(v)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("deviation", [0.3, 0.7])
def test_v_has_the_deviation_that_was_asked_for(name, deviation):
    torch.manual_seed(0)
    make = NEURONS[name]
    network = Network([Layer(Linear(12, 20), make(20)), Layer(Linear(20, 8), make(8))], nn.Linear(8, 3))
    readout = network.readout.weight.clone()
    report = network.calibrate(SPIKES, deviation)
    spikes = SPIKES
    with torch.no_grad():
        for layer in network.layers:
            p = layer.neuron.coefficients()
            v = without_spikes(layer, spikes) / p.threshold
            assert ((v.std((0, 1)) / deviation - 1).abs() < 0.06).all()
            current = layer.drive(spikes)[0]
            mean = (current.current + current.bias).mean((0, 1))
            assert (mean.abs() < 0.05 * (current.current.std() + 1e-6)).all()
            spikes = layer(spikes)[0]
    assert torch.equal(network.readout.weight, readout)
    assert [x.rate for x in report.after] == pytest.approx([x.mean().item() for x in network.record(SPIKES).spikes])
    assert "layer 2: " in str(report)
    assert report.after[0].saturated == 0


def test_silent_and_saturated_neurons_are_counted():
    layer = Layer(Linear(12, 4), izhi.LIF(0.9))
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([0.0, 5.0, 5.0, 0.1])[:, None].expand(4, 12))
        layer.connection.input.bias.zero_()
    before = Network([layer]).calibrate(SPIKES[:, :3], 0.5).before[0]
    assert (before.silent, before.saturated) == (0.25, 0.5)


def test_other_layers():
    torch.manual_seed(0)
    spikes = (torch.rand(30, 5, 2, 8, 8) < 0.3).float()
    window = Layer(Conv2d(2, 4, 3), izhi.LIF(0.9), norm=BatchNorm(4))
    late = Layer(Linear(144, 6, synapse=ExponentialSynapse(4.0)), izhi.LIF(0.8), AxonalDelay(144, 5))
    bare = Layer(Linear(6, 5, bias=False, recurrent=True), izhi.Izhikevich("resonator", parameter_shape=5))
    network = Network([window, nn.Flatten(), late, bare])
    network.calibrate(spikes, 0.6)
    assert not network.layers[0].norm.weight.eq(1).all()
    with torch.no_grad():
        v = without_spikes(window, spikes)
        assert ((v.std((0, 1, 3, 4)) / 0.6 - 1).abs() < 0.06).all()
    assert network.training


def test_bad_input():
    network = Network([Layer(Linear(12, 4), literature.adaptive_exponential())])
    with pytest.raises(SettingError, match="adaptive_exponential, which have no coefficient threshold"):
        network.calibrate(SPIKES)
    with pytest.raises(SettingError, match="deviation is 0, expected a number above 0"):
        Network([Layer(Linear(12, 4), izhi.LIF())]).calibrate(SPIKES, 0)


@pytest.mark.slow
def test_from_the_command_line(tmp_path, capsys):
    run = str(tmp_path / "run")
    common = ["--dataset", "digits", "--neuron", "lif", "--hidden", "8", "--steps", "8", "--calibrate", "0.6"]
    assert main(["train", *common, "--epochs", "1", "--out", run]) == 0
    printed = capsys.readouterr().err
    assert "calibrated layer 1: " in printed
    assert "silent" in printed
    assert main(["train", *common, "--epochs", "2", "--resume", "--out", run]) == 0
    assert "calibrated" not in capsys.readouterr().err  # the weights are those of the checkpoint
    whole = str(tmp_path / "whole")
    assert main(["train", *common, "--epochs", "2", "--out", whole, "--quiet"]) == 0
    read = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("run", "whole")]
    assert [x.split(",")[:2] for x in read[0]] == [x.split(",")[:2] for x in read[1]]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [["--weight-bits", "4"], ["--weight-bits", "8", "--state-bits", "16"]])
def test_quantised_training_rounds_weights_that_were_scaled(bits, tmp_path, capsys):
    common = ["--dataset", "digits", "--neuron", "lif", "--hidden", "8", "--steps", "8", "--epochs", "1", "--quiet"]
    common += ["--encoding", "rate"]
    assert main(["train", *common, *bits, "--calibrate", "0.6", "--out", str(tmp_path / "run")]) == 0
    assert main(["train", *common, *bits, "--out", str(tmp_path / "plain")]) == 0
    weights, plain = (
        checkpoint.progress_of(checkpoint.load(tmp_path / x / "checkpoint.pt")).network for x in ("run", "plain")
    )
    [name] = [x for x in weights if x.endswith("layers.0.connection.input.weight")]
    assert not torch.allclose(weights[name], plain[name], atol=0.02)
