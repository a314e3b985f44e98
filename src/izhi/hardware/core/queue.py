"""A queue in a block memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.memories import LoadableMemory
from izhi.hardware.core.pipeline import Pipeline

#: Items that are fetched ahead, with those still in the pipeline of the memory.
_AHEAD = 5


class Queue(wiring.Component):
    """Items in and out, one in each cycle; an item can leave some cycles after it arrived.

    The memory is written from registers, and its items are fetched into a few registers, so that no other logic shares
    a cycle with the memory.

    Ports:
        input, output: of items.
        level: items in the queue, with those in its pipelines.
        is_empty: the level is 0.

    Args:
        payload: shape of an item.
        depth: most items.
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
        enters, entered, leaves, fetches = Signal(), Signal(), Signal(), Signal()
        line = Pipeline(m)
        line.put(is_fetched=fetches)
        is_pending = 0
        for _ in range(items.latency):
            line.advance()
            is_pending = is_pending + line["is_fetched"]
        m.d.comb += [
            self.level.eq(level),
            self.is_empty.eq(level == 0),
            self.input.ready.eq(level != self.depth),
            enters.eq(self.input.valid & self.input.ready),
            items.address.eq(first),
            fetches.eq((unread != 0) & (ahead.level + is_pending < _AHEAD)),
            ahead.w_data.eq(items.data),
            ahead.w_en.eq(line["is_fetched"]),
            self.output.payload.eq(ahead.r_data),
            self.output.valid.eq(ahead.r_rdy),
            leaves.eq(ahead.r_rdy & self.output.ready),
            ahead.r_en.eq(leaves),
        ]
        m.d.sync += [
            entered.eq(enters), items.fill.enable.eq(enters), items.fill.address.eq(free),
            items.fill.word.eq(self.input.payload),
        ]  # fmt: skip
        self._count(m, level, enters, leaves)
        self._count(m, unread, entered, fetches)
        with m.If(enters):
            m.d.sync += free.eq(self._after(free))
        with m.If(fetches):
            m.d.sync += first.eq(self._after(first))
        return m

    def _count(self, m: Module, count: Signal, more: Signal, fewer: Signal) -> None:
        """Count up and down; both next counts are computed before the choice between them is known."""
        with m.If(more & ~fewer):
            m.d.sync += count.eq(count + 1)
        with m.Elif(fewer & ~more):
            m.d.sync += count.eq(count - 1)

    def _after(self, address: Signal) -> Any:
        return Mux(address == self.depth - 1, 0, address + 1)
