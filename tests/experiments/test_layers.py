"""Layers one by one in settings: tables, the short form, their shapes, and what does not fit."""

import json

import pytest
import torch
from torch import nn

from izhi.cli import main
from izhi.errors import SettingError
from izhi.experiments import build, sample_trace
from izhi.experiments.run_folder import load
from izhi.experiments.settings import experiment, read
from izhi.experiments.settings.description import describe
from izhi.experiments.settings.layers import parsed
from izhi.experiments.trained import load as load_trained
from izhi.network import BatchNorm, Layer
from izhi.network.connections import ConductanceSynapse, Conv1d, Conv2d, Linear

IMAGE = (1, 28, 28)
CONVOLUTIONAL = ["--dataset", "digits", "--layers", "conv 8x3 norm, pool 2, 32", "--steps", "10", "--batch-size", "32",
                 "--learning-rate", "5e-3", "--neuron", "lif", "--readout", "spikes", "--quiet"]  # fmt: skip


def network(layers, features=IMAGE, **settings):
    e = experiment({"dataset": "mnist", "layers": layers, **settings})
    return e, build.network(e, features, 10)


def test_the_short_form_and_the_tables_it_stands_for(tmp_path):
    text = "conv 16x5 stride=2, pool 2, conv 32x3 norm neuron=RS learn=a+b, average 3 stride=1, 128 weight_bits=4"
    tables = [
        {"kind": "conv", "size": 16, "kernel": 5, "stride": "2"},
        {"kind": "max-pool", "kernel": 2},
        {"kind": "conv", "size": 32, "kernel": 3, "norm": True, "neuron": "RS", "learn": "a,b"},
        {"kind": "average-pool", "kernel": 3, "stride": "1"},
        {"kind": "linear", "size": 128, "weight_bits": "4"},
    ]
    assert parsed(text) == tables
    path = tmp_path / "e.toml"
    path.write_text(
        "[[layers]]\nkind = 'conv'\nsize = 16\nkernel = 5\nstride = 2\n[[layers]]\nkind = 'max-pool'\nkernel = 2\n"
        "[[layers]]\nkind = 'conv'\nsize = 32\nkernel = 3\nnorm = true\nneuron = 'RS'\nlearn = ['a', 'b']\n"
        "[[layers]]\nkind = 'average-pool'\nkernel = 3\nstride = 1\n[[layers]]\nsize = 128\nweight_bits = 4\n"
    )
    one, two = experiment({"layers": text}), experiment(read(path))
    assert describe(one, IMAGE, 10).numbers == describe(two, IMAGE, 10).numbers
    assert [x.text for x in two.network.layers] == ["conv 16x5", "pool 2", "conv 32x3", "average 3", "128"]
    for e in (one, two):
        assert experiment(e.flat(plain=True)) == e
        (tmp_path / "again.toml").write_text(e.to_toml())
        assert experiment(read(tmp_path / "again.toml")) == e
        json.dumps(e.flat(plain=True))


def test_hidden_is_layers_of_neurons_alone():
    _, one = network("24,12")
    two = build.network(experiment({"dataset": "mnist", "hidden": "24,12"}), 784, 10)
    assert [*one.state_dict()] == [*two.state_dict()]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_modules_fit_each_other_and_are_counted():
    e, found = network(
        "conv 6x5 norm, pool 2, conv 8x3 padding=1 connection=conductance delays=4, average 2, 20 delays=2"
    )
    kinds = [type(x) for x in found.layers]
    assert kinds == [nn.Unflatten, Layer, nn.MaxPool2d, Layer, nn.AvgPool2d, nn.Flatten, Layer, Layer]
    first, second, third, last = found.spiking
    assert isinstance(first.connection, Conv2d)
    assert isinstance(first.norm, BatchNorm)
    assert isinstance(second.connection.synapse, ConductanceSynapse)
    assert second.delay.steps.shape == (6,)
    assert isinstance(third.connection, Linear)
    assert third.connection.inputs == 8 * 6 * 6
    assert last.connection.is_plain
    assert found.neurons(784) == [6 * 24 * 24, 8 * 12 * 12, 20, 10]
    synapses = sum(1 for x in found.spiking if x.connection.synapse is not None)
    assert describe(e, IMAGE, 10).numbers == sum(p.numel() for p in found.parameters()) - synapses


def test_a_layer_has_its_own_neurons_and_what_follows_from_them():
    _, found = network(
        "conv 4x5 neuron=lif beta=0.5, conv 4x3 neuron=RS learn=c per_channel=true, 9", neuron="normalized"
    )
    lif, rs, base, _ = (x.neuron for x in found.spiking)
    assert (lif.kind, lif.beta) == ("lif", 0.5)
    assert rs.unit_of_v == "mV"
    assert rs.coefficients().gain == 200
    assert rs.learned["c"].shape == (4, 1, 1)
    assert base.unit_of_v == "1"


def test_a_layer_whose_spikes_set_v_to_a_value():
    _, found = network("8 neuron=lif reset=value v_reset=-0.3 learn=v_reset per_neuron=true, 9", neuron="normalized")
    lif = found.spiking[0].neuron
    assert (lif.spec.reset, lif.v_reset) == ("value", -0.3)
    assert lif.learned["v_reset"].shape == (8,)


def test_a_layer_whose_reset_is_soft():
    _, found = network("8 neuron=lif reset=soft learn=threshold, 9", neuron="normalized")
    lif = found.spiking[0].neuron
    assert (lif.spec.reset, lif.spec.reset_delay, *lif.learned) == ("soft", True, "threshold")


def test_features_in_a_row_take_convolutions_along_it():
    _, found = network("conv 4x5, pool 2, 8", features=(700,))
    assert isinstance(found.spiking[0].connection, Conv1d)
    assert isinstance(found.layers[2], nn.MaxPool1d)
    assert found(torch.zeros(3, 2, 700)).output.shape == (3, 2, 10)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("conv 16", "expected layers such as conv 16x5"),
        ("con 16x5", "'con 16x5' among its layers"),
        ("128 big", "'big' in '128 big', expected norm, or a setting such as stride=2"),
        ("128 neuro=RS", r"unknown setting of a layer 'neuro' \(did you mean 'neuron'\?\)"),
        ("pool 2 norm", "a max-pool layer without norm"),
        ("128 padding=1", "a linear layer without padding"),
        ("conv 0x5", "greater than or equal to 1"),
        ([{"kind": "conv", "size": 3}], "a conv layer with its kernel"),
        ([{"kind": "pool"}], "layers.0.kind is 'pool', expected 'linear', 'conv'"),
        ([3, None], "layers.1 is None"),
        ("pool 2, conv 8x30", "layer 2 .conv 8x30. looks at 30 in each direction, but features are 1 × 14 × 14"),
        ("8 neuron=RX", r"layer 1 \(8\): unknown neuron 'RX'"),
        ("8 learn=zz", r"layer 1 \(8\): unknown learnable coefficient 'zz'"),
        ("8 neuron=lif learn=v_reset", r"layer 1 \(8\): learn is 'v_reset', which reset 'subtract' has no use for"),
        (
            "8 neuron=lif v_reset=-1 reset=zero",
            "v_reset is -1, which reset 'zero' has no use for; choose reset 'value'",
        ),
        ("8 neuron=lif v_reset=1 reset=value", "v_reset is '1'; Input should be less than 1"),
        ("8 neuron=lif v_reset=-inf reset=value", "v_reset is '-inf'; Input should be a finite number"),
        ("8 tau=0", r"layer 1 \(8\): tau is '0'; Input should be greater than 1"),
        ("conv 8x3 mixture=RS=.5+FS=.5 neuron=RS", "mixture is set, which convolutions do not have"),
    ],
)
def test_what_does_not_fit_is_one_line(layers, message):
    with pytest.raises(SettingError, match=message) as error:
        network(layers)
    assert "\n" not in str(error.value)


def test_layers_or_hidden_but_not_both():
    with pytest.raises(SettingError, match="hidden and layers are both given"):
        experiment({"layers": "8", "hidden": "9"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small convolutional network, trained in the program."""
    out = tmp_path_factory.mktemp("conv") / "run"
    assert main(["train", *CONVOLUTIONAL, "--epochs", "3", "--out", str(out)]) == 0
    return out


def test_a_convolutional_network_learns(trained):
    history = load(trained).progress.history
    assert history[-1]["test_accuracy"] > 0.7
    assert load(trained).shape == (1, 8, 8)


@pytest.mark.slow
def test_it_goes_on_evaluates_and_is_quantised(trained, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", *CONVOLUTIONAL, "--epochs", "1", "--out", str(out)]) == 0
    assert main(["train", "--resume", "--out", str(out), "--epochs", "3", "--quiet"]) == 0
    one, two = load(trained).progress, load(out).progress
    assert all(torch.equal(x, two.network[name]) for name, x in one.network.items())
    assert main(["evaluate", str(out)]) == 0
    quantized = tmp_path / "quantized"
    assert (
        main(["quantize", str(trained), "--method", "ptq", "--weights", "8", "--out", str(quantized), "--quiet"]) == 0
    )
    before, after = one.history[-1]["test_accuracy"], load(quantized).progress.history[-1]["test_accuracy"]
    assert abs(before - after) < 0.1
    assert not any("norm" in name for name in load(quantized).progress.network), "normalisation is in the weights"


def test_a_sample_is_shown_on_its_way(trained, tmp_path, capsys):
    capsys.readouterr()
    out = tmp_path / "x.png"
    words = ["--sample", "5", "--layer", "2", "--neurons", "0,9", "--out", str(out), "--json", "-"]
    assert main(["show", str(trained), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert out.read_bytes().startswith(b"\x89PNG")
    run = load_trained(trained, {"precision": "32-true"})
    seen = sample_trace.trace_sample(run, 5)
    assert (found["label"], found["answer"]) == (seen.classes[seen.label], seen.classes[seen.answer])
    assert [x.spikes.shape for x in seen.layers] == [(10, 288), (10, 32), (10, 10)]
    for layer in seen.layers:
        assert layer.spikes.sum() > 0
        # A neuron of LIF spikes in the steps after which it is above its threshold.
        assert ((layer.v > layer.threshold) == (layer.spikes > 0)).mean() > 0.999
    assert seen.answer == int(seen.scores.argmax())
    for words, message in (
        (["--sample", "360"], "sample is 360, expected 0 to 359, a test sample of digits"),
        (["--layer", "4"], "layer is 4, expected 1 to 3"),
        (["--layer", "3", "--neurons", "10"], "neurons names 10, expected 0 to 9, neurons of layer 3"),
        (["--out", str(tmp_path / "x.txt")], "expected a figure's ending"),
    ):
        assert main(["show", str(trained), *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_dynamics_of_channels_and_of_places(tmp_path, capsys):
    layers = "conv 3x3 learn=c per_channel=true, pool 2, conv 2x2 learn=a2 per_neuron=true, 5"
    words = [
        "train",
        "--dataset",
        "digits",
        "--layers",
        layers,
        "--epochs",
        "1",
        "--steps",
        "5",
        "--quiet",
        "--readout",
        "spikes",
    ]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert main(["dynamics", str(tmp_path / "run"), "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [len(x["classes_after"]) for x in found] == [3, 8, 1, 1]
    assert [len(x["after"].get("c", [])) for x in found] == [3, 0, 0, 0]
