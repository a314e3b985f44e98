"""The arithmetic of each kind of neuron in gates: the steps of izhi.hardware.fixed.neuron, cut into clock cycles.

A datapath reads the ``sum``, the constants and the states ``v`` and ``u`` of each unit of a pipeline, and adds
``v_after``, ``u_after`` and ``fired``. ``IntegerNeuron.datapath`` names that of a kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from amaranth.hdl import Const, Mux, Value, ValueLike

from izhi.hardware.core.arithmetic import fitting, rounded_shift, saturated
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape

#: A value of a unit by its name.
Values = Callable[[str], Value]


def izhikevich(line: Pipeline, shape: LayerShape) -> None:
    """A cycle for each multiplication or addition.

    Halves, which round a shift to the nearest, are added where an addition has room.
    """
    s, each, half = shape, partial(line.each, shape.units), Const((1 << shape.fraction) >> 1)
    each("fired", lambda x: x("v") >= x("threshold"))
    line.multiply(s.units, product=("sum", "multiplier"), square=("v", "v"))
    each("product", lambda x: rounded_shift(x("product"), s.shift))
    each("q", lambda x: rounded_shift(x("square"), s.v.fraction))
    line.advance()
    each("current", lambda x: saturated(x("product"), s.current))
    line.multiply(s.units, a1q=("a1", "q"), a2v=("a2", "v"), a3u=("a3", "u"), b2u=("b2", "u"))
    each("drive", lambda x: x("v") + x("current"))
    each("of_v", lambda x: x("a1q") + x("a2v"))
    each("of_u", lambda x: x("a3u") + (x("a4") + half))
    each("b2u", lambda x: x("b2u") + (x("b3") + half))
    line.advance()
    each("change", lambda x: x("of_v") + x("of_u"))
    line.advance()
    each("v_new", lambda x: x("drive") + (x("change") >> s.fraction))
    line.advance()
    each("v_new", lambda x: saturated(x("v_new"), s.v))
    line.advance()
    line.multiply(s.units, b1v=("b1", "v_new"))
    each("change", lambda x: x("b1v") + x("b2u"))
    line.advance()
    each("u_step", lambda x: Mux(x("fired"), x("d"), x("change") >> s.fraction))
    each("v_after", lambda x: fitting(Mux(x("fired"), x("c"), x("v_new")), s.v))
    line.advance()
    each("u_after", lambda x: x("u") + x("u_step"))
    line.advance()
    each("u_after", lambda x: saturated(x("u_after"), s.u))
    line.advance()


def decay(line: Pipeline, shape: LayerShape) -> None:
    """A synapse: the ``trace`` adds the sum, and takes its place."""
    number, each = shape.trace, partial(line.each, shape.units)
    assert number is not None
    line.multiply(shape.units, kept=("decay", "trace"))
    each("kept", lambda x: rounded_shift(x("kept"), shape.fraction))
    line.advance()
    each("sum", lambda x: (x("sum") << number.fraction) + x("kept"))
    line.advance()
    each("sum", lambda x: saturated(x("sum"), number))
    each("trace_after", lambda x: x("sum"))
    line.advance()


def lif(line: Pipeline, shape: LayerShape, *, begins: Callable[[Values], ValueLike] | None = None) -> None:
    """A cycle for each multiplication or addition.

    Args:
        begins: the value at which v begins after a spike; without it v loses the threshold behind the leak.
    """
    s, each, half = shape, partial(line.each, shape.units), Const((1 << shape.fraction) >> 1)
    each("above", lambda x: x("v") > x("threshold"))
    each("lost", lambda x: Mux(x("above") & (begins is None), x("threshold"), 0))
    if begins is not None:
        each("v", lambda x: fitting(Mux(x("above"), begins(x), x("v")), s.v))
    line.multiply(s.units, product=("sum", "multiplier"), leak=("beta", "v"))
    each("product", lambda x: rounded_shift(x("product"), s.shift))
    each("leak", lambda x: x("leak") + (x("bias") + half))
    line.advance()
    each("current", lambda x: saturated(x("product"), s.current))
    each("leak", lambda x: (x("leak") >> s.fraction) - x("lost"))
    line.advance()
    each("v_after", lambda x: x("current") + x("leak"))
    line.advance()
    each("v_after", lambda x: saturated(x("v_after"), s.v))
    each("u_after", lambda x: fitting(Const(0), s.u))
    line.advance()
    each("fired", lambda x: x("v_after") > x("threshold"))
    line.advance()


soft_lif = partial(lif, begins=lambda x: x("v") - x("threshold"))
zeroing_lif = partial(lif, begins=lambda _: 0)
value_lif = partial(lif, begins=lambda x: x("reset"))
