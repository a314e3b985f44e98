"""The derived integer steps against the same steps written by hand, over random number formats."""

from typing import NamedTuple

import numpy as np
import pytest

from izhi.hardware.fixed.arithmetic import FixedPoint, chosen, rounded_shift, saturated
from izhi.hardware.fixed.neuron import NEURONS


def izhikevich(v, u, current, formats, a1, a2, a3, a4, b1, b2, b3, c, d, threshold):
    fired = v >= threshold
    q = rounded_shift(v * v, formats.v.fraction)
    v_change = rounded_shift(a1 * q + a2 * v + a3 * u + a4, formats.fraction)
    v_new = saturated(v + current + v_change, formats.v)
    u_change = rounded_shift(b1 * v_new + b2 * u + b3, formats.fraction)
    return chosen(fired, c, v_new), saturated(u + chosen(fired, d, u_change), formats.u), fired


def leaky(v, u, current, formats, beta, bias, threshold):
    v_new = saturated(current + rounded_shift(beta * v + bias, formats.fraction), formats.v)
    return v_new, u, v_new > threshold


def subtracting(v, u, current, formats, beta, bias, threshold):
    return leaky(v, u, current - chosen(v > threshold, threshold, 0), formats, beta, bias, threshold)


def soft(v, u, current, formats, beta, bias, threshold):
    return leaky(chosen(v > threshold, v - threshold, v), u, current, formats, beta, bias, threshold)


def zeroing(v, u, current, formats, beta, bias, threshold):
    return leaky(chosen(v > threshold, v * 0, v), u, current, formats, beta, bias, threshold)


def to_value(v, u, current, formats, beta, bias, threshold, reset):
    return leaky(chosen(v > threshold, reset, v), u, current, formats, beta, bias, threshold)


BY_HAND = {
    "izhikevich": izhikevich, "lif": subtracting, "lif-soft": soft, "lif-zero": zeroing, "lif-value": to_value,
}  # fmt: skip


class Formats(NamedTuple):
    v: FixedPoint
    u: FixedPoint
    fraction: int


@pytest.mark.parametrize("kind", NEURONS.values(), ids=lambda kind: kind.kind)
def test_words_are_those_of_the_step_by_hand(kind):
    random = np.random.default_rng(5)
    spikes = 0
    for _ in range(300):
        widths = random.integers(8, 24, 2)
        v_format, u_format = (FixedPoint(int(w), int(random.integers(2, w - 2))) for w in widths)
        formats = Formats(v_format, u_format, int(random.integers(4, 15)))
        v, current = random.integers(v_format.lowest, v_format.highest + 1, (2, 500))
        u = random.integers(u_format.lowest, u_format.highest + 1, 500)
        of_state = {"c": v_format, "d": u_format, "threshold": v_format, "reset": v_format}
        limit = 1 << formats.fraction + 1
        constants = [
            random.integers(of_state[name].lowest, of_state[name].highest + 1, 500)
            if name in of_state
            else random.integers(-limit, limit, 500)
            for name in (x.name for x in kind.operations.constants)
        ]
        z = np.stack([v, u])
        fired = kind.update(z, current, formats[:2], formats.fraction, constants)
        derived = (*z, fired)
        by_hand = BY_HAND[kind.kind](v, u, current, formats, *constants)
        for one, other in zip(derived, by_hand, strict=True):
            assert np.array_equal(one, other)
        spikes += int(derived[2].sum())
    assert spikes > 10_000
