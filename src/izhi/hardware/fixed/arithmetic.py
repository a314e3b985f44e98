"""Fixed-point numbers in plain integers: the few operations that every stage has to agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class FixedPoint:
    """Two's complement numbers: an integer n stands for n / 2^fraction.

    Attributes:
        width: bits in all, the sign among them.
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
        """What 1 stands for."""
        return 2.0**-self.fraction


def rounded_shift(x: Any, shift: int) -> Any:
    """x / 2^shift, rounded to the nearest integer, halves upwards: (x + 2^(shift − 1)) >> shift."""
    return (x + ((1 << shift) >> 1)) >> shift


def saturated(x: Integers, number: FixedPoint) -> Integers:
    """x held within the numbers of the format."""
    return np.clip(x, number.lowest, number.highest)
