"""Updates the neurons of a layer at the end of a step, in a pipeline of several at once."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import fitting, number_below
from izhi.hardware.core.datapaths import DATAPATHS
from izhi.hardware.core.memories import filled, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape


class Neurons(wiring.Component):
    """States and constants of a layer's neurons, around the datapath of their kind.

    Ports:
        constants: fills the memory of constants: a word holds those of ``units`` neurons, the first lowest,
            each as the constants of ``LayerShape.names``, the first lowest.
        start, is_ready: begin a step; idle.
        end: the inference is over: the next step begins at v0 and u0.
        group, sums, erase: the read of sums, see Accumulator.
        is_valid, fired, number: a result of each update: which of the units fired, and which update it is.
        is_last: whether it is the step's last.
        v, u: the states after it.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "constants": In(loading(*shape.constant_memory)),
                "start": In(1),
                "is_ready": Out(1),
                "end": In(1),
                "group": Out(number_below(shape.groups)),
                "sums": In(data.ArrayLayout(signed(shape.accumulator_bits), shape.lanes)),
                "erase": Out(1),
                "is_valid": Out(1),
                "is_last": Out(1),
                "fired": Out(shape.units),
                "number": Out(number_below(shape.updates)),
                "v": Out(shape.units * shape.v.width),
                "u": Out(shape.units * shape.u.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        per_group = s.lanes // s.units
        fetch = filled(m, "constants", self.constants, *s.constant_memory)
        m.submodules.states = states = memory.Memory(
            shape=unsigned(s.units * (s.v.width + s.u.width)), depth=s.updates, init=[]
        )
        keep, recall = states.write_port(), states.read_port()

        # The counter of updates is stage 0; what it reads is there in stage 1.
        number, part = Signal(range(s.updates)), Signal(range(per_group))
        group, is_running, is_first = Signal.like(self.group), Signal(), Signal(init=1)
        is_end_of_group, is_last = part == per_group - 1, number == s.updates - 1
        m.d.comb += [fetch.addr.eq(number), recall.addr.eq(number), self.group.eq(group)]
        with m.If(is_running):
            m.d.sync += [
                number.eq(Mux(is_last, 0, number + 1)),
                part.eq(Mux(is_end_of_group | is_last, 0, part + 1)),
                group.eq(Mux(is_last, 0, Mux(is_end_of_group, group + 1, group))),
                is_running.eq(~is_last),
            ]
        with m.If(self.start):
            m.d.sync += is_running.eq(1)
        line = Pipeline(m)
        line.put(
            number=number, part=part, is_valid=is_running, is_last=is_last & is_running,
            is_first=is_first, erases=is_running & (is_end_of_group | is_last),
        )  # fmt: skip
        line.advance()
        m.d.comb += self.erase.eq(line["erases"])
        self._arrive(line, fetch.data, recall.data)
        DATAPATHS[s.kind](line, s)

        units = range(s.units)
        v, u = (Cat(line[f"{name}{k}"] for k in units) for name in ("v_after", "u_after"))
        is_there = Cat(line["number"] * s.units + k < s.outputs for k in units)
        m.d.comb += [
            self.is_valid.eq(line["is_valid"]),
            self.is_last.eq(line["is_last"]),
            self.number.eq(line["number"]),
            self.fired.eq(Cat(line[f"fired{k}"] for k in units) & is_there),
            self.v.eq(v),
            self.u.eq(u),
            keep.addr.eq(line["number"]),
            keep.data.eq(Cat(v, u)),
            keep.en.eq(line["is_valid"]),
        ]
        is_idle = Signal(init=1)
        with m.If(self.start):
            m.d.sync += is_idle.eq(0)
        with m.Elif(line["is_last"]):
            m.d.sync += [is_idle.eq(1), is_first.eq(0)]
        with m.If(self.end):
            m.d.sync += is_first.eq(1)
        m.d.comb += self.is_ready.eq(is_idle)
        return m

    def _arrive(self, line: Pipeline, constants: Value, states: Value) -> None:
        """Sum, constants and state of each unit."""
        s = self.shape
        each = sum(s.constants)
        for k in range(s.units):
            lanes = Array(self.sums[lane] for lane in range(k, s.lanes, s.units))
            line.put(**{f"sum{k}": lanes[line["part"]]})
            at = k * each
            for name, width in zip(s.names, s.constants, strict=True):
                line.put(**{f"{name}{k}": constants[at : at + width].as_signed()})
                at += width
            v = states[k * s.v.width : (k + 1) * s.v.width].as_signed()
            at = s.units * s.v.width + k * s.u.width
            u = states[at : at + s.u.width].as_signed()
            for state, value, number in (("v", v, s.v), ("u", u, s.u)):
                first = line[f"{state}0{k}"] if f"{state}0" in s.names else Const(0)
                line.put(**{f"{state}{k}": fitting(Mux(line["is_first"], first, value), number)})
