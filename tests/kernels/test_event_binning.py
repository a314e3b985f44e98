"""Events become indices: what the sensor lacks, and times that are no numbers, reach into no memory."""

import math

import pytest
import torch

from izhi.errors import ShapeError
from izhi.kernels import bin_events

NEGATIVE, LARGE = -(2**31), 2**31 - 1


def binned(units, times=None, offsets=(0, 4), rate=1e-3, counted=True):
    units = torch.tensor(units, dtype=torch.int32)
    times = torch.arange(len(units), dtype=torch.int32) if times is None else torch.tensor(times, dtype=torch.int32)
    batch = len(offsets) - 1
    return bin_events(
        times, units, torch.tensor(offsets), (2, 3, 4), 5, torch.full((batch,), rate, dtype=torch.float64),
        torch.zeros(batch, 2, dtype=torch.int64), torch.zeros(batch, dtype=torch.int32), 0.0, 1, counted,
    )  # fmt: skip


@pytest.mark.parametrize("counted", [False, True])
def test_units_that_the_sensor_lacks_are_left_out(counted):
    whole = binned([0, 23, 5, 5], counted=counted)
    odd = binned([0, 23, 5, 5, 24, -1, NEGATIVE, LARGE], offsets=(0, 8), counted=counted)
    assert torch.equal(whole, odd)
    assert whole.any()


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf, -1e9])
def test_steps_that_are_no_numbers_are_left_out(rate):
    assert not binned([0, 1, 2, 3], times=[1, 2, 3, 4], rate=rate).any()


@pytest.mark.parametrize("offsets", [(0, 5), (-1, 4), (0, 3, 1, 4)])
def test_recordings_lie_within_the_events(offsets):
    with pytest.raises(ShapeError, match="expected rising offsets within the 4 events"):
        binned([0, 1, 2, 3], offsets=offsets)
