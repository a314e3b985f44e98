"""Time series as spikes or currents: resampled to T steps, then encoded as values, changes or level crossings."""

from __future__ import annotations

import torch
from torch import Tensor

from izhi.data import SeriesBatch
from izhi.errors import SettingError
from izhi.network.encoding import check_steps


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


__all__ = ["level_crossing", "padded", "present", "resampled", "send_on_delta"]
