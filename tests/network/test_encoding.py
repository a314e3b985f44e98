"""Encodings: rates, times, receptive fields, seeds, and what they refuse."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from izhi import LIF, IzhiError, encoding
from izhi.encoding import RowEncoder
from izhi.kernels import PackedSpikes
from izhi.kernels.cpu import bits
from izhi.network import Network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rate_has_the_probability_of_its_value(dtype):
    values = torch.linspace(0, 1, 11).repeat(400, 1)
    spikes = encoding.rate(values, 50, seed=1, dtype=dtype)
    assert spikes.dtype == dtype
    assert set(spikes.unique().tolist()) == {0, 1}
    torch.testing.assert_close(spikes.float().mean((0, 1)), values[0], atol=0.015, rtol=0)
    assert spikes[:, :, 0].sum() == 0
    assert (spikes[:, :, 10] == 1).all()


def test_rate_is_independent_over_time_samples_and_features():
    spikes = encoding.rate(torch.full((64, 64), 0.5), 64, seed=7) - 0.5
    for shifted in (
        spikes.roll(1, 0),
        spikes.roll(1, 1),
        spikes.roll(1, 2),
        spikes.roll(32, 2),
        spikes.transpose(1, 2),
    ):
        assert abs((spikes * shifted).mean().item() * 4) < 0.02


def test_rate_is_fixed_by_its_seed_for_any_number_of_threads():
    values = torch.rand(33, 77)
    one = encoding.rate(values, 9, seed=5)
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert torch.equal(one, encoding.rate(values, 9, seed=5))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, encoding.rate(values, 9, seed=5, dtype=torch.bfloat16).float())
    assert not torch.equal(one, encoding.rate(values, 9, seed=6))


def test_rate_without_a_seed_follows_torch():
    values = torch.rand(4, 5)
    torch.manual_seed(3)
    one = encoding.rate(values, 20)
    torch.manual_seed(3)
    assert torch.equal(one, encoding.rate(values, 20))
    assert not torch.equal(one, encoding.rate(values, 20))


def test_rate_gives_bits_that_a_network_takes_as_they_are(monkeypatch):
    spikes = encoding.rate(torch.rand(5, 70), 40, seed=1)
    assert isinstance(spikes, torch.Tensor)
    network = Network([torch.nn.Linear(70, 6), LIF()])
    expected, _ = network(spikes.clone())

    def refused(*_):
        raise AssertionError("between numbers and bits")

    with monkeypatch.context() as patched:
        patched.setattr(PackedSpikes, "dense", refused)
        patched.setattr(bits, "packed", refused)
        output, _ = network(spikes)
    torch.testing.assert_close(output, expected)


def test_a_network_sees_what_changed_in_the_spikes_of_rate():
    spikes, network = encoding.rate(torch.rand(5, 70), 40, seed=1), Network([torch.nn.Linear(70, 6), LIF()])
    spikes[3, 2] = 1 - spikes[3, 2]
    torch.testing.assert_close(network(spikes)[0], network(spikes.clone())[0])


def test_rate_of_a_float64_is_numbers():
    assert type(encoding.rate(torch.rand(2, 3), 4, dtype=torch.float64)) is torch.Tensor


def test_latency_is_earlier_for_larger_values():
    spikes = encoding.latency(torch.tensor([[1.0, 0.75, 0.5, 0.25, 0.0]]), 9)
    assert spikes.sum((0, 1)).tolist() == [1, 1, 1, 1, 0]
    assert spikes[:, 0, :4].argmax(0).tolist() == [0, 2, 4, 6]


def test_shifted_images_move_as_a_whole_and_zeros_come_in():
    image = torch.zeros(5, 4)
    image[2, 1], image[4, 3] = 1.0, 0.5  # one pixel within reach of every shift, one at the edge
    moved = encoding.shifted(image.flatten().repeat(500, 1), (5, 4), 1, seed=3).view(500, 5, 4)
    places = set()
    for one in moved:
        (y, x), *_ = (one == 1).nonzero().tolist()
        places.add((y - 2, x - 1))
        expected = torch.zeros(7, 6)
        expected[1 + y - 2 : 6 + y - 2, x : x + 4] = image
        torch.testing.assert_close(one, expected[1:6, 1:5])
    assert places == {(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)}
    again = encoding.shifted(image.flatten().repeat(500, 1), (5, 4), 1, seed=3)
    assert torch.equal(again.view_as(moved), moved)


def test_constant():
    values = torch.rand(2, 3)
    assert torch.equal(encoding.constant(values, 4), values.repeat(4, 1, 1))


@settings(deadline=None)
@given(fields=st.integers(3, 12), value=st.floats(0, 1, width=32))
def test_population_peaks_at_the_nearest_centre(fields, value):
    response = encoding.population(torch.tensor([[value]]), fields)
    assert response.shape == (1, fields)
    assert response.min() >= 0
    assert response.max() <= 1
    centres = torch.tensor([(2 * i - 3) / (2 * (fields - 2)) for i in range(1, fields + 1)])
    nearest = (centres - value).abs()
    assert nearest[response.argmax()] <= nearest.min() + 1e-6
    assert response.max() > 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encoding.rate(torch.rand(2, 3), 0), "T = 0 time steps, expected at least 1"),
        (lambda: encoding.latency(torch.rand(2, 3), 0), "T = 0"),
        (lambda: encoding.rate(torch.rand(3), 5), "expected 2 dimensions"),
        (lambda: encoding.rate(torch.rand(2, 3) * 3, 5), "expected 0 to 1: scale them"),
        (lambda: encoding.rate(torch.full((2, 3), torch.nan), 5), "expected 0 to 1"),
        (lambda: encoding.rate(torch.ones(2, 3, dtype=torch.uint8), 5), "expected floating point"),
        (lambda: encoding.population(torch.rand(2, 3), 2), "2 fields, expected at least 3"),
        (lambda: encoding.ValueEncoder("morse", 5, (3,)), "unknown encoding 'morse'"),
    ],
)
def test_wrong_values(call, message):
    with pytest.raises(IzhiError, match=message):
        call()


def test_images_are_read_row_by_row_pixel_by_pixel_and_in_another_order():
    images = torch.arange(24.0).view(2, 12) / 24
    rows = RowEncoder(4, (4, 3))(images, seed=0)
    assert torch.equal(rows.transpose(0, 1).reshape(2, 12), images)
    one = RowEncoder(24, (4, 3), by_pixel=True)
    assert (one.features, one.grid) == (1, (1,))
    assert torch.equal(one(images, seed=0)[::2, :, 0].T, images)
    other = RowEncoder(12, (4, 3), by_pixel=True, permutation=5)
    order = other(images, seed=0)[:, 0, 0]
    # One order for all samples and seeds, which another number changes.
    assert not torch.equal(order, images[0])
    assert torch.equal(order.sort().values, images[0])
    torch.testing.assert_close(other(images, seed=1)[:, 1, 0], order + 0.5)
    assert not torch.equal(RowEncoder(12, (4, 3), by_pixel=True, permutation=6)(images, seed=0)[:, 0, 0], order)
    by_rows = RowEncoder(4, (4, 3), permutation=5)(images, seed=0)
    assert torch.equal(by_rows[:, 0].flatten(), order)
    backwards = RowEncoder(12, (4, 3), by_pixel=True, permutation=tuple(range(11, -1, -1)))(images, seed=0)
    assert torch.equal(backwards[:, :, 0].T, images.flip(1))
