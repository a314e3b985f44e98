"""Buffers of streams: a register stage, a queue in a block memory, and copies for several receivers."""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Any

from amaranth.hdl import Module, Shape, Signal, Value, ValueLike
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import following
from izhi.hardware.core.memories import LoadableMemory
from izhi.hardware.core.pipeline import Pipeline

#: Items of a queue that are fetched ahead, with those still in the pipeline of the memory.
_AHEAD = 5


class SkidBuffer(wiring.Component):
    """Passes a stream on a cycle later, an item in each cycle, and breaks the paths of logic in both directions.

    Payload, valid and ready come from registers. Two items have room: the second is the one that arrives in the cycle
    in which the first is not accepted.

    Ports:
        input, output: the stream.
        is_empty: it holds no item.
    """

    def __init__(self, payload: Any) -> None:
        items = stream.Signature(payload)
        super().__init__({"input": In(items), "output": Out(items), "is_empty": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = self.input.payload.shape()
        first, second = (Signal(shape, name=name, reset_less=True) for name in ("first", "second"))
        has_first, has_second = Signal(), Signal()
        m.d.comb += [
            self.input.ready.eq(~has_second),
            self.output.valid.eq(has_first),
            self.output.payload.eq(first),
            self.is_empty.eq(~has_first),
        ]
        with m.If(self.output.ready | ~has_first):
            m.d.sync += [has_first.eq(has_second | self.input.valid), has_second.eq(0)]
            with m.If(has_second):
                m.d.sync += first.eq(second)
            with m.Else():
                m.d.sync += first.eq(self.input.payload)
        with m.Elif(~has_second):
            m.d.sync += [second.eq(self.input.payload), has_second.eq(self.input.valid)]
        return m


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
        self.width, self.depth, items = Shape.cast(payload).width, depth, stream.Signature(payload)
        super().__init__({"input": In(items), "output": Out(items), "level": Out(range(depth + 1)), "is_empty": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.items = items = LoadableMemory(self.width, self.depth)
        m.submodules.ahead = ahead = fifo.SyncFIFO(width=self.width, depth=_AHEAD)
        first, free = Signal(range(self.depth)), Signal(range(self.depth))
        level, unread = Signal(range(self.depth + 1)), Signal(range(self.depth + 1))
        enters, entered, leaves, fetches = Signal(), Signal(), Signal(), Signal()
        line = Pipeline(m)
        line.put(is_fetched=fetches)
        pending = sum(line.flags("is_fetched", items.latency))
        m.d.comb += [
            self.level.eq(level),
            self.is_empty.eq(level == 0),
            self.input.ready.eq(level != self.depth),
            enters.eq(self.input.valid & self.input.ready),
            leaves.eq(self.output.valid & self.output.ready),
            items.address.eq(first),
            fetches.eq((unread != 0) & (ahead.level + pending < _AHEAD)),
            ahead.w_data.eq(items.data),
            ahead.w_en.eq(line["is_fetched"]),
        ]
        wiring.connect(m, ahead.r_stream, wiring.flipped(self.output))
        fill = items.fill
        m.d.sync += [entered.eq(enters), fill.enable.eq(enters), fill.address.eq(free)]
        m.d.sync += fill.word.eq(self.input.payload)
        # Both next counts are computed before the choice between them is known.
        for count, more, fewer in ((level, enters, leaves), (unread, entered, fetches)):
            with m.If(more & ~fewer):
                m.d.sync += count.eq(count + 1)
            with m.Elif(fewer & ~more):
                m.d.sync += count.eq(count - 1)
        for address, moves in ((free, enters), (first, fetches)):
            with m.If(moves):
                m.d.sync += address.eq(following(address, self.depth))
        return m


def fork(m: Module, items: Any, *receivers: tuple[Any, ValueLike], discards: ValueLike = 0) -> None:
    """Send each item of a stream to every receiver that wants it; it is done when each has accepted its copy.

    Args:
        m: to which the registers are added.
        items: the stream.
        receivers: streams of copies, and whether each wants the current item.
        discards: the items on their way are dropped.
    """
    are_done, is_blocked = list[Value](), items.valid & ~items.ready & ~Value.cast(discards)
    for number, (receiver, wants) in enumerate(receivers):
        was_sent = Signal(name=f"was_sent_{number}")
        is_done = was_sent | receiver.ready | ~Value.cast(wants)
        m.d.comb += [receiver.payload.eq(items.payload), receiver.valid.eq(items.valid & wants & ~was_sent)]
        m.d.sync += was_sent.eq(is_blocked & wants & is_done)
        are_done.append(is_done)
    m.d.comb += items.ready.eq(reduce(and_, are_done))
