"""Axonal delays: spikes are stored until the step in which they arrive."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.memories import LoadableMemory, loading
from izhi.hardware.core.pipeline import Pipeline
from izhi.hardware.core.shape import LayerShape

#: Spikes in the queue before the layer at which the search for more pauses.
_QUEUED = 8


class DelayLine(wiring.Component):
    """Spikes in; in each step the spikes out that arrive in it, and then the end of the step.

    A memory has a cell for each source in each of the next steps: the number of its spikes that arrive then. At the end
    of a step its cells are read, a source in a cycle.

    Ports:
        input, output: events.
        delays: fills the memory of delays: a word for each source, its delay in steps.
    """

    def __init__(self, shape: LayerShape) -> None:
        self.count, self.slots, self.most = shape.features, shape.delay + 1, shape.largest
        self.delays_of = dict(shape.memories)["delays"]
        super().__init__(
            {"input": In(events(self.count)), "output": Out(events(self.count)), "delays": In(loading(*self.delays_of))}
        )

    def elaborate(self, platform: object) -> Module:
        m, cells = Module(), self.slots * self.count
        m.submodules.delays = delays = LoadableMemory(*self.delays_of)
        m.submodules.cells = memory = LoadableMemory(self.most.bit_length(), cells)
        wiring.connect(m, wiring.flipped(self.delays), delays.fill)
        entry = data.StructLayout({"kind": EventKind, "source": number_below(self.count), "times": memory.width})
        depth = _QUEUED + memory.latency + 2
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=entry.size, depth=depth)
        event, take, spikes, mark = self.input.payload, Signal(), Signal(entry), Signal(entry)
        slot, cell, source = Signal(range(self.slots)), Signal(range(cells)), Signal(range(max(2, self.count)))
        reads, is_erasing = Signal(), Signal()
        arrival, counted, is_pending = self._count(m, delays, memory, take, slot, len(cell))
        is_arrival, one_more = arrival["is_spike"], memory.data + 1 if self.most > 1 else 1

        # A cell that is read is erased, and its spikes are sent.
        line = Pipeline(m)
        line.put(is_read=reads, source=source, cell=cell)
        is_reading: Value = reads
        for _ in range(memory.latency):
            line.advance()
            is_reading |= line["is_read"]
        m.d.comb += [
            memory.address.eq(Mux(reads, cell, counted)),
            memory.fill.address.eq(Mux(is_erasing, cell, Mux(is_arrival, arrival["cell"], line["cell"]))),
            memory.fill.word.eq(Mux(is_erasing | ~is_arrival, 0, one_more)),
            memory.fill.enable.eq(is_erasing | is_arrival | line["is_read"]),
            mark.kind.eq(event.kind),
            spikes.kind.eq(EventKind.SPIKE),
            spikes.source.eq(line["source"]),
            spikes.times.eq(memory.data),
        ]
        marks = Signal()
        m.d.comb += [
            queue.w_data.eq(Mux(marks, mark, spikes)),
            queue.w_en.eq(marks | (line["is_read"] & (memory.data != 0))),
        ]
        self._run(m, queue, take, reads, marks, is_erasing, is_pending, is_reading, slot, cell, source)
        self._send(m, queue, entry)
        return m

    def _count(
        self, m: Module, delays: LoadableMemory, memory: LoadableMemory, take: Signal, slot: Signal, bits: int
    ) -> tuple[Pipeline, Value, Value]:
        """Count arriving spikes in the cells of their sources in later steps.

        Returns:
            the pipeline, the cell that is read, and whether a spike is in the pipeline.
        """
        event = self.input.payload
        m.d.comb += delays.address.eq(event.source)
        arrival, is_pending = Pipeline(m), Value.cast(0)
        arrival.put(is_spike=take, source=event.source)

        def later(cycles: int = 1) -> None:
            nonlocal is_pending
            for _ in range(cycles):
                arrival.advance()
                is_pending |= arrival["is_spike"]

        later(delays.latency)
        arrival.put(due=slot + delays.data)
        later()
        due = arrival["due"]
        arrival.put(due=Mux(due < self.slots, due, due - self.slots)[: len(slot)])
        later()
        arrival.put(cell=arrival["due"] * self.count)
        later()
        arrival.put(cell=(arrival["cell"] + arrival["source"])[:bits])
        later()
        counted = arrival["cell"]
        if self.most > 1:
            later(memory.latency)
        return arrival, counted, is_pending

    def _run(
        self, m: Module, queue: Any, take: Signal, reads: Signal, marks: Signal, is_erasing: Signal, is_pending: Value,
        is_reading: Value, slot: Signal, cell: Signal, source: Signal,
    ) -> None:  # fmt: skip
        """Erase the cells before an inference; then accept spikes, and at the end of a step read its cells."""
        event = self.input.payload
        is_last_cell, has_room = cell == self.slots * self.count - 1, queue.level < _QUEUED
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += is_erasing.eq(1)
                m.d.sync += cell.eq(Mux(is_last_cell, 0, cell + 1))
                with m.If(is_last_cell):
                    m.next = "take"
            with m.State("take"), m.If(self.input.valid):
                with m.If(event.kind == EventKind.SPIKE):
                    # Where a cell is read before it counts one more, spikes follow one another without overlap.
                    m.d.comb += [take.eq(~is_pending if self.most > 1 else 1), self.input.ready.eq(take)]
                with m.Elif(event.kind == EventKind.STEP), m.If(~is_pending):
                    m.next = "read"
                with m.Elif(~is_pending & queue.w_rdy):
                    m.d.comb += [self.input.ready.eq(1), marks.eq(1)]
                    m.d.sync += [cell.eq(0), slot.eq(0)]
                    m.next = "erase"
            with m.State("read"), m.If(has_room):
                m.d.comb += reads.eq(1)
                m.d.sync += [
                    cell.eq(Mux(is_last_cell, 0, cell + 1)),
                    source.eq(Mux(source == self.count - 1, 0, source + 1)),
                ]
                with m.If(source == self.count - 1):
                    m.next = "end"
            with m.State("end"), m.If(~is_reading & queue.w_rdy):
                m.d.comb += [self.input.ready.eq(1), marks.eq(1)]
                m.d.sync += slot.eq(Mux(slot == self.slots - 1, 0, slot + 1))
                m.next = "take"

    def _send(self, m: Module, queue: Any, layout: Any) -> None:
        """Send each entry as many times as it has spikes."""
        head, sent = Signal(layout), Signal(unsigned(layout["times"].width))
        is_last = (head.kind != EventKind.SPIKE) | (sent + 1 == head.times)
        is_sent = queue.r_rdy & self.output.ready
        m.d.comb += [
            head.eq(queue.r_data),
            self.output.valid.eq(queue.r_rdy),
            self.output.payload.kind.eq(head.kind),
            self.output.payload.source.eq(head.source),
            queue.r_en.eq(is_sent & is_last),
        ]
        with m.If(is_sent):
            m.d.sync += sent.eq(Mux(is_last, 0, sent + 1))
