"""A serial line, asynchronous: a start bit, eight bits, the lowest first, and a stop bit."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out


class Receiver(wiring.Component):
    """Bytes from a line; a byte is lost unless it is read in its cycle.

    Args:
        divisor: clock cycles of a bit.

    Ports:
        line: idle high.
        byte, is_new: high in the cycle in which a byte with a valid stop bit is complete.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"line": In(1, init=1), "byte": Out(8), "is_new": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line, bits = Signal(init=1), Signal(10)
        m.submodules.synchronizer = FFSynchronizer(self.line, line, init=1)
        left, count = Signal(range(self.divisor)), Signal(range(11))
        m.d.comb += self.byte.eq(bits[1:9])
        m.d.sync += self.is_new.eq(0)
        with m.If(count == 0), m.If(~line):  # the middle of the start bit is half a bit away
            m.d.sync += [count.eq(10), left.eq(self.divisor // 2)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [
                left.eq(self.divisor - 1), bits.eq(Cat(bits[1:], line)), count.eq(count - 1),
                self.is_new.eq((count == 1) & line & ~bits[1]),
            ]  # fmt: skip
            with m.If((count == 10) & line):  # a start bit that is over by its middle was noise
                m.d.sync += count.eq(0)
        return m


class Transmitter(wiring.Component):
    """Bytes to a line.

    Args:
        divisor: clock cycles of a bit.

    Ports:
        input: bytes.
        line: idle high.
    """

    def __init__(self, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"input": In(stream.Signature(8)), "line": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, left, count = Signal(9, init=0x1FF), Signal(range(self.divisor)), Signal(range(11))
        m.d.comb += self.input.ready.eq(count == 0)
        with m.If(count == 0), m.If(self.input.valid):
            m.d.sync += [
                self.line.eq(0), bits.eq(Cat(self.input.payload, Const(1, 1))),
                count.eq(10), left.eq(self.divisor - 1),
            ]  # fmt: skip
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.sync += [
                left.eq(self.divisor - 1), self.line.eq(bits[0]), bits.eq(Cat(bits[1:], Const(1, 1))),
                count.eq(count - 1),
            ]  # fmt: skip
        return m
