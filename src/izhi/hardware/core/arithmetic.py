"""Widths, rounding and saturation in gates, the latter as izhi.fixed.arithmetic has them."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Shape, Value, ValueLike, signed, unsigned

from izhi.hardware.fixed import FixedPoint


def number_below(count: int) -> Shape:
    """An unsigned number less than count; of one bit at least."""
    return unsigned(max(1, (count - 1).bit_length()))


def rounded_shift(x: ValueLike, shift: int) -> Value:
    """x / 2^shift to the nearest integer, halves upwards."""
    x = Value.cast(x)
    return x if shift == 0 else (x + Const(1 << (shift - 1), signed(shift + 1))) >> shift


def saturated(x: ValueLike, number: FixedPoint) -> Value:
    """x limited to what the format holds."""
    x = Value.cast(x)
    low, high = (Const(limit, signed(number.width)) for limit in (number.lowest, number.highest))
    limited = Mux(x > number.highest, high, Mux(x < number.lowest, low, x))
    return limited[: number.width].as_signed()


def fitting(x: ValueLike, number: FixedPoint) -> Value:
    """A value that the format holds, in its width."""
    x = Value.cast(x)
    missing = number.width - len(x)
    whole = Cat(x, x[-1].replicate(missing)) if missing > 0 else x[: number.width]
    return whole.as_signed()
