"""Adds up the weights of a step's spikes, several neurons in each cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import following, number_below
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.sums import SumsInMemories, SumsInRegisters
from izhi.hardware.core.windows import WindowAddressing, reached


class Accumulator(wiring.Component):
    """Weights, and the sums to which they are added.

    A spike takes a cycle for each word of weights of its source, at each position whose window covers it; spikes follow
    each other without a gap, except where one ends at the very sum at which the next begins.
    The end of a step waits for the neurons to be ready, swaps the banks of sums and starts the neurons; the end of an
    inference waits until they are done.

    Ports:
        input: events of the features behind the pools, of one or two spikes.
        feedback: the layer's own spikes, which count in the next step.
        weights: fills the memory of weights: word source · groups + group holds the weights of a group's
            lanes, the lowest first.
        is_ready, is_idle: the neurons can begin a step; they are done with all steps.
        start, end: begin a step; the inference is over.
        reads, sums: the neurons request the sums of their next units, which follow a cycle later.
        spikes: of ``input`` that are accepted in this cycle.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        # The addresses of a spike that begins; it can begin, and it does; a word is addressed, and its group of sums.
        self._begins, self._can_take, self._takes = Signal(reached(shape)), Signal(), Signal()
        self._is_addressed, self._group, self._erases = Signal(), Signal(number_below(shape.sums)), Signal()
        super().__init__(
            {
                "input": In(events(shape.features, shape.spikes)),
                "feedback": In(events(shape.outputs)),
                "weights": In(loading(*shape.weight_memory)),
                "is_ready": In(1),
                "is_idle": In(1),
                "start": Out(1),
                "end": Out(1),
                "reads": In(1),
                "sums": Out(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
                "spikes": Out(range(shape.spikes + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        m.submodules.weights = memory = LoadableMemory(*s.weight_memory, s.spikes)
        wiring.connect(m, wiring.flipped(self.weights), memory.fill)
        m.submodules.sums = sums = SumsInRegisters(s) if s.sums == 1 else SumsInMemories(s)
        self._address_words(m, memory)
        line = Pipeline(m)
        line.put(is_word=self._is_addressed, group=self._group)
        if s.spikes == 2:
            other, is_pair = memory.second_address, Signal()
            with m.If(self._is_addressed):
                m.d.sync += other.eq(other + 1)
            with m.If(self._takes):
                m.d.sync += [other.eq(self._begins.other), is_pair.eq(self._begins.kind == EventKind.PAIR)]
            line.put(is_pair=is_pair)
        pending, addends = [self._is_addressed, *line.flags("is_word", memory.latency - 1)], memory.data
        if s.spikes == 2:
            line.advance()
            pending, addends = [*pending, line["is_word"]], self._pair_sums(m, memory, line["is_pair"])
        before = line["group"]
        line.advance()
        m.d.comb += [
            sums.group.eq(Mux(self._erases, self._group, before)),
            sums.adds.eq(line["is_word"]),
            sums.addends.eq(addends),
            sums.swap.eq(self.start),
            sums.erases.eq(self._erases),
            sums.reads.eq(self.reads),
            self.sums.eq(sums.sums),
        ]
        self._accept(m, Cat(*pending, line["is_word"]).any())
        return m

    def _address_words(self, m: Module, memory: LoadableMemory) -> None:
        """Address the words of a source, position by position and row by row; each is added when the memory has it."""
        s, begins, group = self.shape, self._begins, self._group
        word, address = Signal(range(max(2, s.groups))), Signal.like(memory.address)
        columns, column, row = Signal.like(begins.columns), Signal.like(begins.columns), Signal.like(begins.rows)
        row_address, row_group = Signal.like(address), Signal.like(group)
        is_last_word = word == s.groups - 1
        is_last = is_last_word & (column == 0) & (row == 0)
        # A sum is not read again while it is written.
        is_other = 1 if s.window is None else group != begins.sums
        m.d.comb += [memory.address.eq(address), self._can_take.eq(~self._is_addressed | (is_last & is_other))]
        with m.If(self._is_addressed):
            m.d.sync += [word.eq(Mux(is_last_word, 0, word + 1)), address.eq(address + 1), group.eq(group + 1)]
            if s.window is not None:
                (down, right), row_of_kernel = s.window.stride, s.window.kernel[1] * s.groups
                with m.If(is_last_word & (column != 0)):
                    m.d.sync += [address.eq(address - (right * s.groups + s.groups - 1)), column.eq(column - 1)]
                with m.Elif(is_last_word):
                    above, below = row_address - down * row_of_kernel, row_group + s.window.across * s.groups
                    m.d.sync += [address.eq(above), row_address.eq(above), group.eq(below), row_group.eq(below)]
                    m.d.sync += [column.eq(columns), row.eq(row - 1)]
        with m.If(self._erases):
            m.d.sync += group.eq(following(group, s.sums))
        with m.If(self._takes):
            m.d.sync += [self._is_addressed.eq(1), word.eq(0), row.eq(begins.rows)]
            m.d.sync += [x.eq(begins.address) for x in (address, row_address)]
            m.d.sync += [x.eq(begins.sums) for x in (group, row_group)]
            m.d.sync += [x.eq(begins.columns) for x in (columns, column)]
        with m.Elif(is_last):
            m.d.sync += self._is_addressed.eq(0)

    def _accept(self, m: Module, is_pending: Value) -> None:
        """Erase the sums before an inference, then accept feedback, spikes and the ends of steps."""
        s, begins, arriving, can_take = self.shape, self._begins, self._arriving(m), self._can_take
        has_feedback = self.feedback.valid if s.recurrent else Const(0)
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += self._erases.eq(1)
                with m.If(self._group == s.sums - 1):
                    m.next = "run"
            with m.State("run"):
                with m.If(has_feedback):
                    first = (self.feedback.payload.source + (s.sources - s.outputs)) * s.groups
                    m.d.comb += [self.feedback.ready.eq(can_take), begins.address.eq(first), self._takes.eq(can_take)]
                with m.Elif(arriving.valid), m.Switch(arriving.payload.kind):
                    with m.Case(EventKind.SPIKE, EventKind.PAIR):
                        spikes = 1 + (arriving.payload.kind == EventKind.PAIR)
                        m.d.comb += [arriving.ready.eq(can_take), begins.eq(arriving.payload)]
                        m.d.comb += [self._takes.eq(can_take), self.spikes.eq(Mux(can_take, spikes, 0))]
                    with m.Case(EventKind.STEP), m.If(~is_pending & self.is_ready):
                        m.d.comb += [arriving.ready.eq(1), self.start.eq(1)]
                    with m.Case(EventKind.END), m.If(~is_pending & self.is_idle):
                        m.d.comb += [arriving.ready.eq(1), self.end.eq(1)]
                        m.d.sync += self._group.eq(0)
                        m.next = "erase"

    def _arriving(self, m: Module) -> Any:
        """The stream of arriving spikes with their first addresses."""
        s = self.shape
        if s.window is not None:
            m.submodules.addressing = addressing = WindowAddressing(s)
            wiring.connect(m, wiring.flipped(self.input), addressing.input)
            return addressing.output
        arriving = stream.Signature(reached(s)).create()
        m.d.comb += [
            arriving.valid.eq(self.input.valid),
            self.input.ready.eq(arriving.ready),
            arriving.payload.kind.eq(self.input.payload.kind),
            arriving.payload.address.eq(self.input.payload.source * s.groups),
        ]
        if s.spikes == 2:
            m.d.comb += arriving.payload.other.eq(self.input.payload.other * s.groups)
        return arriving

    def _pair_sums(self, m: Module, memory: LoadableMemory, is_pair: Value) -> Value:
        """The weights of a source plus, in a pair, those of the other source, a cycle behind the memory."""
        s, bits = self.shape, self.shape.weight_bits
        addends = [Signal(signed(s.addend_bits), name=f"addend_{lane}", reset_less=True) for lane in range(s.lanes)]
        for lane, addend in enumerate(addends):
            first, second = (
                word[lane * bits : (lane + 1) * bits].as_signed() for word in (memory.data, memory.second_data)
            )
            m.d.sync += addend.eq(first + Mux(is_pair, second, 0))
        return Cat(*addends)
