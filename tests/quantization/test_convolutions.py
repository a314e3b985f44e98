"""Convolutional networks in integers: the same spikes in torch, in the integer model, compiled, and from a file."""

import numpy as np
import pytest
import torch
from torch import nn

from izhi import LIF, Izhikevich, artifact, cli
from izhi.errors import ArtifactError, SettingError
from izhi.experiments.run_folder import load
from izhi.hardware import fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.artifact.integers import in_whole_numbers
from izhi.hardware.core.chosen import shape_of
from izhi.hardware.core.compile import library
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices.core import CoreDevice
from izhi.hardware.fixed import fast
from izhi.network import BatchNorm, Layer, Network, Residual
from izhi.network.connections import Conv1d, Conv2d, Linear
from izhi.quantization import formats, in_integers, quantized
from networks import convolutional_network, random_network
from tiers import slow_but


def image(neuron, *, readout=False):
    """A row of everything that integers have, for images of 2 × 11 × 9."""
    last = [] if readout else [Layer(Linear(6 * 2 * 1, 4), neuron())]
    return Network(
        [
            nn.Unflatten(1, (2, 11, 9)),
            nn.MaxPool2d((2, 1)),
            Layer(Conv2d(2, 5, (3, 2), stride=(1, 2), padding=1), neuron(), norm=BatchNorm(5, 3.0)),
            nn.AvgPool2d(2, stride=1),
            Layer(Conv2d(5, 6, 2, bias=False), neuron()),
            nn.AvgPool2d((1, 2)),
            nn.MaxPool2d((1, 1), stride=2),
            nn.Flatten(),
            *last,
        ],
        Linear(12, 4) if readout else None,
    )


def line(neuron, **_):
    """The same along a row of 40 features."""
    return Network(
        [
            nn.Unflatten(1, (1, 40)),
            Layer(Conv1d(1, 4, 5, stride=2, padding=2), neuron()),
            nn.MaxPool1d(2),
            nn.AvgPool1d(2),
            nn.Flatten(),
            Layer(Linear(4 * 5, 3, recurrent=True), neuron()),
        ]
    )


def spikes_of(steps, batch, features, rate=0.4):
    generator = torch.Generator().manual_seed(5)
    return (torch.rand(steps, batch, features, generator=generator) < rate).float()


def whole(make, neuron, bits, **options):
    """A network, quantised, with weights large enough to fire, and its spikes."""
    torch.manual_seed(3)
    network = make(neuron, **options)
    features = 198 if make is image else 40
    x = spikes_of(15, 20, features)
    with torch.no_grad():
        for layer in network.spiking:
            layer.connection.weight.mul_(2.5)
        network(x)  # running means
    network.eval()
    found = quantized(network, bits, formats(network, x, 16), per_neuron=True).eval()
    return found, x


@pytest.mark.parametrize(
    ("neuron", "bits"), slow_but([(LIF, 4)], [(neuron, bits) for neuron in (LIF, Izhikevich) for bits in (2, 4, 8)])
)
@pytest.mark.parametrize(
    ("make", "options"),
    slow_but([(image, {"readout": True}), (line, {})], [(image, {}), (image, {"readout": True}), (line, {})]),
)
def test_torch_and_integers_agree_on_every_spike(make, options, neuron, bits, tmp_path):
    network, x = whole(make, neuron, bits, **options)
    integers = in_integers(network)
    with torch.no_grad():
        wanted = network.record(x)
    inputs = x.numpy().astype(np.uint8)
    outcome, quick = fixed.run(integers, inputs), fast.run(integers, inputs)
    assert [layer.outputs for layer in integers.layers] == [s[0, 0].numel() for s in wanted.spikes]
    for one, two, three in zip(wanted.spikes, outcome.spikes, quick.spikes, strict=True):
        assert np.array_equal(one.flatten(2).numpy(), two)
        assert np.array_equal(two, three)
        assert two.any()
    assert np.array_equal(outcome.scores, quick.scores)
    assert np.array_equal(outcome.classes, wanted.output.sum(0).argmax(1).numpy())
    whole_artifact = IntegerArtifact(integers, 15, tuple("abcd")[: integers.outputs], {}, {}, inputs, outcome.scores)
    artifact.save(whole_artifact, tmp_path / "x.izhi")
    again = artifact.load(tmp_path / "x.izhi")
    for a, b in zip(integers.projections, again.network.projections, strict=True):
        assert (a.window, a.pools) == (b.window, b.pools)
        assert np.array_equal(a.weight, b.weight)
    assert np.array_equal(again.run(inputs).scores, outcome.scores)


@pytest.mark.parametrize("neuron", [LIF, Izhikevich])
@pytest.mark.parametrize(("make", "options"), [(image, {}), (line, {})])
def test_values_come_in_as_whole_numbers(make, options, neuron):
    torch.manual_seed(3)
    network, features = make(neuron, **options).eval(), 198 if make is image else 40
    values = torch.rand(20, features).expand(15, -1, -1)
    with torch.no_grad():
        for layer in network.spiking:
            layer.connection.weight.mul_(2.5)
    levels = 100
    found = quantized(network, 4, formats(network, values, 16), levels=levels).eval()
    integers = in_integers(found)
    with torch.no_grad():
        wanted = found.record(values)
    inputs = in_whole_numbers(values.numpy(), {"encoding": "constant", "levels": levels})
    assert inputs.max() > 90
    for one, two, three in zip(
        wanted.spikes, fixed.run(integers, inputs).spikes, fast.run(integers, inputs).spikes, strict=True
    ):
        assert np.array_equal(one.flatten(2).numpy(), two)
        assert np.array_equal(two, three)
    assert all(spikes.any() for spikes in wanted.spikes)


def test_rounding_changes_little_of_what_values_do():
    torch.manual_seed(0)
    network = Network([Layer(Linear(30, 20), LIF(threshold=0.2))], Linear(20, 3)).eval()
    values = torch.rand(50, 30).expand(15, -1, -1)
    found = quantized(network, 8, formats(network, values, 16), per_neuron=True, levels=255).eval()
    one, other = network.record(values).spikes[0], found.record(values).spikes[0]
    assert one.mean() > 0.1
    assert (one != other).float().mean() < 0.02


def test_the_bias_of_a_readout_behind_a_mean_keeps_its_size():
    torch.manual_seed(0)
    row = [nn.Unflatten(1, (1, 8, 8)), Layer(Conv2d(1, 4, 3), LIF(threshold=0.2)), nn.AvgPool2d(3), nn.Flatten()]
    network = Network(row, Linear(16, 3)).eval()
    with torch.no_grad():
        network.readout.input.bias.copy_(torch.tensor([3.0, 0.0, -3.0]))
    x = spikes_of(15, 20, 64)
    found = quantized(network, 8, formats(network, x, 16), per_neuron=True).eval()
    one, other = network(x).output.sum(0), found(x).output.sum(0)
    gaps = [output[:, 0] - output[:, 2] for output in (one, other)]
    factor = (gaps[1] / gaps[0]).median()
    assert ((gaps[1] / factor - gaps[0]).abs() < 0.1 * gaps[0].abs()).all(), "the same but for a factor"
    assert 0.5 < factor < 2


def test_levels_whose_sums_are_not_exact():
    network = Network([Layer(Linear(784, 4), LIF())])
    with pytest.raises(SettingError, match="levels is 255, but float32 does not hold .* choose at most 167"):
        quantized(network, 8, None, levels=255)


def test_a_window_sees_what_a_convolution_of_torch_sees():
    window = fixed.Window(2, 7, 6, (3, 2), (2, 1), (1, 1))
    x = np.arange(2 * 2 * 7 * 6).reshape(2, -1)
    weight = torch.randn(3, 2, 3, 2, dtype=torch.float64)
    wanted = nn.functional.conv2d(torch.tensor(x).double().view(2, 2, 7, 6), weight, stride=(2, 1), padding=1)
    found = window.columns(x) @ weight.flatten(1).numpy().T
    assert (window.down, window.across) == wanted.shape[2:]
    np.testing.assert_allclose(found.transpose(0, 2, 1).reshape(wanted.shape), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", [LIF, Izhikevich])
def test_torch_integers_and_the_core_agree(neuron):
    network, x = whole(line, neuron, 4)
    integers, spikes = in_integers(network), x.numpy().astype(np.uint8)
    shape = shape_of(integers, 15, lanes=4, units=2)
    device = CoreDevice("simulator", SimulatedCore(library(shape), shape), shape)
    device.load(IntegerArtifact(integers, 15, tuple("abc")))
    out = device.run(spikes, sends_spikes=True)
    with torch.no_grad():
        expected = network.record(x)
    for found, wanted in zip(out.spikes, expected.spikes, strict=True):
        assert np.array_equal(found, wanted.flatten(2).numpy())
        assert found.any()
    assert np.array_equal(out.scores, expected.output.sum(0).numpy())


def test_what_the_core_does_not_have_is_said():
    network, _ = whole(image, LIF, 4)
    with pytest.raises(SettingError, match="part 2 .* a pool of 2 × 2 that moves by 1 × 1, whose windows overlap"):
        shape_of(in_integers(network), 15)
    row = [nn.Unflatten(1, (1, 8)), nn.AvgPool1d(2), nn.MaxPool1d(2), nn.Flatten(), Layer(Linear(2, 2), LIF())]
    network = Network(row).eval()
    counts = in_integers(quantized(network, 4, formats(network, spikes_of(3, 2, 8), 16)))
    with pytest.raises(SettingError, match="part 1 .* a pool of the largest of counts, which the core does not have"):
        shape_of(counts, 3)
    many = LIF(parameter_shape=(2, 8), learn="beta", spread=0.2)
    network = Network([nn.Unflatten(1, (1, 8)), Layer(Conv1d(1, 2, 3, padding=1), many)])
    places = in_integers(quantized(network, 4, formats(network, spikes_of(3, 2, 8), 16)))
    with pytest.raises(SettingError, match="a convolution whose beta differs between places.*learn it for each"):
        shape_of(places, 3)
    network = convolutional_network(1)
    sizes = (network.inputs, *(layer.outputs for layer in network.layers))
    with pytest.raises(SettingError, match="does not fit the core: layer 1: window Window"):
        fitted(shape_of(random_network(0, sizes, readout=True), 6), network, 6)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([nn.Unflatten(1, (1, 4)), Layer(Conv1d(1, 2, 2, dilation=2), LIF())], "dilation .2,., groups 1"),
        ([nn.Unflatten(1, (1, 4)), nn.MaxPool1d(2, padding=1), nn.Flatten(), Layer(Linear(3, 2), LIF())], "a pool is"),
        ([nn.Unflatten(1, (1, 4)), nn.Sigmoid(), nn.Flatten(), Layer(Linear(4, 2), LIF())], "number 2 .* is Sigmoid"),
        ([Residual([Layer(Linear(4, 4), LIF())])], "has a residual block, which integers do not have"),
        ([nn.Dropout(), Layer(Linear(4, 4), LIF())], "is Dropout, which integers do not have"),
        ([nn.Unflatten(1, (1, 4)), Layer(Conv1d(1, 2, 3, recurrent=True), LIF())], "is recurrent Conv1d, which"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::izhi.errors.SlowKernelWarning")
def test_what_integers_do_not_have_is_said(row, message):
    network, x = Network(row), spikes_of(3, 2, 4)
    with pytest.raises(SettingError, match=message):
        in_integers(quantized(network, 4, formats(network, x, 16)))


def test_a_file_with_windows_that_do_not_fit(tmp_path):
    network, x = whole(image, LIF, 4)
    integers = in_integers(network)
    inputs = x.numpy().astype(np.uint8)
    found = IntegerArtifact(integers, 15, tuple("abcd"), {}, {}, inputs, fixed.run(integers, inputs).scores)
    first = integers.layers[0]
    for window, message in (
        (fixed.Window(2, 5, 9, (9, 9), (1, 1), (1, 1)), "has a window of no places"),
        (fixed.Window(2, 5, 9, (2, 2), (1, 1)), "weights of a channel, expected 8"),
    ):
        wrong = fixed.IntegerLayer(**{**vars_of(first), "window": window})
        with pytest.raises(ArtifactError, match=message):
            IntegerArtifact(fixed.IntegerNetwork((wrong, *integers.layers[1:])), 15, tuple("abcd"))
    artifact.save(found, tmp_path / "x.izhi")


def vars_of(layer):
    names = ("weight", "weight_bits", "multiplier", "shift", "current_format", "neuron", "feedback", "window", "pools")
    return {name: getattr(layer, name) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "samples"), [("rate", 20), ("constant", 1)])  # levels are as many spikes
def test_from_the_command_line(encoding, samples, tmp_path, capsys):
    run, rounded = tmp_path / "run", tmp_path / "rounded"
    settings = {
        "dataset": "digits", "layers": "conv 8x3 norm, average 2, 24", "epochs": "2", "steps": "8",
        "batch-size": "32", "learning-rate": "5e-3", "neuron": "lif", "encoding": encoding,
        "readout": "spikes", "out": str(run),
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    assert cli.main(["train", *words, "--quiet"]) == 0
    assert cli.main(["quantize", str(run), "--epochs", "1", "--weights", "4", "--out", str(rounded), "--quiet"]) == 0
    assert load(rounded).progress.history[-1]["test_accuracy"] > 0.5
    assert cli.main(["export", str(rounded)]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(rounded / "network.izhi"), "--against", str(rounded)]) == 0
    out = capsys.readouterr().out
    assert out.count(" 0 different") == 4
    for device, count in (("emulator", 20), ("simulator", samples)):
        assert cli.main(
            ["run", str(rounded / "network.izhi"), "--device", device, "--samples", str(count), "--compare"]
        ) == 0  # fmt: skip


def test_what_no_core_runs_is_said_before_it_is_quantised(tmp_path, capsys):
    run, rounded = tmp_path / "run", tmp_path / "rounded"
    words = ["--dataset", "digits", "--layers", "conv 4x3, average 2, pool 2, 8", "--epochs", "1", "--steps", "4",
             "--neuron", "lif", "--out", str(run), "--quiet"]  # fmt: skip
    assert cli.main(["train", *words]) == 0
    assert cli.main(["quantize", str(run), "--weights", "4", "--out", str(rounded), "--quiet"]) == 2
    assert "is behind a pool of the largest of counts, which the core does not have; use the mean" in (
        capsys.readouterr().err
    )
    assert not (rounded / "checkpoint.pt").exists()
    assert not rounded.exists()
