"""Adds up the weights of the spikes that arrive in a step, several neurons in each cycle."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.events import Kind, events
from izhi.hardware.core.memories import Filled, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.sums import SumsInMemories, SumsInRegisters


class Accumulator(wiring.Component):
    """Weights, and the sums that they go to.

    A spike takes a cycle for each word of weights of its source; spikes follow each other without a gap.
    The end of a step waits until the neurons are ready, swaps the banks of sums and starts them.

    Ports:
        input: events of the layer before.
        feedback: the layer's own spikes, which count in the next step.
        weights: fills the memory of weights: word source · groups + group holds the weights of a group's
            lanes, the lowest first.
        is_ready, start, end: the neurons are idle; begin a step; the inference is over.
        reads, sums: the neurons take the sums of their next units, which are there a cycle later.
        spike: high in each cycle in which a spike of ``input`` is taken.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "input": In(events(shape.inputs)),
                "feedback": In(events(shape.outputs)),
                "weights": In(loading(*shape.weight_memory)),
                "is_ready": In(1),
                "start": Out(1),
                "end": Out(1),
                "reads": In(1),
                "sums": Out(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
                "spike": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        m.submodules.weights = memory = Filled(*s.weight_memory)
        wiring.connect(m, wiring.flipped(self.weights), memory.fill)
        m.submodules.sums = sums = SumsInRegisters(s) if s.groups == 1 else SumsInMemories(s)

        # A source's words, one after the other; a word is added when it has come from the memory.
        is_addressed, address, group = Signal(), Signal.like(memory.address), Signal(range(max(2, s.groups)))
        is_last, can_take = group == s.groups - 1, Signal()
        source, take, is_erasing = Signal(range(max(2, s.sources))), Signal(), Signal()
        m.d.comb += [memory.address.eq(address), can_take.eq(~is_addressed | is_last)]
        with m.If(is_addressed | is_erasing):
            m.d.sync += [group.eq(Mux(is_last, 0, group + 1)), address.eq(address + 1)]
        with m.If(take):
            m.d.sync += [is_addressed.eq(1), address.eq(source * s.groups)]
        with m.Elif(is_last):
            m.d.sync += is_addressed.eq(0)
        on_the_way, line = is_addressed, Pipeline(m)
        line.put(is_word=is_addressed, group=group)
        for _ in range(memory.latency):
            before = line["group"]
            line.advance()
            on_the_way |= line["is_word"]
        m.d.comb += [
            sums.group.eq(Mux(is_erasing, group, before)),
            sums.adds.eq(line["is_word"]),
            sums.weights.eq(memory.data),
            sums.swap.eq(self.start),
            sums.erases.eq(is_erasing),
            sums.reads.eq(self.reads),
            self.sums.eq(sums.sums),
        ]

        arriving = self.input.payload
        comes_back = self.feedback.valid if s.recurrent else Const(0)
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += is_erasing.eq(1)
                with m.If(is_last):
                    m.next = "run"
            with m.State("run"):
                with m.If(comes_back):
                    m.d.comb += [
                        self.feedback.ready.eq(can_take),
                        source.eq(self.feedback.payload.source + s.inputs),
                        take.eq(can_take),
                    ]
                with m.Elif(self.input.valid), m.Switch(arriving.kind):
                    with m.Case(Kind.SPIKE):
                        m.d.comb += [
                            self.input.ready.eq(can_take),
                            source.eq(arriving.source),
                            take.eq(can_take),
                            self.spike.eq(can_take),
                        ]
                    with m.Case(Kind.STEP), m.If(~on_the_way & self.is_ready):
                        m.d.comb += [self.input.ready.eq(1), self.start.eq(1)]
                    with m.Case(Kind.END), m.If(~on_the_way & self.is_ready):
                        m.d.comb += [self.input.ready.eq(1), self.end.eq(1)]
                        m.next = "erase"
        return m


__all__ = ["Accumulator"]
