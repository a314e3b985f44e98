"""Adds up the weights of a step's spikes, several neurons in each cycle.

The sums of a step are in two banks: weights are added to one while the neurons read the other.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import following, number_below
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.memories import NEVER_AT_ONCE, LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape
from izhi.hardware.core.windows import WindowAddressing, reached


def _ports(shape: LayerShape) -> dict[str, Any]:
    return {
        "group": In(number_below(shape.sums)),
        "addends": In(data.ArrayLayout(signed(shape.addend_bits), shape.lanes)),
        **dict.fromkeys(("adds", "swap", "erases", "reads"), In(1)),
        "sums": Out(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
    }


class SumsInMemories(wiring.Component):
    """A memory for each lane of a bank, with a word for each group of each place: sums are added lane by lane.

    Ports:
        group: of the addends of the next cycle, or the erased group.
        adds, addends: are added.
        swap: exchanges the banks.
        erases: sets a group to 0 in both banks.
        reads: the neurons request the sums of their next units, the first ones after a swap, which become 0.
        sums: those, a cycle later.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(_ports(shape))

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        of_adding, group_before = Signal(), Signal.like(self.group)
        m.d.sync += group_before.eq(self.group)
        with m.If(self.swap):
            m.d.sync += of_adding.eq(~of_adding)

        # The neurons read the lanes of a group, ``units`` at a time.
        per_group = s.lanes // s.units
        group, slice_ = Signal.like(self.group), Signal(range(max(2, per_group)))
        row = Signal(range(max(2, s.rows)))
        is_end_of_place, is_last = row == s.rows - 1, group == s.sums - 1
        is_end_of_group = (slice_ == per_group - 1) | is_end_of_place
        with m.If(self.reads):
            m.d.sync += [row.eq(Mux(is_end_of_place, 0, row + 1)), slice_.eq(Mux(is_end_of_group, 0, slice_ + 1))]
            with m.If(is_end_of_group):
                m.d.sync += group.eq(Mux(is_last, 0, group + 1))
        group_read, slice_read, is_read = Signal.like(group), Signal.like(slice_), Signal()
        m.d.sync += [group_read.eq(group), slice_read.eq(slice_), is_read.eq(self.reads & is_end_of_group)]

        words = []
        for bank in range(2):
            is_added_to = of_adding == bank
            for lane in range(s.lanes):
                cells = memory.Memory(shape=signed(s.accumulator_bits), depth=s.sums, init=[], attrs=NEVER_AT_ONCE)
                m.submodules[f"bank_{bank}_{lane}"] = cells
                write, read = cells.write_port(), cells.read_port()
                m.d.comb += [
                    read.addr.eq(Mux(is_added_to, self.group, group)),
                    write.addr.eq(Mux(self.erases, self.group, Mux(is_added_to, group_before, group_read))),
                    write.data.eq(Mux(is_added_to & ~self.erases, read.data + self.addends[lane], 0)),
                    write.en.eq(self.erases | Mux(is_added_to, self.adds, is_read)),
                ]
                words.append(read.data)
        first, second = words[: s.lanes], words[s.lanes :]
        for unit in range(s.units):
            lanes = range(unit, s.lanes, s.units)
            chosen = Array(Mux(of_adding, first[lane], second[lane]) for lane in lanes)
            m.d.comb += self.sums[unit].eq(chosen[slice_read])
        return m


class SumsInRegisters(wiring.Component):
    """The same for a single word of sums: registers, of which the neurons shift a copy.

    This needs no wide multiplexer of lanes, which would cost more than the sums themselves.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.shape = shape
        super().__init__(_ports(shape))

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        was_read = Signal()
        m.d.sync += was_read.eq(self.reads)
        bits = signed(s.accumulator_bits)
        now = [Signal(bits, name=f"sum_{lane}") for lane in range(s.lanes)]
        then = [Signal(bits, name=f"then_{lane}", reset_less=True) for lane in range(s.lanes)]
        for lane in range(s.lanes):
            with m.If(self.swap | self.erases):
                m.d.sync += now[lane].eq(0)
            with m.Elif(self.adds):
                m.d.sync += now[lane].eq(now[lane] + self.addends[lane])
            with m.If(self.swap):
                m.d.sync += then[lane].eq(now[lane])
            with m.Elif(was_read):
                m.d.sync += then[lane].eq(then[lane + s.units] if lane + s.units < s.lanes else 0)
        m.d.comb += [self.sums[unit].eq(then[unit]) for unit in range(s.units)]
        return m


class Accumulator(wiring.Component):
    """Weights, and the sums to which they are added.

    A spike takes a cycle for each word of weights of its source, at each position whose window covers it; spikes follow
    each other without a gap, except where one ends at the very sum at which the next begins.
    The end of a step waits for the neurons to be ready, swaps the banks of sums and starts the neurons; the end of an
    inference waits until they are done.

    Ports:
        input: events of the features behind the pools, of spikes of one or two of them.
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
                "input": In(events(shape.features, shape.spikes, shape.most_at_once)),
                "feedback": In(events(shape.outputs)),
                "weights": In(loading(*shape.weight_memory)),
                **dict.fromkeys(("is_ready", "is_idle", "reads"), In(1)),
                **dict.fromkeys(("start", "end"), Out(1)),
                "sums": Out(data.ArrayLayout(signed(shape.accumulator_bits), shape.units)),
                "spikes": Out(range(max(shape.spikes, shape.most_at_once) + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m, s = Module(), self.shape
        m.submodules.weights = weights = LoadableMemory(*s.weight_memory, s.spikes)
        wiring.connect(m, wiring.flipped(self.weights), weights.fill)
        m.submodules.sums = sums = SumsInRegisters(s) if s.sums == 1 else SumsInMemories(s)
        self._address_words(m, weights)
        line = Pipeline(m)
        line.put(is_word=self._is_addressed, group=self._group)
        if s.spikes == 2:
            other, is_pair = weights.second_address, Signal()
            with m.If(self._is_addressed):
                m.d.sync += other.eq(other + 1)
            with m.If(self._takes):
                m.d.sync += [other.eq(self._begins.other), is_pair.eq(self._begins.kind == EventKind.PAIR)]
            line.put(is_pair=is_pair)
        if s.most_at_once > 1:
            times = Signal(s.most_at_once.bit_length(), reset_less=True)
            with m.If(self._takes):
                m.d.sync += times.eq(self._begins.times)
            line.put(times=times)
        pending, addends = [self._is_addressed, *line.flags("is_word", weights.latency - 1)], weights.data
        if s.spikes == 2 or s.most_at_once > 1:
            line.advance()
            pending.append(line["is_word"])
            addends = (
                self._pair_sums(m, weights, line["is_pair"]) if s.spikes == 2 else self._products(line, weights.data)
            )
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

    def _address_words(self, m: Module, weights: LoadableMemory) -> None:
        """Address the words of a source, position by position and row by row; each is added when the memory has it."""
        s, begins, group = self.shape, self._begins, self._group
        word, address = Signal(range(max(2, s.groups))), Signal.like(weights.address)
        columns, column, row = Signal.like(begins.columns), Signal.like(begins.columns), Signal.like(begins.rows)
        row_address, row_group = Signal.like(address), Signal.like(group)
        is_last_word = word == s.groups - 1
        is_last = is_last_word & (column == 0) & (row == 0)
        # A sum is not read again while it is written.
        is_other = 1 if s.window is None else group != begins.sums
        m.d.comb += [weights.address.eq(address), self._can_take.eq(~self._is_addressed | (is_last & is_other))]
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
                    if s.most_at_once > 1:
                        m.d.comb += begins.times.eq(1)
                with m.Elif(arriving.valid), m.Switch(arriving.payload.kind):
                    with m.Case(EventKind.SPIKE, EventKind.PAIR):
                        spikes = 1 + (arriving.payload.kind == EventKind.PAIR)
                        if s.most_at_once > 1:
                            spikes = arriving.payload.times
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
        if s.most_at_once > 1:
            m.d.comb += arriving.payload.times.eq(self.input.payload.times)
        return arriving

    def _products(self, line: Pipeline, word: Value) -> Value:
        """The weights of a source times its spikes, a cycle behind the weights."""
        s, times = self.shape, Cat(line["times"], Const(0)).as_signed()
        weights = [word[lane * s.weight_bits : (lane + 1) * s.weight_bits].as_signed() for lane in range(s.lanes)]
        return Cat(line.product(weight, times, 0)[: s.addend_bits] for weight in weights)

    def _pair_sums(self, m: Module, weights: LoadableMemory, is_pair: Value) -> Value:
        """The weights of a source plus, in a pair, those of the other source, a cycle behind the weights."""
        s, bits = self.shape, self.shape.weight_bits
        addends = [Signal(signed(s.addend_bits), name=f"addend_{lane}", reset_less=True) for lane in range(s.lanes)]
        for lane, addend in enumerate(addends):
            first, second = (
                word[lane * bits : (lane + 1) * bits].as_signed() for word in (weights.data, weights.second_data)
            )
            m.d.sync += addend.eq(first + Mux(is_pair, second, 0))
        return Cat(*addends)
