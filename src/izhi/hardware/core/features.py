"""Arithmetic with numbers of features in a pipeline: division, channel, row and column, and back."""

from __future__ import annotations

from amaranth.hdl import Value

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.fixed import Window


def divide(line: Pipeline, name: str, count: int, divisor: int, quotient: str, rest: str) -> None:
    """A value of a pipeline below ``count`` divided by a constant: quotient and rest, three cycles later.

    The quotient is a product with 2^k / divisor, rounded up, whose lower k bits are left out: exact for k bits of
    count · divisor, as in Granlund & Montgomery, "Division by invariant integers using multiplication" (1994).
    """
    if divisor == 1:
        line.put(**{quotient: line[name], rest: Value.cast(0)})
        return
    bits = max(1, (count * divisor - 1).bit_length())
    line.put(**{quotient: line[name] * -(-(1 << bits) // divisor)})
    line.advance()
    line.put(**{quotient: line[quotient][bits:]})
    line.put(**{rest: line[quotient] * divisor})
    line.advance()
    line.put(**{rest: narrowed(line[name] - line[rest], divisor)})
    line.advance()


def locate(line: Pipeline, window: Window) -> None:
    """From ``source``, the number of a feature, its ``channel``, ``y`` and ``x``."""
    plane = window.height * window.width
    divide(line, "source", window.inputs, plane, "channel", "within")
    divide(line, "within", plane, window.width, "y", "x")


def numbered(line: Pipeline, channel: str, row: str, column: str, rows: int, columns: int, name: str) -> None:
    """(channel·rows + row)·columns + column of values of a pipeline, two cycles later."""
    line.put(**{name: line[channel] * rows + line[row]})
    line.advance()
    line.put(**{name: line[name] * columns + line[column]})
    line.advance()


def narrowed(value: Value, count: int) -> Value:
    """The lowest bits of a value, which is below count."""
    return value[: number_below(count).width].as_unsigned()
