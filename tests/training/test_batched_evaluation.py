"""Evaluation of a few samples at once: the same numbers as of all."""

import pytest
import torch
from torch import nn

import izhi
from izhi.data import Samples
from izhi.kernels import PackedSpikes
from izhi.kernels.packed import as_bits, bits_of, join_samples, split_samples
from izhi.network import Network
from izhi.network.encoders import ValueEncoder
from izhi.training import LOSSES, Classifier, evaluation, start_fabric


def convolutional():
    torch.manual_seed(0)
    layers = [nn.Unflatten(1, (1, 6, 6)), nn.Conv2d(1, 4, 3), izhi.LIF(0.9), nn.AvgPool2d(2), nn.Flatten(),
              nn.Linear(16, 8), izhi.LIF(0.9), nn.Linear(8, 3)]  # fmt: skip
    return Network(layers)


def dense():
    torch.manual_seed(0)
    return Network([nn.Linear(36, 80), izhi.LIF(0.9), nn.Linear(80, 3), izhi.LIF(0.9)])


def evaluate(network, coding):
    """The number of samples of each call of the network, and the evaluation."""
    calls = []
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in network.spiking:
            layer.connection.weight.mul_(4)
    x, y = torch.rand(50, 36), torch.arange(50) % 3
    network.register_forward_pre_hook(lambda module, inputs: calls.append(inputs[0].shape[1]))
    fabric = start_fabric("cpu", precision="32-true")
    model = fabric.setup(Classifier(ValueEncoder(coding, 40, (36,)), network))
    groups = {"even": torch.arange(50) % 2 == 0}
    found = evaluation.evaluate(fabric, model, Samples(x, y), LOSSES["count"], seed=3, groups=groups)
    return calls, found


@pytest.mark.parametrize("make", [convolutional, dense])
@pytest.mark.parametrize("coding", ["rate", "constant"])
def test_parts_of_the_samples_have_the_numbers_of_all(make, coding, monkeypatch):
    samples, results = [], []
    for count in (50, 12):
        numbers = 36 + 2 * sum(make().neurons(36))
        monkeypatch.setattr(evaluation, "EVALUATION_BYTES", 4 * 40 * numbers * count)
        calls, found = evaluate(make(), coding)
        samples.append([x for x in calls if x > 1])
        results.append(found)
    whole, parts = results
    assert samples == [[50], [12, 12, 12, 12, 2]]
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (parts.accuracy, parts.groups, parts.rates()) == (whole.accuracy, whole.groups, whole.rates())
    assert torch.equal(parts.confusion, whole.confusion)
    assert min(whole.rates().values()) > 0


def test_samples_are_split_and_joined():
    spikes = (torch.rand(40, 7, 4, 3) < 0.3).float()
    parts = split_samples(spikes, 3)
    assert [x.shape[1] for x in parts] == [3, 3, 1]
    joined = join_samples([as_bits(x) for x in parts])
    assert bits_of(joined) is not None
    assert torch.equal(joined.dense(), spikes)
    packed = PackedSpikes.pack(spikes.flatten(2))
    assert torch.equal(torch.cat([x.dense() for x in split_samples(packed, 3)], 1), spikes.flatten(2))
