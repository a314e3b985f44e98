"""The arithmetic of each kind of neuron in gates: the steps of izhi.hardware.fixed.neuron, cut into clock cycles.

A datapath finds the ``sum``, the constants and the state ``v`` and ``u`` of each unit in a pipeline, and leaves
``v_after``, ``u_after`` and ``fired``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from amaranth.hdl import Const, Mux, Value

from izhi.hardware.core.arithmetic import fitting, rounded_shift, saturated
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape

#: A value of a unit by its name.
Values = Callable[[str], Value]


def _current(shape: LayerShape, x: Values) -> Value:
    """I, from the product that the stage before made."""
    return saturated(rounded_shift(x("product"), shape.shift), shape.current)


def izhikevich(line: Pipeline, shape: LayerShape) -> None:
    """Nine cycles."""
    s, each = shape, partial(line.each, shape.units)
    each("product", lambda x: x("sum") * x("multiplier"))
    each("square", lambda x: x("v") * x("v"))
    each("fired", lambda x: x("v") >= x("threshold"))
    line.advance()
    each("current", lambda x: _current(s, x))
    each("q", lambda x: rounded_shift(x("square"), s.v.fraction))
    line.advance()
    each("a1q", lambda x: x("a1") * x("q"))
    each("a2v", lambda x: x("a2") * x("v"))
    each("a3u", lambda x: x("a3") * x("u"))
    each("drive", lambda x: x("v") + x("current"))
    line.advance()
    each("change", lambda x: x("a1q") + x("a2v") + x("a3u") + x("a4"))
    line.advance()
    each("v_new", lambda x: saturated(x("drive") + rounded_shift(x("change"), s.fraction), s.v))
    line.advance()
    each("b1v", lambda x: x("b1") * x("v_new"))
    each("b2u", lambda x: x("b2") * x("u"))
    line.advance()
    each("change", lambda x: x("b1v") + x("b2u") + x("b3"))
    line.advance()
    each("u_step", lambda x: Mux(x("fired"), x("d"), rounded_shift(x("change"), s.fraction)))
    each("v_after", lambda x: fitting(Mux(x("fired"), x("c"), x("v_new")), s.v))
    line.advance()
    each("u_after", lambda x: saturated(x("u") + x("u_step"), s.u))
    line.advance()


def lif(line: Pipeline, shape: LayerShape) -> None:
    """Three cycles."""
    s, each = shape, partial(line.each, shape.units)
    each("product", lambda x: x("sum") * x("multiplier"))
    each("leak", lambda x: x("beta") * x("v") + x("bias"))
    each("reset", lambda x: Mux(x("v") > x("threshold"), x("threshold"), 0))
    line.advance()
    each("current", lambda x: _current(s, x))
    each("leak", lambda x: rounded_shift(x("leak"), s.fraction) - x("reset"))
    line.advance()
    each("v_after", lambda x: saturated(x("current") + x("leak"), s.v))
    each("u_after", lambda x: fitting(Const(0), s.u))
    line.advance()
    each("fired", lambda x: x("v_after") > x("threshold"))


#: By the kinds of ``fixed.NEURONS``.
DATAPATHS: Mapping[str, Callable[[Pipeline, LayerShape], Any]] = {
    "izhikevich": izhikevich,
    "lif": lif,
}
