"""The arithmetic against single numbers, its limits, and what it refuses."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from izhi.errors import IzhiError, SettingError, ShapeError
from izhi.hardware import ip as hls_ip
from izhi.hardware.ip import IPNetwork, arithmetic, fast

F = np.float32


def by_hand(network, x):
    """Spikes (30, N) of every layer for the currents of one sample, number by number."""
    x = np.tile(np.array(x, F), (30, 1))
    found = []
    for layer in network.layers:
        spikes = np.zeros((30, len(layer.weight)), F)
        for i, row in enumerate(layer.weight):
            v, u = F(0), F(0)
            for t in range(30):
                current = layer.bias[i]
                for k in range(16):
                    w, xk = (row[k], x[t, k]) if k < len(row) else (F(0), F(0))
                    current = F(current + F(w * xk))
                if network.build == "izhi":
                    fired = v >= F(0.7)
                    if fired:
                        v, u = F(0.105), F(u + F(0.412))
                    else:
                        a = F(F(v * v) + F(F(-0.210) * v))
                        a = F(F(a + F(F(-0.019) * u)) + current)
                        v = F(v + a)
                        u = F(u + F(F(-v / F(32)) - F(u / F(32))))
                else:
                    fired = v > F(0.7)
                    v = F(current + F(F(0.95) * v))
                    if fired:
                        v = F(v - F(0.7))
                spikes[t, i] = fired
        found.append(spikes)
        x = spikes
    return found


def random_network(seed, sizes=(5, 7, 4), scale=0.6, build="izhi"):
    random = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [random.normal(0, scale, shape) for shape in shapes]
    return IPNetwork.of(weights, [random.normal(0, 0.2, n) for n, _ in shapes], build)


@pytest.mark.parametrize("build", hls_ip.BUILDS)
@pytest.mark.parametrize("scale", [0.3, 3.0, 1e19, 3e38])
def test_every_number_is_rounded_as_in_a_loop(build, scale):
    fired = 0
    for seed in range(3):
        with np.errstate(all="ignore"):
            network = random_network(seed, scale=min(scale, 1e38), build=build)
            currents = np.random.default_rng(seed).random((3, 5), F) * F(scale)
            expected = [by_hand(network, x) for x in currents]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = hls_ip.run(network, currents)
        for sample, layers in enumerate(expected):
            for k, spikes in enumerate(layers):
                assert np.array_equal(outcome.spikes[k][:, sample], spikes)
                fired += int(spikes.sum())
    assert fired > 20


def test_a_neuron_whose_v_is_no_number_stays_silent():
    network = IPNetwork.of([[[1e38], [1e38]], [[1.0, -1.0]]], [[3e38, 0.0], [0.5]])
    outcome = hls_ip.run(network, [[1e38], [0.0]])
    assert outcome.spikes[0].sum() > 0
    # 3e38 − 3e38 … from inf − inf on, nothing is a number
    nothing = IPNetwork.of([[[3e38, -3e38]]], [[0.0]])
    assert hls_ip.run(nothing, [[2.0, 2.0]]).scores.tolist() == [[0]]


@pytest.mark.parametrize("build", hls_ip.BUILDS)
@pytest.mark.parametrize(("population", "batch"), [(1, 1), (3, 700), (300, 2), (2, 0)])
def test_population_and_batches_of_any_size(population, batch, build):
    members = [random_network(seed, build=build) for seed in range(population)]
    weights = [np.stack([m.layers[k].weight for m in members]) for k in range(2)]
    biases = [np.stack([m.layers[k].bias for m in members]) for k in range(2)]
    currents = np.random.default_rng(0).random((batch, 5), F)
    scores = hls_ip.run_population(weights, biases, currents, build)
    assert scores.shape == (population, batch, 4)
    assert scores.dtype == np.int64
    for p in {0, population // 2, population - 1}:
        outcome = hls_ip.run(members[p], currents)
        assert np.array_equal(scores[p], outcome.scores)
        assert [s.shape for s in outcome.spikes] == [(30, batch, 7), (30, batch, 4)]


@pytest.mark.parametrize("build", hls_ip.BUILDS)
@pytest.mark.parametrize("scale", [0.6, 3.0, 1e19, 1e38, np.inf])
@pytest.mark.parametrize("widths", [(4, 16, 3), (16, 16, 16, 5), (3, 1, 7)])
def test_the_fast_path_is_the_same_number_for_number(widths, scale, build):
    """Also where numbers overflow, and where a member's weights are infinite."""
    random = np.random.default_rng(5)
    shapes = list(pairwise(widths))
    with np.errstate(all="ignore"):
        scales = min(scale, 1.0) if scale == np.inf else scale
        weights = [random.normal(0, scales, (40, n, k)).astype(F) for k, n in shapes]
        biases = [random.normal(0, 0.2, (40, n)).astype(F) for _, n in shapes]
    if scale == np.inf:
        weights[-1][::2, 0, 0] = np.inf
    currents = random.random((30, widths[0]), F)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = hls_ip.run_population(weights, biases, currents, build)
        assert np.array_equal(found, arithmetic._scores(weights, biases, currents, build))
        assert np.array_equal(found, fast.scores(weights, biases, currents, build))
    assert found.any()


sizes = st.lists(st.integers(1, 16), min_size=2, max_size=9)


@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(0, 2**32 - 1))
def test_packed_networks_come_back(widths, seed):
    network = random_network(seed, widths)
    words = hls_ip.pack(network)
    assert words.shape == (4, sum(2 + 2 * n for n in widths[1:]))
    again = hls_ip.unpack_network(words, widths[0], widths[1:])
    for a, b in zip(again.layers, network.layers, strict=True):
        assert a.weight.tobytes() == b.weight.tobytes()
        assert a.bias.tobytes() == b.bias.tobytes()
    # Where a number lies: word g of stream k is {x[8g + 2k + 1], x[8g + 2k]}.
    layer, i, j = network.layers[0], seed % widths[1], seed % widths[0]
    word = words[j % 8 // 2, 2 * (1 + i) + j // 8]
    half = (int(word) >> (32 * (j % 2))) & 0xFFFFFFFF
    assert half == int(layer.weight[i, j].view(np.uint32))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 16), st.integers(0, 2**32 - 1))
def test_packed_spikes_come_back(outputs, seed):
    spikes = np.random.default_rng(seed).integers(0, 2, (30, outputs), np.uint8)
    words = hls_ip.pack_spikes(spikes)
    assert len(words) == 30 * outputs // 64 + 1 == len(hls_ip.last(outputs))
    assert np.array_equal(hls_ip.unpack(words, outputs), spikes)
    i, t = seed % outputs, seed % 30
    at = 30 * i + t
    assert (int(words[at // 64]) >> (at % 64)) & 1 == spikes[t, i]


def test_answers_of_another_length_are_refused():
    words = hls_ip.pack_spikes(np.ones((30, 3)))
    with pytest.raises(ShapeError, match="the answer has 2 words, expected 3 for 5 neurons"):
        hls_ip.unpack(words, 5)
    with pytest.raises(ShapeError, match="bits set behind the spikes of 2 neurons"):
        hls_ip.unpack(words[:1] | words[1], 2)
    with pytest.raises(ShapeError, match=r"expected \(4, 8\)"):
        hls_ip.unpack_network(np.zeros((4, 9), np.uint64), 2, [3])


@pytest.mark.parametrize(
    ("weights", "biases", "error", "message"),
    [
        ([], [], SettingError, "has 0 layers, expected 1 to 8"),
        ([np.eye(2)] * 9, [np.zeros(2)] * 9, SettingError, "has 9 layers, expected 1 to 8"),
        ([np.ones((17, 2))], [np.zeros(17)], SettingError, "layer 1 has 17 neurons, expected 1 to 16"),
        ([np.ones((2, 17))], [np.zeros(2)], SettingError, "layer 1 has 17 inputs, expected 1 to 16"),
        ([np.ones((0, 2))], [np.zeros(0)], SettingError, "layer 1 has 0 neurons"),
        ([np.ones((2, 2)), np.ones((2, 3))], [np.zeros(2)] * 2, ShapeError,
         "layer 2 has weights for 3 inputs, expected 2"),
        ([np.ones((2, 2))], [np.zeros(3)], ShapeError, r"biases of shape \(3,\), expected \(2,\)"),
        ([np.ones((2, 2))], [], ShapeError, "1 weights and 0 biases"),
        ([np.ones(2)], [np.zeros(2)], ShapeError, "expected .n_out, n_prev."),
        ([np.full((2, 2), 1e39)], [np.zeros(2)], SettingError, "layer 1 has a weight that is not finite"),
        ([np.ones((2, 2))], [[0, np.nan]], SettingError, "layer 1 has a bias that is not finite"),
        ([[[1], [1, 2]]], [np.zeros(2)], ShapeError, "no array of numbers"),
    ],
)  # fmt: skip
def test_networks_that_the_ip_has_no_room_for(weights, biases, error, message):
    with pytest.raises(error, match=message) as found:
        IPNetwork.of(weights, biases)
    assert "\n" not in str(found.value)


def test_other_bad_input():
    network = random_network(1)
    with pytest.raises(SettingError, match="unknown build 'izh' .did you mean 'izhi'"):
        IPNetwork(network.layers, "izh")
    for wrong, message in (
        (np.ones(5), r"shape \(5,\), expected \(samples, 5\)"),
        (np.ones((1, 4)), r"shape \(1, 4\), expected \(samples, 5\)"),
        (np.full((1, 5), np.inf), "not finite"),
        (np.full((1, 5), 1e39), "not finite"),
        (np.array([["a"] * 5]), "currents are <U1"),
    ):
        with pytest.raises(ShapeError, match=message):
            hls_ip.run(network, wrong)
    weights, biases = [np.ones((2, 3, 5)), np.ones((3, 2, 3))], [np.ones((2, 3)), np.ones((3, 2))]
    one = ([np.ones((2, 3, 5))], [np.ones((2, 3))])
    for number, (w, b) in (
        (2, (weights, biases)),
        (1, ([np.ones((3, 5))], [np.ones((2, 3))])),
        (1, ([np.ones((2, 3, 5, 1))], one[1])),
        (1, (one[0], [np.ones((2, 4))])),
    ):
        with pytest.raises(ShapeError, match=f"layer {number} of the population"):
            hls_ip.run_population(w, b, np.ones((1, 5)))
    with pytest.raises(ShapeError, match="1 weights and 2 biases"):
        hls_ip.run_population(one[0], one[1] * 2, np.ones((1, 5)))
    with pytest.raises(SettingError, match="17 neurons"):
        hls_ip.run_population([np.ones((2, 17, 5))], [np.ones((2, 17))], np.ones((1, 5)))
    with pytest.raises(IzhiError, match="unknown build"):
        hls_ip.run_population([np.ones((2, 1, 5))], [np.ones((2, 1))], np.ones((1, 5)), "x")
