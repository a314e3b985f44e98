"""Rounding and saturation in gates, as izhi.fixed.arithmetic has them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Mux, Shape, Value, signed

from izhi.fixed import FixedPoint


def rounded_shift(x: Any, shift: int) -> Value:
    """x / 2^shift to the nearest integer, halves upwards."""
    x = Value.cast(x)
    return x if shift == 0 else (x + Const(1 << (shift - 1), signed(shift + 1))) >> shift


def saturated(x: Any, number: FixedPoint) -> Value:
    """x limited to what the format holds."""
    x = Value.cast(x)
    low, high = (Const(limit, signed(number.width)) for limit in (number.lowest, number.highest))
    limited = Mux(x > number.highest, high, Mux(x < number.lowest, low, x))
    return limited[: number.width].as_signed()


def word(*parts: int) -> Shape:
    """An unsigned shape wide enough for parts side by side."""
    return Shape(sum(parts), signed=False)
