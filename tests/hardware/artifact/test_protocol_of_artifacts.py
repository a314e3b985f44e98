"""Artifacts of every kind, by what they have in common."""

import numpy as np
import pytest

from ip_networks import a_network, artifact_of
from izhi.hardware import artifact, devices as board, fixed, ip as hls_ip
from izhi.hardware.artifact import IntegerArtifact
from networks import random_network, random_spikes


def of_integers(seed):
    network, spikes = random_network(seed), random_spikes(2, 6, 3, 12)
    return IntegerArtifact(network, 6, tuple("abcde"), {"dataset": "digits"}, {"seed": seed}, spikes,
                           fixed.run(network, spikes).scores)  # fmt: skip


def of_the_ip(seed):
    return artifact_of(a_network(seed))


@pytest.mark.parametrize("kind", [of_integers, of_the_ip])
def test_another_network_takes_the_place_of_an_artifacts_own(kind, tmp_path):
    first, second = kind(1), kind(2)
    changed = first.with_network(second.network, evolution={"members": 4})
    assert changed.network is second.network
    assert changed.provenance == {**first.provenance, "evolution": {"members": 4}}
    assert (changed.classes, changed.encoding, changed.steps) == (
        first.classes, first.encoding, first.steps
    )  # fmt: skip
    assert np.array_equal(changed.test_scores, second.run(first.test_inputs).scores)
    assert not np.array_equal(changed.test_scores, first.test_scores)
    artifact.save(changed, tmp_path / "x.izhi")
    again = artifact.load(tmp_path / "x.izhi")
    assert type(again) is type(first)
    assert np.array_equal(again.test_scores, changed.test_scores)


@pytest.mark.parametrize("kind", [of_integers, of_the_ip])
def test_it_runs_on_its_usual_device_what_it_makes_of_samples(kind):
    found = kind(1)
    count = found.network.inputs
    encoded = np.random.default_rng(0).integers(0, 2, (1, 5, count)) * np.ones((found.steps, 1, 1))
    inputs = found.inputs_of(encoded.astype(np.float32))
    with board.open(found.device, found) as device:
        assert np.array_equal(device.run(inputs).scores, found.run(inputs).scores)
    assert found.device in found.devices


def test_the_integer_model_takes_spikes_and_the_ip_takes_currents():
    encoded = np.full((30, 2, 4), 0.5, np.float32)
    currents = of_the_ip(1).inputs_of(encoded)
    assert (currents.dtype, currents.shape) == (np.float32, (2, 4))
    assert (currents == 0.5).all()
    counts = of_integers(1).inputs_of(np.full((6, 2, 12), 3, np.float32))
    assert (counts.dtype, counts.shape, counts.max()) == (np.uint8, (6, 2, 12), 3)


def test_parts_of_a_network_and_other_arrays_in_them():
    network = random_network(1, readout=True)
    assert [part.outputs for part in network.projections] == [9, 5, 4]
    weight = network.readout.weight + 0
    other = network.with_arrays({2: {"weight": weight}})
    assert other.readout.weight is weight
    assert other.layers[0] is network.layers[0]
    assert (network.score_unit, random_network(1).score_unit) == (None, 1.0)
    ip = a_network()
    changed = ip.with_arrays({1: {"bias": ip.layers[1].bias + 1}})
    assert changed.layers[0] is ip.layers[0]
    assert np.array_equal(changed.layers[1].bias, ip.layers[1].bias + 1)
    assert not np.array_equal(hls_ip.run(ip, np.ones((1, 4))).scores, hls_ip.run(changed, np.ones((1, 4))).scores)
