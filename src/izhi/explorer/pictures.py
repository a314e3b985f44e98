"""Small pictures of what presets do: v over time, and the current below it, as SVG."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from izhi.explorer.simulation import START, traced
from izhi.neurons import Izhikevich
from izhi.neurons.simulation import pulse
from izhi.spec import PATTERNS, IzhikevichParameters

#: Size of a picture, the height of the current in it, and the most points of its line.
_WIDTH, _HEIGHT, _FOOT, _POINTS = 76, 34, 6, 300


@cache
def picture(parameters: IzhikevichParameters, pattern: str | None, amplitude: float) -> str:
    """The picture of a neuron under the stimulus of a firing pattern, or under a constant current.

    Args:
        pattern: name of a firing pattern; None for a constant current of 200 ms, or steps.
        amplitude: of the constant current.
    """
    if pattern is None:
        current = pulse(amplitude, start=START, stop=None, duration=200.0, dt=parameters.dt)
    else:
        current = PATTERNS[pattern].current()
    spikes, v, _ = traced(Izhikevich(parameters, gain=1.0), current)
    v = np.where(spikes > 0, parameters.threshold, np.minimum(v, parameters.threshold))
    lines = (
        ("trace", v, 1, _HEIGHT - _FOOT - 3),
        ("current", current, _HEIGHT - _FOOT, _HEIGHT - 1),
    )
    drawn = "".join(
        f'<polyline class="{name}" points="{_points(values, top, bottom)}"/>' for name, values, top, bottom in lines
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">{drawn}</svg>'


def _points(values: NDArray[np.float64], top: float, bottom: float) -> str:
    """The points of a line in a picture: of each group of steps the extreme ones, so that no spike is lost."""
    group = -(-2 * len(values) // _POINTS)
    padded = np.append(values, np.repeat(values[-1:], -len(values) % group)).reshape(-1, group)
    ends = np.sort(np.stack([padded.argmin(1), padded.argmax(1)], axis=1), axis=1)
    y = np.take_along_axis(padded, ends, axis=1)
    x = (np.arange(len(padded))[:, None] * group + ends) / len(values) * _WIDTH
    low, high = float(values.min()), float(values.max())
    place = bottom - (y - low) / (high - low or 1.0) * (bottom - top)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.flat, place.flat, strict=True))


__all__ = ["picture"]
