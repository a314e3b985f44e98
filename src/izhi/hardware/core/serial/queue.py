"""A queue in a block memory, for words that need not leave it in every cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.block_memory import BlockMemory


class Queue(wiring.Component):
    """Words in, a word in each cycle; words out, one in every few cycles.

    Ports:
        input, output: of words.
        level: how many there are, with the one that is offered.
        is_empty: none is there, nor on its way.

    Args:
        width: bits of a word.
        depth: words that have room.
    """

    def __init__(self, width: int, depth: int) -> None:
        self.width, self.depth = width, depth
        super().__init__(
            {
                "input": In(stream.Signature(width)),
                "output": Out(stream.Signature(width)),
                "level": Out(range(depth + 1)),
                "is_empty": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.words = words = BlockMemory(self.width, self.depth)
        first, free, level = Signal(range(self.depth)), Signal(range(self.depth)), Signal(range(self.depth + 1))
        comes, goes = Signal(), Signal()
        m.d.comb += [
            self.level.eq(level),
            self.is_empty.eq(level == 0),
            self.input.ready.eq(level != self.depth),
            comes.eq(self.input.valid & self.input.ready),
            words.read_address.eq(first),
            words.read_enable.eq(1),
        ]
        # Written from registers; it is fetched some cycles later at the earliest.
        m.d.sync += [
            words.write_enable.eq(comes), words.write_address.eq(free), words.write_data.eq(self.input.payload),
            level.eq(level + comes - goes),
        ]  # fmt: skip
        with m.If(comes):
            m.d.sync += free.eq(self._after(free))
        with m.FSM(init="empty"):
            with m.State("empty"), m.If(level != 0):
                m.next = "written"
            for state, after in (("written", "ask"), ("ask", "wait"), ("wait", "take")):
                with m.State(state):
                    m.next = after
            with m.State("take"):
                m.d.sync += self.output.payload.eq(words.data)
                m.next = "offer"
            with m.State("offer"):
                m.d.comb += [self.output.valid.eq(1), goes.eq(self.output.ready)]
                with m.If(goes):
                    m.d.sync += first.eq(self._after(first))
                    m.next = "empty"
        return m

    def _after(self, place: Signal) -> Any:
        return Mux(place == self.depth - 1, 0, place + 1)


__all__ = ["Queue"]
