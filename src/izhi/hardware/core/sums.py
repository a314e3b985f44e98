"""The sums of a step in two banks: weights are added to one while the neurons read the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.memories import NEVER_AT_ONCE
from izhi.hardware.core.shape import LayerShape


def _ports(shape: LayerShape) -> dict[str, Any]:
    return {
        "group": In(number_below(shape.sums)),
        "adds": In(1),
        "addends": In(data.ArrayLayout(signed(shape.addend_bits), shape.lanes)),
        "swap": In(1),
        "erases": In(1),
        "reads": In(1),
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
