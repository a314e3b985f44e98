"""Updates the neurons of a layer at the end of a step, in a pipeline of several at once."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import fitting, number_below
from izhi.hardware.core.datapaths import DATAPATHS
from izhi.hardware.core.memories import Filled, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape


class Neurons(wiring.Component):
    """States and constants of a layer's neurons, around the datapath of their kind.

    Ports:
        constants: fills the memory of constants: a word holds those of ``units`` neurons, the first lowest,
            each as the constants of ``LayerShape.names``, the first lowest.
        start, is_ready: begin a step; idle.
        end: the inference is over: the next step begins at v0 and u0.
        reads, sums: see Accumulator.
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
                "reads": Out(1),
                "sums": In(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
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
        m.submodules.constants = constants = Filled(*s.constant_memory)
        wiring.connect(m, wiring.flipped(self.constants), constants.fill)
        m.submodules.states = states = memory.Memory(
            shape=unsigned(s.units * (s.v.width + s.u.width)), depth=s.updates, init=[]
        )
        keep, recall = states.write_port(), states.read_port()

        # The counter of updates is stage 0; sums and states are there in stage 1, constants when their memory has them.
        number, is_running, is_first = Signal(range(s.updates)), Signal(), Signal(init=1)
        is_last = number == s.updates - 1
        m.d.comb += [constants.address.eq(number), recall.addr.eq(number), self.reads.eq(is_running)]
        with m.If(is_running):
            m.d.sync += [number.eq(Mux(is_last, 0, number + 1)), is_running.eq(~is_last)]
        with m.If(self.start):
            m.d.sync += is_running.eq(1)
        line = Pipeline(m)
        line.put(number=number, is_valid=is_running, is_last=is_last & is_running, is_first=is_first)
        line.advance()
        line.put(states=recall.data, **{f"sum{k}": self.sums[k] for k in range(s.units)})
        for _ in range(constants.latency - 1):
            line.advance()
        self._arrive(line, constants.data)
        line.advance()
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

    def _arrive(self, line: Pipeline, constants: Value) -> None:
        """Constants and state of each unit."""
        s, states = self.shape, line["states"]
        each = sum(s.constants)
        for k in range(s.units):
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
