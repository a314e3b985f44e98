"""Events binned into steps as a Numba kernel, each recording changed at random if so wished."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.compiled import inlined
from izhi.errors import ShapeError
from izhi.kernels.cpu import arena
from izhi.kernels.cpu.parallel import (
    Kernel,
    array,
    compile_kernel,
    four_numbers,
    launch,
    number,
    share,
)
from izhi.kernels.cpu.rate import mix
from izhi.kernels.cpu.scalars import f32
from izhi.kernels.events import WORD
from izhi.kernels.ops import Value

_u32 = np.uint32


@inlined
def _add_bit(out: Value, t: Value, b: Value, unit: Value) -> None:
    out[b, t // WORD, unit] |= _u32(_u32(1) << _u32(t % WORD))


@inlined
def _add_one(out: Value, t: Value, b: Value, unit: Value) -> None:
    out[t, b, unit] += f32(1)


@cache
def _binning(counted: bool) -> Kernel:
    """Into counts, or into single bits."""
    add, element = (_add_one, f32) if counted else (_add_bit, _u32)

    @compile_kernel
    def binning(data):  # type: ignore[no-untyped-def]
        steps, batch, events, features = four_numbers(data)
        height, width, pool = number(data, 4), number(data, 5), number(data, 6)
        times = array(data, 7, events, np.int32)
        units = array(data, 8, events, np.int32)
        offsets = array(data, 9, batch + 1, np.int64)
        per_microsecond = array(data, 10, batch, np.float64)
        shifts = array(data, 11, (batch, 2), np.int64)
        keys = array(data, 12, batch, np.uint32)
        dropped = array(data, 13, 1, np.float64)[0]
        polarities = number(data, 15)
        chunks = (steps + WORD - 1) // WORD
        out = array(data, 14, (steps, batch, features) if counted else (batch, chunks, features), element)
        worker, workers = share(data)
        limit = np.uint64(dropped * 4294967296.0)
        rows, columns = (height + pool - 1) // pool, (width + pool - 1) // pool
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            begin, key = offsets[b], keys[b]
            for k in range(begin, offsets[b + 1]):
                t = np.int64(times[k] * per_microsecond[b])
                x = units[k] % width + shifts[b, 1]
                y = units[k] // width % height + shifts[b, 0]
                polarity = units[k] // (width * height)
                inside = times[k] >= 0 and 0 <= t < steps and 0 <= x < width and 0 <= y < height
                inside = inside and 0 <= polarity < polarities
                if inside and np.uint64(mix(_u32(_u32(k - begin) ^ key))) >= limit:
                    add(out, t, b, (polarity * rows + y // pool) * columns + x // pool)

    return binning


def bin_events(
    times: Tensor, units: Tensor, offsets: Tensor, shape: tuple[int, int, int], steps: int,
    per_microsecond: Tensor, shifts: Tensor, keys: Tensor, dropped: float, pool: int, counted: bool,
) -> Tensor:  # fmt: skip
    """Events of each unit and step: words (B, ⌈T/32⌉, N) of whether there are any, or counts (T, B, N).

    Args:
        times, units, offsets: see ``izhi.data.events.EventBatch``; units that the sensor lacks are left out.
        shape: polarities, height and width of the sensor.
        steps: T; later events are left out, and those of negative time.
        per_microsecond: (B,) float64, steps of a microsecond.
        shifts: (B, 2) int64, in y and x; what leaves the sensor is left out.
        keys: (B,) int32, random bits of each recording.
        dropped: share of events that are left out at random.
        pool: neighbours in each direction that are one unit of the result.
        counted: whether to count, in float32.

    Raises:
        ShapeError: for recordings that are not within the events.
    """
    batch, (polarities, height, width) = len(offsets) - 1, shape
    if not 0 <= offsets[0] <= offsets[-1] <= len(times) == len(units) or (offsets.diff() < 0).any():
        raise ShapeError(
            f"recordings go from event {int(offsets[0])} to {int(offsets[-1])}, expected rising offsets within"
            f" the {len(times)} events"
        )
    features = polarities * -(-height // pool) * -(-width // pool)
    if counted:
        out = arena.empty(steps, batch, features).zero_()
    else:
        out = arena.empty(batch, -(-steps // WORD), features, dtype=torch.int32).zero_()
    launch(
        _binning(counted), steps, batch, len(times), features, height, width, pool, times, units,
        offsets, per_microsecond, shifts, keys, torch.tensor([dropped], dtype=torch.float64), out,
        polarities, pieces=batch,
    )  # fmt: skip
    return out
