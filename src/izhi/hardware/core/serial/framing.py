"""Bytes and frames on the line in gates: frames are decoded and checked, and encoded from words (see frames.py).

The line is asynchronous: a start bit, eight bits, the lowest first, and a stop bit.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.memories import BlockMemory
from izhi.hardware.core.serial.frames import ESCAPE, FLAG, FLIP, MOST_WORDS

#: Bytes of a frame before its words.
_HEAD = 2
#: The number of words in a frame, and the index of one of them.
COUNT, PLACE = range(MOST_WORDS + 1), range(MOST_WORDS)


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


class Unframer(wiring.Component):
    """Decodes frames from bytes, and keeps the words of the last complete one.

    Ports:
        byte, is_new: a byte of the line.
        holds: the words are still in use, from a byte's time after the frame: bytes that arrive then are lost.
        is_frame: high for a cycle when a frame is complete.
        sequence, kind, count: of it.
        place, word: its words, a cycle after their index.
    """

    def __init__(self) -> None:
        inputs = {"byte": In(8), "is_new": In(1), "holds": In(1), "place": In(PLACE)}
        frame = {"is_frame": Out(1), "sequence": Out(8), "kind": Out(8), "count": Out(COUNT), "word": Out(32)}
        super().__init__({**inputs, **frame})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One more word than a frame may have: its CRC.
        m.submodules.words = words = BlockMemory(32, MOST_WORDS + 1)
        m.submodules.crc = crc = CRC32_ISO_HDLC(8).create()
        number, is_escaped, held = Signal(16), Signal(), Signal(24)
        byte = Mux(is_escaped, self.byte ^ FLIP, self.byte)
        is_flag, is_escape = self.byte == FLAG, self.byte == ESCAPE
        # Bytes arrive tens of cycles apart: the address of the next one is computed long before.
        behind_head, is_behind, is_inside = Signal(16), Signal(), Signal()
        m.d.sync += [behind_head.eq(number - _HEAD), is_behind.eq(number >= _HEAD), self.is_frame.eq(0)]
        m.d.sync += is_inside.eq(is_behind & (behind_head >> 2 <= MOST_WORDS))
        m.d.comb += [crc.data.eq(byte), crc.start.eq(self.is_new & is_flag)]
        m.d.comb += crc.valid.eq(self.is_new & ~is_flag & ~is_escape)
        m.d.comb += [words.read_address.eq(self.place), words.read_enable.eq(1), self.word.eq(words.data)]
        is_written = crc.valid & ~self.holds & is_inside & (behind_head[:2] == 3)
        m.d.sync += [words.write_address.eq(behind_head >> 2), words.write_data.eq(Cat(held, byte))]
        m.d.sync += words.write_enable.eq(is_written)
        # Count the bytes of a frame, and accept it at its end.
        is_good, sequence, kind = Signal(), Signal(8), Signal(8)
        with m.If(self.is_new & is_flag):
            is_whole = is_good & ~is_escaped & crc.match_detected & is_behind & (behind_head[:2] == 0)
            with m.If(is_whole & (behind_head != 0) & ~self.holds):
                m.d.sync += [self.is_frame.eq(1), self.sequence.eq(sequence), self.kind.eq(kind)]
                m.d.sync += self.count.eq((behind_head >> 2) - 1)
            m.d.sync += [number.eq(0), is_escaped.eq(0), is_good.eq(1)]
        with m.Elif(self.is_new & is_escape):
            m.d.sync += is_escaped.eq(1)
        with m.Elif(self.is_new):
            m.d.sync += [is_escaped.eq(0), held.eq(Cat(held[8:], byte)), number.eq(number + 1)]
            with m.If(number == 0):
                m.d.sync += sequence.eq(byte)
            with m.Elif(number == 1):
                m.d.sync += kind.eq(byte)
            with m.Elif(is_behind & ~is_inside):
                m.d.sync += [is_good.eq(0), number.eq(number)]
        # A frame of which a byte arrives while the words are in use is lost.
        with m.If(self.is_new & self.holds & ~is_flag):
            m.d.sync += is_good.eq(0)
        return m


class Framer(wiring.Component):
    """Encodes frames of words.

    Ports:
        start, is_idle: begin a frame; no frame is being sent.
        sequence, kind, count: of it, constant until it is sent.
        place, word: the index of a word, which must follow two cycles later.
        output: bytes for the line.
    """

    def __init__(self) -> None:
        frame = {"start": In(1), "sequence": In(8), "kind": In(8), "count": In(COUNT), "word": In(32)}
        outputs = {"is_idle": Out(1), "place": Out(PLACE), "output": Out(stream.Signature(8))}
        super().__init__({**frame, **outputs})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(8).create()
        place, part, word = Signal(COUNT), Signal(2), Signal(32)
        # A byte between the flags is sent as it is, or as an escape and the changed byte.
        is_flag, byte, is_escaped = Signal(), Signal(8), Signal()
        is_sent, needs_escape = self.output.valid & self.output.ready, (byte == FLAG) | (byte == ESCAPE)
        is_byte_sent = is_sent & (is_escaped | ~needs_escape)
        escaped = Mux(is_escaped, byte ^ FLIP, Mux(needs_escape, ESCAPE, byte))
        m.d.comb += [
            self.output.payload.eq(Mux(is_flag, FLAG, escaped)),
            self.place.eq(place),
            crc.data.eq(byte),
            crc.start.eq(self.start),
        ]
        with m.If(is_sent & ~is_flag):
            m.d.sync += is_escaped.eq(needs_escape & ~is_escaped)

        with m.FSM(init="idle"):
            with m.State("idle"):
                m.d.comb += self.is_idle.eq(1)
                m.d.sync += [place.eq(0), part.eq(0)]
                with m.If(self.start):
                    m.next = "open"
            for state, after in (("open", "sequence"), ("close", "idle")):
                with m.State(state):
                    m.d.comb += [self.output.valid.eq(1), is_flag.eq(1)]
                    with m.If(is_sent):
                        m.next = after
            for state, value, after in (("sequence", self.sequence, "kind"), ("kind", self.kind, "next")):
                with m.State(state):
                    m.d.comb += [self.output.valid.eq(1), byte.eq(value), crc.valid.eq(is_byte_sent)]
                    with m.If(is_byte_sent):
                        m.next = after
            self._send_words(m, crc, place, part, word, byte, is_byte_sent)
        return m

    def _send_words(
        self, m: Module, crc: Any, place: Signal, part: Signal, word: Signal, byte: Signal, is_byte_sent: Value
    ) -> None:
        """Send words, and then their CRC."""
        with m.State("next"):  # the CRC of the last byte follows a cycle later, a word two cycles
            m.next = "wait"
            with m.If(place == self.count):
                m.next = "sum"
        with m.State("wait"):
            m.next = "word"
        with m.State("word"):
            m.d.sync += [word.eq(self.word), place.eq(place + 1)]
            m.next = "bytes"
        with m.State("sum"):
            m.d.sync += word.eq(crc.crc)
            m.next = "check"
        for state, is_checked, after in (("bytes", 1, "next"), ("check", 0, "close")):
            with m.State(state):
                m.d.comb += [self.output.valid.eq(1), byte.eq(word), crc.valid.eq(is_byte_sent & is_checked)]
                with m.If(is_byte_sent):
                    m.d.sync += [part.eq(part + 1), word.eq(word >> 8)]
                    with m.If(part == 3):
                        m.next = after
