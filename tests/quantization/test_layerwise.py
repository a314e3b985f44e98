"""Calibration a few time steps at once: the same formats, mean currents and biases as with all of them."""

import copy
import json
import math

import pytest
import torch
from test_convolutions import image, line, spikes_of

from izhi import LIF, cli, quantization
from izhi.kernels import PackedSpikes
from izhi.kernels.packed import bits_of
from izhi.network import Layer, Network
from izhi.network.connections import AxonalDelay, ExponentialSynapse, Linear
from izhi.quantization import calibration, layerwise
from tiers import slow_but


def dense(neuron, **_):
    """Everything that has a state of its own, in two layers: a synapse, recurrence, delays."""
    return Network(
        [
            Layer(Linear(40, 30, synapse=ExponentialSynapse(4.0), recurrent=True), neuron()),
            Layer(Linear(30, 20), neuron(), AxonalDelay(30, 5)),
        ],
        Linear(20, 4),
    )


def network_of(make):
    torch.manual_seed(3)
    network = make(lambda: LIF(0.9))
    features = 198 if make is image else 40
    with torch.no_grad():
        for layer in network.spiking:
            layer.connection.weight.mul_(2.5)
    return network.eval(), spikes_of(45, 6, features)


def steps_at_once(monkeypatch, network, spikes, steps):
    """Let a chunk hold that many steps of the widest layer."""
    widest = max(spikes.shape[2], *network.neurons(spikes.shape[2]))
    monkeypatch.setattr(layerwise, "CHUNK_BYTES", 4 * spikes.shape[1] * widest * steps)


@pytest.mark.parametrize(
    ("make", "steps"), slow_but([(dense, 7)], [(make, steps) for make in (image, line, dense) for steps in (1, 7, 33)])
)
def test_chunks_of_time_change_no_format_and_no_mean(make, steps, monkeypatch):
    network, spikes = network_of(make)
    whole = quantization.calibrate(network, spikes, 12)
    ranges = quantization.ranges(network, spikes)
    expected = quantization.quantized(copy.deepcopy(network), 4, whole.formats).eval()
    quantization.shift_biases(expected, spikes, whole.currents)
    steps_at_once(monkeypatch, network, spikes, steps)
    for x in (spikes, PackedSpikes.pack(spikes)):
        parts = quantization.calibrate(network, x, 12)
        assert parts.formats == whole.formats
        torch.testing.assert_close(parts.currents, whole.currents, rtol=1e-6, atol=1e-6)
        for a, b in zip(quantization.ranges(network, x), ranges, strict=True):
            assert (*a.states, a.trace) == pytest.approx((*b.states, b.trace))
        rounded = quantization.quantized(copy.deepcopy(network), 4, parts.formats).eval()
        quantization.shift_biases(rounded, x, parts.currents)
        with torch.no_grad():
            assert torch.equal(rounded(spikes).output, expected(spikes).output)
    assert float(expected(spikes).output.detach().abs().sum()) > 0


def test_outputs_of_chunks_are_bits(monkeypatch):
    network, spikes = network_of(image)
    with torch.no_grad():
        expected = network.record(spikes).spikes
        steps_at_once(monkeypatch, network, spikes, 10)
        for (_, arriving), whole in zip(layerwise.walk(network, spikes), expected, strict=True):
            assert [len(x) for x in arriving.outputs] == [10, 10, 10, 10, 5]
            assert all(bits_of(x) is not None for x in arriving.outputs)
            assert torch.equal(torch.cat([x.dense() for x in arriving.outputs]), whole)


def test_chunks_are_whole_words_of_bits(monkeypatch):
    network, spikes = network_of(dense)
    steps_at_once(monkeypatch, network, spikes, 40)
    assert [len(x) for x in layerwise._split(network, spikes)] == [32, 13]


@pytest.mark.parametrize("at_least", [0.0, 0.5, 2.0, 9.0])
def test_the_quantile_is_that_of_all_magnitudes(at_least):
    torch.manual_seed(0)
    x = torch.randn(50, 401)
    place = math.ceil(calibration.COVERED * x.numel())
    expected = max(float(x.abs().flatten().sort().values[place - 1]), at_least)
    assert float(calibration._quantile(x, torch.tensor(at_least))) == expected
    assert calibration._quantile(torch.full((3, 4), math.nan), torch.tensor(at_least)).isnan()


@pytest.mark.slow
def test_the_batch_size_is_of_training_alone(tmp_path):
    """A batch of another size changes no number of PTQ, and how many steps an epoch of QAT has."""
    run, found = tmp_path / "run", tmp_path / "found.json"
    options = ["train", "--dataset", "iris", "--neuron", "lif", "--hidden", "8", "--steps", "12", "--epochs", "1"]
    assert cli.main([*options, "--quiet", "--out", str(run)]) == 0
    weights = {}
    for method in ("ptq", "qat-after-ptq"):
        for size in (5, 60):
            out = tmp_path / f"{method}-{size}"
            chosen = ["--method", method, "--batch-size", str(size), "--epochs", "1", "--states", "12"]
            assert cli.main(["quantize", str(run), *chosen, "--quiet", "--out", str(out), "--json", str(found)]) == 0
            assert json.loads(found.read_text())["config"]["batch_size"] == size
            saved = torch.load(out / "checkpoint.pt", weights_only=True)
            weights[method, size] = saved["model"], saved["optimizer"]["state"]
    for name, value in weights["ptq", 5][0].items():
        assert torch.equal(value, weights["ptq", 60][0][name]), name
    batches = [-(-108 // size) for size in (5, 60)]
    steps = [int(weights["qat-after-ptq", size][1][0]["step"]) for size in (5, 60)]
    assert steps == batches
