"""What an artifact may hold, to the last number: at each limit it loads, beyond it one line says what was expected."""

import zipfile

import numpy as np
import pytest

from archives import change, entries, write
from izhi.errors import ArtifactError
from izhi.hardware import artifact, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.artifact.archive import MOST_BYTES
from izhi.hardware.artifact.integers import check_count, most_tests
from izhi.hardware.fixed import NEURONS, FixedPoint, IntegerLayer, LIFNeuron
from izhi.hardware.fixed.neuron import neuron_kind
from networks import random_network, random_spikes


@pytest.fixture
def file(tmp_path):
    return tmp_path / "x.izhi"


@pytest.fixture
def network():
    return random_network(1)


def integers(network, tests=3):
    spikes = random_spikes(2, 6, tests, network.inputs)
    names = tuple(f"class {k}" for k in range(network.outputs))
    return IntegerArtifact(network, 6, names, {"encoding": "rate"}, {}, spikes, fixed.run(network, spikes).scores)


def refusal(file):
    with pytest.raises(ArtifactError) as error:
        artifact.load(file)
    return str(error.value)


def test_a_file_above_the_limit_is_not_read(file):
    for size, message in ((2**26 + 1, "has 67,108,865 bytes, expected at most 67,108,864"), (2**26, "is truncated")):
        with file.open("wb") as stream:
            stream.truncate(size)
        assert message in refusal(file)
    assert MOST_BYTES == 2**26


def test_names_of_entries_in_utf_8_are_read_and_encrypted_entries_are_not(file, network):
    artifact.save(integers(network), file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"written again, with flags"
        for entry in archive.infolist():
            entry.flag_bits |= 0x800
    assert np.array_equal(artifact.load(file).network.layers[0].weight, network.layers[0].weight)
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"and encrypted"
        for entry in archive.infolist():
            entry.flag_bits |= 1
    assert "compressed or encrypted, expected it stored" in refusal(file)


def test_every_array_has_a_checksum_and_every_checksum_an_array(file, network):
    artifact.save(integers(network), file)
    whole = entries(file)
    write(file, {**whole, "more.npy": whole["layers.0.weight.npy"]})
    assert "holds other arrays than its manifest names" in refusal(file)
    write(file, {name: raw for name, raw in whole.items() if name != "layers.0.weight.npy"})
    assert "holds other arrays than its manifest names" in refusal(file)


def test_formats_within_their_limits(file):
    neuron = LIFNeuron(FixedPoint(2, 0), 0, *(np.array([x]) for x in (1, 0, 1)))
    layer = IntegerLayer(np.ones((1, 2), np.int64), 2, np.array([1]), 0, FixedPoint(2, 0), neuron)
    artifact.save(integers(fixed.IntegerNetwork((layer,)), 0), file)
    assert artifact.load(file).network.layers[0].neuron.formats.v == FixedPoint(2, 0)
    whole = file.read_bytes()
    for width, fraction, message in (
        (1, 0, "width 1, expected a whole number from 2 to 32"),
        (33, 0, "width 33, expected a whole number from 2 to 32"),
        (8, -1, "fraction -1, expected a whole number from 0 to 30"),
        (8, 31, "fraction 31, expected a whole number from 0 to 30"),
    ):
        file.write_bytes(whole)
        change(file, lambda manifest, _, pair=(width, fraction): manifest["layers"][0]["formats"].update(v=pair))
        assert f"layers.0.formats.v.{message}" in refusal(file)
    for fraction in (-1, 31):
        file.write_bytes(whole)
        change(file, lambda manifest, _, value=fraction: manifest["layers"][0].update(fraction=value))
        assert f"layers.0.fraction {fraction}, expected a whole number from 0 to 30" in refusal(file)


def test_as_many_test_vectors_as_are_run_when_it_is_loaded(file, network):
    most = most_tests(network, 6)
    check_count(network, 6, most)
    with pytest.raises(ArtifactError, match=f"has {most + 1:,} test vectors, expected at most {most:,} for 6 steps"):
        check_count(network, 6, most + 1)


@pytest.mark.parametrize("initial", [["v0", "v0"], ["w0"], ["v0", 3], "v0", None])
def test_initial_states_of_a_step_in_the_file_are_states_named_once(file, initial):
    step = NEURONS["lif"].operations
    kind = neuron_kind("own", step, ("v0",))
    zeros = {name: np.zeros(1, np.int64) for name in kind.names()}
    neuron = kind.of({"v": FixedPoint(8, 4)}, 4, zeros)
    layer = IntegerLayer(np.ones((1, 2), np.int64), 2, np.array([1]), 0, FixedPoint(8, 4), neuron)
    artifact.save(integers(fixed.IntegerNetwork((layer,)), 0), file)
    assert artifact.load(file).network.layers[0].neuron.initial == ("v0",)
    change(file, lambda manifest, _: manifest["layers"][0].update(initial=initial))
    assert "expected names of states with a 0" in refusal(file)
