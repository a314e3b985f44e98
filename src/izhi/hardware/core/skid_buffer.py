"""A register stage for streams that breaks the paths of logic in both directions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class SkidBuffer(wiring.Component):
    """Passes a stream on a cycle later, an item in each cycle.

    Payload, valid and ready come from registers. Two items have room: the second is the one that arrives in the cycle
    in which the first is not accepted.

    Ports:
        input, output: the stream.
        is_empty: it holds no item.
    """

    def __init__(self, payload: Any) -> None:
        super().__init__(
            {"input": In(stream.Signature(payload)), "output": Out(stream.Signature(payload)), "is_empty": Out(1)}
        )

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
