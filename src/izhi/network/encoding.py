"""Encodings: values (B, N) in 0 to 1, recorded events, or time series → spikes or currents (T, B, N).

Time series are resampled to T steps, then encoded as values, changes or level crossings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from izhi import kernels
from izhi.data import SeriesBatch
from izhi.data.events import EventBatch
from izhi.errors import SettingError, ShapeError
from izhi.kernels import PackedSpikes, Spikes, takes_bits
from izhi.kernels.packed import BinarySpikes
from izhi.kernels.tracing import is_traced
from izhi.seeds import Purpose, derive_seed
from izhi.spec.encoder import Augmentation, pooled


def check_steps(steps: int) -> None:
    """Raise ShapeError for less than one time step."""
    if steps < 1:
        raise ShapeError(f"T = {steps} time steps, expected at least 1")


def _check(values: Tensor, steps: int) -> None:
    if values.dim() != 2:
        raise ShapeError(f"values have shape {tuple(values.shape)}, expected 2 dimensions: (B, N)")
    if not values.is_floating_point():
        raise ShapeError(f"values have dtype {values.dtype}, expected floating point from 0 to 1")
    check_steps(steps)
    low, high = (float(x) for x in values.aminmax()) if values.numel() else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise ShapeError(f"values lie between {low:g} and {high:g}, expected 0 to 1: scale them")


def _drawn(seed: int | None) -> int:
    return int(torch.randint(2**62, ()).item()) if seed is None else seed


def rate(values: Tensor, steps: int, *, seed: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bernoulli spikes: each step of each element is 1 with probability values.

    Probabilities are rounded to multiples of 1/65,536 in float32 and bfloat16.

    Args:
        values: (B, N), 0 to 1.
        steps: T.
        seed: the same seed gives the same spikes for any number of threads, on CPU and GPU; None to draw one from
            torch's generator.
        dtype: of the spikes; float32 and bfloat16 have kernels.

    Returns:
        (T, B, N) of 0 and 1, in memory one bit each where products with bits are faster.
    """
    if takes_bits(dtype, values.device.type) and not is_traced():
        packed = rate_packed(values, steps, seed=seed, dtype=dtype)
        return BinarySpikes(packed, tuple(packed.shape))
    _check(values, steps)
    return kernels.rate(values, steps, _drawn(seed), dtype)


def rate_packed(
    values: Tensor, steps: int, *, seed: int | None = None, dtype: torch.dtype = torch.float32
) -> PackedSpikes:
    """The spikes of ``rate`` from the same seed, one bit each whatever the format, of a type of their own.

    Connections accept them like a tensor, and add the weights of active inputs instead of multiplying all of them.
    """
    _check(values, steps)
    return kernels.rate_packed(values, steps, _drawn(seed), dtype)


def latency(values: Tensor, steps: int, *, least: float = 0.01, dtype: torch.dtype = torch.float32) -> Tensor:
    """One spike per element, the earlier the larger: at step round((1 − value)·(T − 1)).

    Values below ``least`` give no spike. Returns (T, B, N).
    """
    _check(values, steps)
    when = torch.round((1 - values) * (steps - 1)).long()
    spikes = torch.zeros((steps, *values.shape), dtype=dtype, device=values.device)
    return spikes.scatter_(0, when.unsqueeze(0), (values >= least).to(dtype).unsqueeze(0))


def constant(values: Tensor, steps: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """The values themselves as a current in every step, (T, B, N): one step in memory, multiplied by weights once."""
    _check(values, steps)
    return values.to(dtype).expand(steps, *values.shape)


def population(values: Tensor, fields: int, *, overlap: float = 1.5) -> Tensor:
    """Gaussian receptive fields (Bohte et al. 2002): (B, N) → (B, N·fields), each from 0 to 1.

    Field i of m, from 1, has its centre at (2i − 3)/(2(m − 2)) and the width 1/(overlap·(m − 2)); an
    element's fields stand side by side. Its output is then coded by rate, latency or constant.

    Raises:
        SettingError: for fewer than 3 fields.
    """
    _check(values, 1)
    if fields < 3:
        raise SettingError(f"population has {fields} fields, expected at least 3")
    i = torch.arange(1, fields + 1, dtype=values.dtype, device=values.device)
    centre = (2 * i - 3) / (2 * (fields - 2))
    width = 1 / (overlap * (fields - 2))
    response = torch.exp(-0.5 * ((values.unsqueeze(-1) - centre) / width) ** 2)
    return response.flatten(1)


def rows(values: Tensor, steps: int, width: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images (B, H·W) row by row, each row as a current for T/H steps: (T, B, W).

    Raises:
        SettingError: unless T is a multiple of H.
    """
    _check(values, steps)
    height = values.shape[1] // width
    if steps % height:
        raise SettingError(f"steps is {steps}, expected a multiple of {height}, the rows of an image")
    images = values.to(dtype).view(len(values), height, width)
    return images.transpose(0, 1).repeat_interleave(steps // height, dim=0).contiguous()


def permuted(values: Tensor, order: int | Sequence[int]) -> Tensor:
    """Values (B, N), each sample's brought into one order (permuted sequential MNIST).

    Args:
        order: the seed that draws it, or the place (N) that each value is taken from.

    Source: Q. V. Le, N. Jaitly, G. E. Hinton, A simple way to initialize recurrent networks of rectified linear units,
    2015, arXiv:1504.00941.
    """
    if isinstance(order, int):
        generator = torch.Generator().manual_seed(derive_seed(order, Purpose.PIXELS))
        places = torch.randperm(values.shape[1], generator=generator)
    else:
        places = torch.tensor(order)
    return values[:, places.to(values.device)]


def shifted(values: Tensor, shape: tuple[int, ...], largest: int, *, seed: int) -> Tensor:
    """Images (B, H·W), each shifted by up to ``largest`` pixels in both directions, padded with zeros.

    An augmentation: each image has a shift of its own, drawn uniformly from the seed.
    """
    height, width = shape
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-largest, largest + 1, (2, len(values), 1), generator=generator)
    down, right = drawn.to(values.device) + largest
    padded = functional.pad(values.view(-1, height, width), (largest,) * 4)
    image = torch.arange(len(values), device=values.device)[:, None, None]
    y = torch.arange(height, device=values.device) + down
    x = torch.arange(width, device=values.device) + right
    return padded[image, y[:, :, None], x[:, None, :]].flatten(1)


def frames(
    events: EventBatch, steps: int, window: float, *, dtype: torch.dtype = torch.float32,
    augmentation: Augmentation | None = None, seed: int = 0, pool: int = 1, counted: bool = False,
    normalized: bool = False,
) -> Spikes:  # fmt: skip
    """Recorded events binned into T steps: 1 where a unit has at least one event within a step.

    Args:
        events: recordings.
        steps, dtype: T, and the format of the spikes.
        window: milliseconds of each recording, from its beginning; a step is window/T.
        augmentation, seed: random changes, the same from the same seed; None for none.
        pool: neighbouring channels, or pixels of both directions, that become one unit.
        counted: whether events of a unit and step are counted, which gives currents instead of spikes.
        normalized: whether the middle nine tenths of each recording's events are mapped to 1/12 … 3/4 of the window
            (linear time normalisation of isolated words).

    Returns:
        Spikes (T, B, units), packed; or counts, dense.

    Raises:
        ShapeError: for T below 1.
        SettingError: for a window that is not above 0, or gains of what is not counts of channels.
    """
    change, shape, batch = augmentation or Augmentation(), events.shape, len(events)
    random = np.random.default_rng(seed)
    _check_frames(steps, window, change, shape, counted)
    shifts, factors, keys = _drawn_changes(change, batch, len(shape) == 1, random)
    gains = _gains(change.equalize, batch, pooled(shape, pool)[0], random) if change.equalize else None
    times = _moved(events, window, change, random, normalized)
    whole = shape if len(shape) == 3 else (1, 1, events.features)
    rates = torch.from_numpy(factors * steps / (1000 * window))
    out = kernels.bin_events(
        times, events.units, events.offsets, whole, steps, rates, torch.from_numpy(shifts), torch.from_numpy(keys),
        change.drop, pool, counted,
    )  # fmt: skip
    if counted:
        return (out if gains is None else out * gains).to(dtype)
    return PackedSpikes(out, steps, dtype, checked=True)


def _check_frames(steps: int, window: float, change: Augmentation, shape: tuple[int, ...], counted: bool) -> None:
    check_steps(steps)
    if not (math.isfinite(window) and window > 0):
        raise SettingError(f"window is {window!r}, expected milliseconds above 0")
    if change.equalize and (not counted or len(shape) != 1):
        raise SettingError(
            f"equalize is {change.equalize:g}, which needs counts of the channels of one row; set counts,"
            " or leave it out"
        )


def _drawn_changes(
    change: Augmentation, batch: int, is_line: bool, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int32]]:
    """Shifts (B, 2), factors on time, and keys of the events that are dropped, (B,), in this order of the draws."""
    shifts = random.integers(-change.shift, change.shift + 1, (batch, 2))
    if is_line:
        shifts[:, 0] = 0
    factors = random.uniform(1 - change.stretch, 1 + change.stretch, batch)
    return shifts, factors, random.integers(-(2**31), 2**31, batch, dtype=np.int32)


def _moved(
    events: EventBatch, window: float, change: Augmentation, random: np.random.Generator, normalized: bool
) -> Tensor:
    """Times (M,) in microseconds, normalised, bent, and begun later or earlier; before the beginning: −1."""
    if not (normalized or change.onset or change.warp):
        return events.times
    last, batch = 1000 * window, len(events)
    begins = 1000 * random.uniform(-change.onset, change.onset, batch)
    powers = np.exp(random.uniform(-change.warp, change.warp, batch))
    offsets = events.offsets.numpy()
    sizes = np.diff(offsets)
    times = events.times.numpy() / last
    if normalized and len(times):
        first, end = (
            times[np.minimum(offsets[:-1] + (q * (sizes - 1)).clip(0).astype(int), len(times) - 1)]
            for q in (0.05, 0.95)
        )
        span = np.maximum(end - first, 1 / 12)
        times = (times - np.repeat(first, sizes)) * np.repeat(2 / 3 / span, sizes) + 1 / 12
    bent = np.sign(times) * np.abs(times) ** np.repeat(powers, sizes)
    moved = last * bent + np.repeat(begins, sizes)
    return torch.from_numpy(np.clip(moved, -1, np.iinfo(np.int32).max).astype(np.int32))


def _gains(spread: float, batch: int, channels: int, random: np.random.Generator) -> Tensor:
    """Gains (B, channels): log-normal at six places of the channels, linear between them, and as loudness.

    Loudness, common to all channels, varies half as much.
    """
    places = torch.from_numpy(random.standard_normal((batch, 1, 6), np.float32))
    loudness = torch.from_numpy(random.standard_normal((batch, 1), np.float32))
    smooth = functional.interpolate(places, size=channels, mode="linear", align_corners=True)
    return torch.exp(spread * (smooth[:, 0] + 0.5 * loudness))


def resampled(series: SeriesBatch, steps: int) -> Tensor:
    """Series of L samples each in T steps: step t is the mean of the signal from t·L/T to (t + 1)·L/T.

    The signal holds each sample until the next. So fewer steps average neighbours instead of leaving some out, more
    repeat them, and T = L is the series itself.

    Returns:
        (T, B, F).
    """
    check_steps(steps)
    values, lengths = series.dense().double(), series.lengths[:, None]
    sums = torch.nn.functional.pad(values.cumsum(1), (0, 0, 1, 0))
    edges = torch.arange(steps + 1, dtype=torch.float64) * lengths / steps
    below = edges.long().clamp(max=lengths - 1)
    series_of = torch.arange(len(series))[:, None]
    integral = sums[series_of, below] + (edges - below)[..., None] * values[series_of, below]
    means = integral.diff(dim=1) * (steps / lengths)[..., None]
    return means.clamp(0, 1).float().transpose(0, 1).contiguous()


def present(series: SeriesBatch, steps: int) -> Tensor:
    """Whether a padded series has not ended yet, (T, B)."""
    return torch.arange(steps)[:, None] < series.lengths


def padded(series: SeriesBatch, steps: int) -> Tensor:
    """The first T steps of series, (T, B, F); shorter series keep their last value."""
    check_steps(steps)
    step = torch.minimum(torch.arange(steps)[:, None], series.lengths - 1)
    return series.values[series.offsets[:-1] + step]


def send_on_delta(values: Tensor, delta: float, *, counted: bool = False) -> Tensor:
    """A spike whenever a value has moved by ``delta`` since the last was sent (send-on-delta, Miskowicz 2006).

    With x[0] as what is known at first, and k whole numbers that count what was sent:

        n[t] = trunc((x[t] − x[0])/δ − k[t−1])        k[t] = k[t−1] + n[t]

    max(n, 0) spikes go up and max(−n, 0) down, so that x[0] + δ·k[t] is within δ of x[t]. Unless they are ``counted``,
    n is cut off at ±1, one spike in a step as in delta modulation; what is left is sent in the steps that follow, and
    the bound holds for signals that move by no more than δ in a step. A constant signal sends nothing.

    Source: M. Miskowicz, Send-On-Delta Concept: An Event-Based Data Reporting Strategy, Sensors 6 (2006) 49–63.

    Args:
        values: (T, B, F).
        delta: δ, in their unit.
        counted: whether several spikes may be sent in a step.

    Returns:
        (T, B, 2·F): spikes up of all channels, then down.
    """
    if not delta > 0:
        raise SettingError(f"delta is {delta!r}, expected a change above 0")
    moved = (values.double() - values[0].double()) / delta
    sent, n = torch.zeros_like(moved[0]), torch.zeros_like(moved)
    for t in range(1, len(moved)):
        n[t] = (moved[t] - sent).trunc()
        if not counted:
            n[t].clamp_(-1, 1)
        sent = sent + n[t]
    return torch.cat([n.clamp(min=0), (-n).clamp(min=0)], -1).to(values.dtype)


def level_crossing(values: Tensor, levels: int) -> Tensor:
    """A spike whenever a value crosses one of n fixed levels (level-crossing sampling, Sayiner et al. 1996).

    The levels are ℓ_k = k/(n + 1), k = 1 … n. Each has a unit for either direction: up where x[t−1] < ℓ_k ≤ x[t], down
    where x[t] < ℓ_k ≤ x[t−1]. What passes several levels in a step has a spike of each. A constant signal sends none.

    Source: N. Sayiner, H. V. Sorensen, T. R. Viswanathan, A level-crossing sampling scheme for A/D conversion, IEEE
    Transactions on Circuits and Systems II 43 (1996) 335–339.

    Args:
        values: (T, B, F), 0 to 1.
        levels: n.

    Returns:
        (T, B, 2·F·n) of 0 and 1: all units up, then all down; the levels of a channel side by side.
    """
    if levels < 1:
        raise SettingError(f"crossings is {levels}, expected at least 1 level")
    heights = torch.arange(1, levels + 1) / (levels + 1)
    above = (values[..., None] >= heights).flatten(2)
    before = torch.cat([above[:1], above[:-1]])
    return torch.cat([above & ~before, before & ~above], -1).to(values.dtype)


__all__ = [
    "Augmentation", "constant", "frames", "latency", "level_crossing", "padded", "permuted", "pooled", "population",
    "present", "rate", "rate_packed", "resampled", "rows", "send_on_delta", "shifted",
]  # fmt: skip
