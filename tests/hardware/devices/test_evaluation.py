"""One evaluation for every device: accuracies, rates, and comparison with whatever gives spikes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ip_networks import a_network, artifact_of, currents_of
from izhi.errors import DataError, ShapeError
from izhi.hardware import devices as board, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.devices.device import Counters
from izhi.hardware.devices.evaluation import DeviceEvaluation, Reference, evaluate, own_samples
from izhi.hardware.fixed import Outcome
from networks import random_network, random_spikes

SAMPLES = 30


def integers():
    network, spikes = random_network(1), random_spikes(5, 20, SAMPLES, 12)
    return IntegerArtifact(network, 20, tuple("abcde")), spikes


def floats():
    network = a_network()
    return artifact_of(network), currents_of(network, SAMPLES)


@pytest.fixture(params=[integers, floats])
def case(request):
    """A device that holds a network, inputs in two batches with their classes, and the outcome of them all."""
    found, inputs = request.param()
    expected = found.run(inputs)
    labels = np.where(np.arange(SAMPLES) % 3 == 0, expected.classes + 1, expected.classes)
    cut = [slice(0, 17), slice(17, SAMPLES)]
    batches = [(inputs[:, part] if inputs.ndim == 3 else inputs[part], labels[part]) for part in cut]
    with board.open(found.device, found) as device:
        yield device, batches, expected


def test_accuracies_answers_and_rates(case):
    device, batches, expected = case
    number = np.arange(SAMPLES)
    groups = {"wrong": number % 3 == 0, "right": number % 3 > 0, "half": number < 15}
    told = []
    found = evaluate(device, batches, groups=groups, wants_rates=True, progress=told.append)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.groups == pytest.approx({"wrong": 0, "right": 1, "half": 2 / 3})
    assert np.array_equal(found.answers, expected.classes)
    assert found.rates == pytest.approx([s.mean() for s in expected.spikes])
    assert told == [17, SAMPLES]
    assert found.counters.inferences == found.samples == SAMPLES
    assert found.is_exact
    assert found.spikes == ()
    again = json.loads(json.dumps(found.summary()))
    assert again["groups"] == found.groups
    assert "answers" not in again
    plain = evaluate(device, batches)
    assert (plain.rates, plain.accuracy) == ((), found.accuracy)
    assert np.array_equal(plain.answers, found.answers)


def test_spikes_are_compared_with_the_devices_own_model(case):
    device, batches, expected = case
    found = evaluate(device, batches, compares=True)
    assert found.spikes == tuple(int(s.sum()) for s in expected.spikes)
    assert found.different == (0, 0)
    assert (found.scores, found.classes, found.model) == (0, 0, device.model)


def test_spikes_are_compared_with_any_reference(case):
    device, batches, expected = case
    flipped = iter(batches)

    def reference(inputs):
        """As another library would have it: floats for scores, which are not the device's, and some errors."""
        right = device.expected(inputs)
        assert inputs is next(flipped)[0]
        spikes = [s.copy() for s in right.spikes]
        spikes[1][3, 2] ^= 1
        classes = right.classes.copy()
        classes[4] += 1
        return Outcome(np.eye(9)[classes], spikes)

    found = evaluate(device, batches, reference=Reference(reference, "the other network"))
    assert found.different == (0, 2 * expected.spikes[1].shape[2])
    assert (found.scores, found.classes, found.model) == (0, 2, "the other network")
    assert not found.is_exact
    other = Reference(lambda inputs: Outcome(np.zeros((17, 2)), []), "a network without layers")
    with pytest.raises(ShapeError, match="a network without layers gives spikes of shapes"):
        evaluate(device, batches, reference=other)


def test_the_integer_model_is_the_specification_on_the_emulator():
    found, spikes = integers()
    with board.open("emulator", found) as device:
        answers = evaluate(device, [(spikes, np.zeros(SAMPLES, np.int64))]).answers
    assert np.array_equal(answers, fixed.run(found.network, spikes).classes)


@pytest.mark.parametrize("make", [integers, floats])
def test_an_artifact_is_evaluated_on_its_own_test_vectors(make):
    found, inputs = make()
    found = replace(found, test_inputs=inputs, test_scores=found.run(inputs).scores)
    with board.open(found.device, found) as device:
        outcome = evaluate(device, [own_samples(found)], compares=True)
    assert outcome.is_exact
    assert outcome.accuracy == 1
    assert outcome.samples == SAMPLES
    with pytest.raises(DataError, match="carries no test vectors; name a data set"):
        own_samples(replace(found, test_scores=found.test_scores[:0]))


def test_cycles_are_those_of_a_sample():
    found = DeviceEvaluation(4, 0.75, 2.0, Counters(4, 40, 80, 1_000_000))
    assert found.lines() == [
        "accuracy: 75.00 % of 4 samples, 2.0 samples/s",
        "10 input spikes and 20 spikes per sample",
        "250,000 clock cycles per sample",
    ]
