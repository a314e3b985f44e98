"""Axonal delays: spikes wait until the step in which they arrive."""

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

#: Spikes that wait for the layer, besides those that are being looked for.
_WAITING = 8


class DelayLine(wiring.Component):
    """Spikes in; in each step those out that arrive in it, the end of the step behind them.

    A memory has a cell for each source in each of the next steps: how many of its spikes arrive then. At the end of a
    step its cells are looked through, a source in a cycle.

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
        depth = _WAITING + memory.latency + 2
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=entry.size, depth=depth)
        came, take, found, mark = self.input.payload, Signal(), Signal(entry), Signal(entry)
        slot, place, source = Signal(range(self.slots)), Signal(range(cells)), Signal(range(max(2, self.count)))
        looks, is_erasing = Signal(), Signal()

        # A spike's cell is one of a later step, and counts one more.
        m.d.comb += delays.address.eq(came.source)
        arrival, on_the_way = Pipeline(m), Value.cast(0)
        arrival.put(is_spike=take, source=came.source)

        def later(cycles: int = 1) -> None:
            nonlocal on_the_way
            for _ in range(cycles):
                arrival.advance()
                on_the_way |= arrival["is_spike"]

        later(delays.latency)
        arrival.put(due=slot + delays.data)
        later()
        due = arrival["due"]
        arrival.put(due=Mux(due < self.slots, due, due - self.slots)[: len(slot)])
        later()
        arrival.put(cell=arrival["due"] * self.count)
        later()
        arrival.put(cell=(arrival["cell"] + arrival["source"])[: len(place)])
        later()
        counted = arrival["cell"]
        if self.most > 1:
            later(memory.latency)
        is_arrival, one_more = arrival["is_spike"], memory.data + 1 if self.most > 1 else 1

        # A cell that is looked at is emptied, and what was in it sent.
        look = Pipeline(m)
        look.put(is_look=looks, source=source, place=place)
        is_looking = looks
        for _ in range(memory.latency):
            look.advance()
            is_looking |= look["is_look"]
        m.d.comb += [
            memory.address.eq(Mux(looks, place, counted)),
            memory.fill.address.eq(Mux(is_erasing, place, Mux(is_arrival, arrival["cell"], look["place"]))),
            memory.fill.word.eq(Mux(is_erasing | ~is_arrival, 0, one_more)),
            memory.fill.enable.eq(is_erasing | is_arrival | look["is_look"]),
            mark.kind.eq(came.kind),
            found.kind.eq(EventKind.SPIKE),
            found.source.eq(look["source"]),
            found.times.eq(memory.data),
        ]
        marks = Signal()
        m.d.comb += [
            queue.w_data.eq(Mux(marks, mark, found)),
            queue.w_en.eq(marks | (look["is_look"] & (memory.data != 0))),
        ]
        is_last_place, has_room = place == cells - 1, queue.level < _WAITING
        with m.FSM(init="erase"):
            with m.State("erase"):
                m.d.comb += is_erasing.eq(1)
                m.d.sync += place.eq(Mux(is_last_place, 0, place + 1))
                with m.If(is_last_place):
                    m.next = "take"
            with m.State("take"), m.If(self.input.valid):
                with m.If(came.kind == EventKind.SPIKE):
                    # Where a cell is read before it counts one more, a spike goes its way alone.
                    m.d.comb += [take.eq(~on_the_way if self.most > 1 else 1), self.input.ready.eq(take)]
                with m.Elif(came.kind == EventKind.STEP), m.If(~on_the_way):
                    m.next = "look"
                with m.Elif(~on_the_way & queue.w_rdy):
                    m.d.comb += [self.input.ready.eq(1), marks.eq(1)]
                    m.d.sync += [place.eq(0), slot.eq(0)]
                    m.next = "erase"
            with m.State("look"), m.If(has_room):
                m.d.comb += looks.eq(1)
                m.d.sync += [
                    place.eq(Mux(is_last_place, 0, place + 1)),
                    source.eq(Mux(source == self.count - 1, 0, source + 1)),
                ]
                with m.If(source == self.count - 1):
                    m.next = "end"
            with m.State("end"), m.If(~is_looking & queue.w_rdy):
                m.d.comb += [self.input.ready.eq(1), marks.eq(1)]
                m.d.sync += slot.eq(Mux(slot == self.slots - 1, 0, slot + 1))
                m.next = "take"
        self._send(m, queue, entry)
        return m

    def _send(self, m: Module, queue: Any, layout: Any) -> None:
        """Each entry as often as it says."""
        head, sent = Signal(layout), Signal(unsigned(layout["times"].width))
        is_last = (head.kind != EventKind.SPIKE) | (sent + 1 == head.times)
        goes = queue.r_rdy & self.output.ready
        m.d.comb += [
            head.eq(queue.r_data),
            self.output.valid.eq(queue.r_rdy),
            self.output.payload.kind.eq(head.kind),
            self.output.payload.source.eq(head.source),
            queue.r_en.eq(goes & is_last),
        ]
        with m.If(goes):
            m.d.sync += sent.eq(Mux(is_last, 0, sent + 1))


__all__ = ["DelayLine"]
