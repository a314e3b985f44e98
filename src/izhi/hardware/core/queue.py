"""A queue in a block memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.memories import LoadableMemory
from izhi.hardware.core.pipeline import Pipeline

#: Items that have been fetched, or are on their way, before the first of them is wanted.
_AHEAD = 5


class Queue(wiring.Component):
    """Items in, and out, one in each cycle; the first is there some cycles after it came.

    The memory is written from registers, and its items go into a few registers ahead, so that neither of them has
    anything else to do in its cycle.

    Ports:
        input, output: of items.
        level: how many there are, or are on their way.
        is_empty: there are none.

    Args:
        payload: shape of an item.
        depth: items that have room.
    """

    def __init__(self, payload: Any, depth: int) -> None:
        self.width, self.depth = Shape.cast(payload).width, depth
        super().__init__(
            {
                "input": In(stream.Signature(payload)),
                "output": Out(stream.Signature(payload)),
                "level": Out(range(depth + 1)),
                "is_empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.items = items = LoadableMemory(self.width, self.depth)
        m.submodules.ahead = ahead = fifo.SyncFIFO(width=self.width, depth=_AHEAD)
        first, free = Signal(range(self.depth)), Signal(range(self.depth))
        level, unread = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))
        comes, came, goes, fetches = Signal(), Signal(), Signal(), Signal()
        line = Pipeline(m)
        line.put(is_fetched=fetches)
        on_the_way = 0
        for _ in range(items.latency):
            line.advance()
            on_the_way = on_the_way + line["is_fetched"]
        m.d.comb += [
            self.level.eq(level),
            self.is_empty.eq(level == 0),
            self.input.ready.eq(level != self.depth),
            comes.eq(self.input.valid & self.input.ready),
            items.address.eq(first),
            fetches.eq((unread != 0) & (ahead.level + on_the_way < _AHEAD)),
            ahead.w_data.eq(items.data),
            ahead.w_en.eq(line["is_fetched"]),
            self.output.payload.eq(ahead.r_data),
            self.output.valid.eq(ahead.r_rdy),
            goes.eq(ahead.r_rdy & self.output.ready),
            ahead.r_en.eq(goes),
        ]
        m.d.sync += [
            came.eq(comes), items.fill.enable.eq(comes), items.fill.address.eq(free),
            items.fill.word.eq(self.input.payload),
        ]  # fmt: skip
        for count, more, fewer in ((level, comes, goes), (unread, came, fetches)):
            # What is one more and one fewer is known before it is known which becomes true.
            with m.If(more & ~fewer):
                m.d.sync += count.eq(count + 1)
            with m.Elif(fewer & ~more):
                m.d.sync += count.eq(count - 1)
        with m.If(comes):
            m.d.sync += free.eq(self._after(free))
        with m.If(fetches):
            m.d.sync += first.eq(self._after(first))
        return m

    def _after(self, place: Signal) -> Any:
        return Mux(place == self.depth - 1, 0, place + 1)


__all__ = ["Queue"]
