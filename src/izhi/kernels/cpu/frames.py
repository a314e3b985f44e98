"""Events binned into packed spikes as a Numba kernel, each recording changed at random if so wished."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.cpu.bits import WORD
from izhi.kernels.cpu.parallel import Kernel, array, compile_kernel, launch, number, share
from izhi.kernels.cpu.rate import mix

_u32 = np.uint32


@cache
def _frames() -> Kernel:
    @compile_kernel
    def bin_events(data):  # type: ignore[no-untyped-def]
        steps, batch, events = number(data, 0), number(data, 1), number(data, 2)
        polarities, height, width = number(data, 3), number(data, 4), number(data, 5)
        times = array(data, 6, events, np.int32)
        units = array(data, 7, events, np.int32)
        offsets = array(data, 8, batch + 1, np.int64)
        per_microsecond = array(data, 9, batch, np.float64)
        shifts = array(data, 10, (batch, 2), np.int64)
        keys = array(data, 11, batch, np.uint32)
        dropped = array(data, 12, 1, np.float64)[0]
        per_row = (polarities * height * width + WORD - 1) // WORD
        words = array(data, 13, (steps, batch, per_row), np.uint32)
        worker, workers = share(data)
        limit = np.uint64(dropped * 4294967296.0)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            begin, key = offsets[b], keys[b]
            for k in range(begin, offsets[b + 1]):
                t = np.int64(times[k] * per_microsecond[b])
                x = units[k] % width + shifts[b, 1]
                y = units[k] // width % height + shifts[b, 0]
                inside = t < steps and 0 <= x < width and 0 <= y < height
                if inside and np.uint64(mix(_u32(_u32(k - begin) ^ key))) >= limit:
                    unit = (units[k] // (width * height) * height + y) * width + x
                    words[t, b, unit // 32] |= _u32(_u32(1) << _u32(unit % 32))

    return bin_events


def frames(
    times: Tensor, units: Tensor, offsets: Tensor, shape: tuple[int, int, int], steps: int,
    per_microsecond: Tensor, shifts: Tensor, keys: Tensor, dropped: float,
) -> Tensor:  # fmt: skip
    """Words (T, B, ⌈N/32⌉) of spikes: 1 where a unit has at least one event within a step.

    Args:
        times, units, offsets: see ``izhi.data.events.EventBatch``.
        shape: polarities, height and width of the sensor.
        steps: T; later events are left out.
        per_microsecond: (B,) float64, steps of a microsecond.
        shifts: (B, 2) int64, in y and x; what leaves the sensor is left out.
        keys: (B,) int32, random bits of each recording.
        dropped: share of events that are left out at random.
    """
    batch = len(offsets) - 1
    features = shape[0] * shape[1] * shape[2]
    words = torch.zeros(steps, batch, -(-features // WORD), dtype=torch.int32)
    launch(
        _frames(), steps, batch, len(times), *shape, times, units, offsets, per_microsecond, shifts,
        keys, torch.tensor([dropped], dtype=torch.float64), words, pieces=batch,
    )  # fmt: skip
    return words
