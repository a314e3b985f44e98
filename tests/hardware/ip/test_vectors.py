"""The IP's own words and spikes, as its public source gives them, against every public function."""

import json

import numpy as np
import pytest

from izhi.hardware import devices as board, ip as hls_ip
from izhi.hardware.artifact import IPArtifact
from izhi.hardware.ip import EmulatedIP, IPNetwork


@pytest.fixture(scope="module")
def vectors(real_data):
    path = real_data / "hls_ip" / "vectors.json"
    if not path.is_file():
        pytest.skip("hls_ip/vectors.json is not in IZHI_DATA")
    return json.loads(path.read_text())["vectors"]


def network_of(vector, build="izhi"):
    layers = vector["layers"]
    return IPNetwork.of([x["weight"] for x in layers], [x["bias"] for x in layers], build)


def as_text(words):
    return [f"{word:016x}" for word in words]


def test_input_streams(vectors):
    for vector in vectors:
        network = network_of(vector)
        words = hls_ip.pack(network)
        assert words.dtype == np.uint64
        assert [as_text(stream) for stream in words] == vector["stream_words"]
        assert hls_ip.input_words(network.sizes) == vector["n_stream_words"]
        again = hls_ip.unpack_network(words, network.inputs, network.sizes)
        for a, b in zip(again.layers, network.layers, strict=True):
            assert np.array_equal(a.weight, b.weight)
            assert np.array_equal(a.bias, b.bias)


def test_spikes_of_every_layer(vectors):
    for vector in vectors:
        outcome = hls_ip.run(network_of(vector), [vector["in_c"]])
        for spikes, expected in zip(outcome.spikes, vector["layer_spikes"], strict=True):
            assert spikes[:, 0].T.tolist() == expected
        assert outcome.scores.tolist() == [np.sum(vector["spikes"], axis=1).tolist()]


@pytest.mark.parametrize(("build", "name"), [("izhi", "out_words"), ("lif", "lif_out_words")])
def test_output_words(vectors, build, name):
    for vector in vectors:
        network = network_of(vector, build)
        spikes = hls_ip.run(network, [vector["in_c"]]).spikes[-1][:, 0]
        words = hls_ip.pack_spikes(spikes)
        assert as_text(words) == vector[name]
        assert np.array_equal(hls_ip.unpack(words, network.outputs), spikes)
        assert hls_ip.output_words(network.outputs) == len(words)
        if build == "izhi":
            assert hls_ip.unpack(words, network.outputs).T.tolist() == vector["spikes"]


def test_the_last_word_is_marked(vectors):
    for vector in vectors:
        assert hls_ip.last(vector["n_out"]).astype(int).tolist() == vector["out_last"]


@pytest.mark.parametrize(("build", "name"), [("izhi", "out_words"), ("lif", "lif_out_words")])
def test_the_device_answers_in_these_words(vectors, build, name):
    """One block after another network, so that nothing of an earlier inference may be left."""
    block, answers = EmulatedIP(build), []
    exchange = block.exchange
    block.exchange = lambda words, room: answers.append(exchange(words, room)) or answers[-1]
    device = board.IPDevice(block)
    for vector in [*vectors, *reversed(vectors)]:
        network = network_of(vector, build)
        device.load(IPArtifact(network, tuple(map(str, range(network.outputs)))))
        outcome = device.run(np.array([vector["in_c"]], np.float32))
        assert as_text(answers.pop()) == vector[name]
        assert outcome.scores.shape == (1, vector["n_out"])


def test_a_population_gives_what_its_members_give(vectors):
    for vector in vectors:
        network = network_of(vector)
        random = np.random.default_rng(1)
        weights = [np.stack([x.weight, x.weight * 0.5, -x.weight]) for x in network.layers]
        biases = [np.stack([x.bias, x.bias, x.bias + 0.1]) for x in network.layers]
        currents = random.random((5, network.inputs), np.float32)
        currents[0] = vector["in_c"]
        scores = hls_ip.run_population(weights, biases, currents)
        assert scores[0, 0].tolist() == np.sum(vector["spikes"], axis=1).tolist()
        for p in range(3):
            member = IPNetwork.of([w[p] for w in weights], [b[p] for b in biases])
            assert np.array_equal(scores[p], hls_ip.run(member, currents).scores)
