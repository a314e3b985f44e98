"""Fixed-point numbers in plain integers, and their operations: shift with rounding, saturation, choice.

Each takes arrays, or single numbers where Numba compiles it (izhi.hardware.fixed.fast).
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
_Number = TypeVar("_Number", bound=np.generic)


class FixedPoint(NamedTuple):
    """Two's complement numbers: an integer n has the value n / 2^fraction.

    Attributes:
        width: bits in all, with the sign.
        fraction: bits behind the point; may exceed the width.
    """

    width: int
    fraction: int

    @property
    def lowest(self) -> int:
        return -(1 << (self.width - 1))

    @property
    def highest(self) -> int:
        return (1 << (self.width - 1)) - 1

    @property
    def unit(self) -> float:
        """The value of 1."""
        return 2.0**-self.fraction


def rounded_shift(x: Integers, shift: int) -> Integers:
    """x / 2^shift, rounded to the nearest integer, halves upwards: (x + 2^(shift − 1)) >> shift."""
    return (x + ((1 << shift) >> 1)) >> shift


def aligned(x: Integers, shift: int) -> Integers:
    """x·2^shift."""
    return x << shift


def clamped(x: Integers, low: Integers, high: Integers) -> Integers:
    """x within limits."""
    limited: Integers = np.minimum(np.maximum(x, low), high)
    return limited


def saturated(x: Integers, number: FixedPoint) -> Integers:
    """x clamped to the numbers of the format."""
    half = 1 << (number.width - 1)
    clamped: Integers = np.minimum(np.maximum(x, -half), half - 1)
    return clamped


def chosen(condition: Booleans, yes: NDArray[_Number], no: NDArray[_Number] | int) -> NDArray[_Number]:
    """``yes`` where the condition holds, else ``no``."""
    result: NDArray[_Number] = np.where(condition, yes, no)
    return result
