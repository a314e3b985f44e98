"""Widths, rounding and saturation in gates, the latter as izhi.fixed.arithmetic has them."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Shape, Value, ValueLike, signed, unsigned

from izhi.hardware.fixed import FixedPoint

#: Of the signed factors of one multiplier: ECP5's 18 · 18; those of Xilinx take 18 · 25 or more.
MULTIPLIER_BITS = 18


def number_below(count: int) -> Shape:
    """An unsigned number less than count; of one bit at least."""
    return unsigned(max(1, (count - 1).bit_length()))


def following(number: Value, count: int) -> Value:
    """The number after one below count; 0 after the last."""
    return Mux(number == count - 1, 0, number + 1)


def rounded_shift(x: ValueLike, shift: int) -> Value:
    """x / 2^shift to the nearest integer, halves upwards."""
    x = Value.cast(x)
    return x if shift == 0 else (x + Const(1 << (shift - 1), signed(shift + 1))) >> shift


def saturated(x: ValueLike, number: FixedPoint) -> Value:
    """x limited to what the format holds."""
    x = Value.cast(x)
    if len(x) <= number.width:
        return fitting(x, number)
    # It fits where all bits from the format's sign upwards are the sign: fewer levels of logic than two comparisons.
    sign, above = x[-1], x[number.width - 1 :]
    limit = Cat((~sign).replicate(number.width - 1), sign)
    return Mux(above.all() | ~above.any(), x[: number.width], limit).as_signed()


def partial_products(a: ValueLike, b: ValueLike) -> list[tuple[Value, Value, int]]:
    """Signed factors of single multipliers, whose products, each with its shift, add up to a·b."""
    pairs = [(of_a, of_b) for of_a in _factors(a) for of_b in _factors(b)]
    return [(of_a, of_b, shift_a + shift_b) for (of_a, shift_a), (of_b, shift_b) in pairs]


def _factors(x: ValueLike) -> list[tuple[Value, int]]:
    """Parts of a signed value of at most MULTIPLIER_BITS bits as signed numbers, each with its shift."""
    x = Value.cast(x)
    x = x if x.shape().signed else Cat(x, Const(0, 1)).as_signed()
    factors, shift = list[tuple[Value, int]](), 0
    while len(x) > MULTIPLIER_BITS:
        factors.append((Cat(x[: MULTIPLIER_BITS - 1], Const(0, 1)).as_signed(), shift))
        x, shift = x[MULTIPLIER_BITS - 1 :].as_signed(), shift + MULTIPLIER_BITS - 1
    return [*factors, (x, shift)]


def fitting(x: ValueLike, number: FixedPoint) -> Value:
    """A value that the format holds, in its width."""
    x = Value.cast(x)
    missing = number.width - len(x)
    whole = Cat(x, x[-1].replicate(missing)) if missing > 0 else x[: number.width]
    return whole.as_signed()
