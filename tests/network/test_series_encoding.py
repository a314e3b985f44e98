"""Encodings of time series: steps, changes, levels, padding; each sample by itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from izhi import LIF, IzhiError, encoding
from izhi.connections import Linear
from izhi.data import Dataset, SeriesBatch, SeriesSamples
from izhi.encoding import SERIES_CODES, SeriesEncoder
from izhi.network import Layer, Network
from izhi.training import Backprop, Classifier, Optimizer, Trainer, start_fabric

signals = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.lists(st.integers(1, 30), min_size=1, max_size=5).map(lambda lengths: series(lengths, seed))
)


def series(lengths, seed=0, channels=3):
    """Series of those lengths, evenly drawn from 0 to 1."""
    random = np.random.default_rng(seed)
    return [random.random((length, channels)).astype(np.float32) for length in lengths]


def batch(arrays):
    return SeriesSamples.of(arrays, torch.zeros(len(arrays), dtype=torch.int64)).batch(slice(None))[0]


def dense(spikes):
    return spikes if isinstance(spikes, torch.Tensor) else spikes.dense()


@settings(deadline=None)
@given(arrays=signals, steps=st.integers(1, 40))
def test_resampling_keeps_the_mean_and_the_range(arrays, steps):
    found = encoding.resampled(batch(arrays), steps)
    assert found.shape == (steps, len(arrays), 3)
    for k, one in enumerate(arrays):
        np.testing.assert_allclose(found[:, k].mean(0), one.mean(0), atol=1e-5)
        assert (found[:, k].numpy() >= one.min(0) - 1e-6).all()
        assert (found[:, k].numpy() <= one.max(0) + 1e-6).all()


@pytest.mark.slow
@given(arrays=signals)
def test_as_many_steps_are_the_series_itself_and_twice_as_many_repeat_it(arrays):
    for one in arrays:
        np.testing.assert_allclose(encoding.resampled(batch([one]), len(one))[:, 0], one, atol=1e-6)
        np.testing.assert_allclose(encoding.resampled(batch([one]), 2 * len(one))[:, 0], one.repeat(2, 0), atol=1e-6)


@settings(deadline=None)
@given(arrays=signals, steps=st.integers(1, 40), delta=st.floats(0.01, 1))
def test_what_is_sent_follows_the_signal_within_delta(arrays, steps, delta):
    values = encoding.resampled(batch(arrays), steps)
    up, down = encoding.send_on_delta(values, delta, counted=True).chunk(2, -1)
    assert not (up * down).any()
    followed = values[0].double() + delta * (up - down).double().cumsum(0)
    assert (followed - values).abs().max() <= delta * (1 + 1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1), delta=st.floats(0.01, 0.3))
def test_single_spikes_follow_a_signal_that_is_slow_enough(seed, delta):
    moves = torch.rand(50, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    values = (moves * delta * 0.999).cumsum(0)
    spikes = encoding.send_on_delta(values, delta)
    assert set(spikes.unique().tolist()) <= {0, 1}
    up, down = spikes.chunk(2, -1)
    assert (values[0] + delta * (up - down).cumsum(0) - values).abs().max() <= delta * (1 + 1e-9)


def test_a_step_is_sent_at_once_or_spike_by_spike():
    values = torch.tensor([0.0, 1, 1, 1, 1, 0.4]).view(-1, 1, 1)
    assert encoding.send_on_delta(values, 0.3, counted=True)[:, 0].T.tolist() == [[0, 3, 0, 0, 0, 0], [0] * 5 + [1]]
    assert encoding.send_on_delta(values, 0.3)[:, 0].T.tolist() == [[0, 1, 1, 1, 0, 0], [0] * 5 + [1]]


def test_levels_fire_in_the_direction_in_which_they_are_crossed():
    values = torch.tensor([0.1, 0.3, 0.6, 0.5, 0.1]).view(-1, 1, 1)  # levels at 1/4, 1/2, 3/4
    up, down = encoding.level_crossing(values, 3)[:, 0].chunk(2, -1)
    assert up.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert down.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 1, 0]]


@settings(deadline=None)
@given(arrays=signals, levels=st.integers(1, 9))
def test_crossings_count_to_the_level_that_a_signal_is_at(arrays, levels):
    values = encoding.resampled(batch(arrays), 20)
    up, down = encoding.level_crossing(values, levels).unflatten(-1, (2, 3, levels)).unbind(2)
    heights = torch.arange(1, levels + 1) / (levels + 1)
    above = (values[..., None] >= heights).float()
    assert torch.equal(above[0] + (up - down).cumsum(0), above)


@pytest.mark.parametrize("code", ["delta", "level"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_constant_signal_sends_nothing(code, padded):
    constant = [np.full((length, 3), 0.5, np.float32) for length in (1, 4, 30)]
    assert not dense(SeriesEncoder(code, 12, 3, padded=padded)(batch(constant), 0)).any()


@pytest.mark.slow
@settings(deadline=None)
@given(
    arrays=signals, steps=st.integers(1, 40), code=st.sampled_from(("current", "delta", "level")),
    counted=st.booleans(), padded=st.booleans(), fields=st.sampled_from((0, 5)),
)  # fmt: skip
def test_a_sample_is_coded_the_same_whatever_stands_beside_it(arrays, steps, code, counted, padded, fields):
    fields = fields if code == "current" else 0
    encoder = SeriesEncoder(code, steps, 3, fields, counted=counted and code == "delta", padded=padded)
    together = dense(encoder(batch(arrays), 1))
    assert together.shape == (steps, len(arrays), encoder.features)
    for k, one in enumerate(arrays):
        assert torch.equal(together[:, k : k + 1], dense(encoder(batch([one]), 2)))
        if padded:
            assert not together[len(one) :, k].any()


@pytest.mark.parametrize("code", SERIES_CODES)
def test_the_same_seed_gives_the_same_spikes_packed_or_not(code):
    one, other = (SeriesEncoder(code, 15, 3, packs=packs) for packs in (True, False))
    arrays = batch(series([4, 20, 9]))
    found = dense(one(arrays, 5))
    assert torch.equal(found, dense(other(arrays, 5)))
    assert torch.equal(found, dense(one(arrays, 6))) != one.is_random
    assert dense(one(arrays, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_rates_and_fields():
    arrays = [np.full((4, 1), 0.25, np.float32)] * 500
    spikes = dense(SeriesEncoder("rate", 20, 1)(batch(arrays), 0))
    assert abs(spikes.mean() - 0.25) < 0.01
    fields = SeriesEncoder("current", 20, 1, fields=6)(batch(arrays), 0)
    assert torch.equal(fields[3, :1], encoding.population(torch.tensor([[0.25]]), 6))


def network(inputs=3):
    torch.manual_seed(0)
    return Network([Layer(Linear(inputs, 20, recurrent=True), LIF())], readout=Linear(20, 2)).eval()


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(arrays=signals, more=st.integers(0, 20))
def test_padding_does_not_leak(arrays, more):
    longest = max(map(len, arrays))
    own = network()
    whole, _ = Classifier(SeriesEncoder("current", longest + more, 3, padded=True), own).eval()(batch(arrays), 0)
    for k, one in enumerate(arrays):
        alone, _ = Classifier(SeriesEncoder("current", len(one), 3, padded=True), own).eval()(batch([one]), 0)
        torch.testing.assert_close(whole[: len(one), k], alone[:, 0], atol=1e-5, rtol=1e-5)
        assert not whole[len(one) :, k].any()


@pytest.mark.slow
def test_series_of_unequal_lengths_are_learned():
    random = np.random.default_rng(0)
    labels = np.arange(80) % 2
    arrays = [np.sin(np.arange(random.integers(12, 30)) * (0.3, 1.2)[k])[:, None] * 40 + 7 for k in labels]
    data = Dataset.of(arrays, labels, over_time=True)
    fabric = start_fabric(precision="32-true")  # the same on every machine
    fit = Trainer(Backprop(Optimizer(learning_rate=0.02)), fabric=fabric, epochs=15, batch_size=16)
    assert fit.fit(network(1), data).history[-1]["test_accuracy"] > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SeriesEncoder("latency", 5, 3), "unknown encoding 'latency'"),
        (lambda: SeriesEncoder("level", 5, 3, fields=4), "population is 4, which the encoding 'level' has no use for"),
        (lambda: SeriesEncoder("current", 5, 3)(torch.zeros(2, 3), 0), "samples are no time series"),
        (lambda: SeriesEncoder("current", 0, 3)(batch(series([3])), 0), "T = 0 time steps"),
        (lambda: SeriesEncoder("current", 0, 3, padded=True)(batch(series([3])), 0), "T = 0 time steps"),
        (lambda: SeriesEncoder("level", 5, 3, crossings=0)(batch(series([3])), 0), "crossings is 0, expected at least"),
        (lambda: encoding.send_on_delta(torch.zeros(2, 1, 1), 0.0), "delta is 0.0, expected a change above 0"),
        (lambda: encoding.ValueEncoder("rate", 5, (3,))(batch(series([3])), 0), "expected values"),
        (lambda: encoding.EventEncoder(5, (3,), 10.0)(batch(series([3])), 0), "expected recordings"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(IzhiError, match=message):
        call()


def test_batches_say_where_each_series_begins():
    arrays = series([4, 1, 7])
    samples = SeriesSamples.of(arrays, torch.arange(3))
    part, labels = samples.batch(torch.tensor([2, 0]))
    assert isinstance(part, SeriesBatch)
    assert (part.offsets.tolist(), labels.tolist()) == ([0, 7, 11], [2, 0])
    assert torch.equal(part.values, torch.from_numpy(np.concatenate([arrays[2], arrays[0]])))
    assert torch.equal(samples.subset(torch.tensor([False, True, True])).batch(slice(1, 2))[0].values, part.values[:7])
