"""The core behind a serial line: executes the requests of a host in frames, and answers them (see frames.py)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.buffers import Queue
from izhi.hardware.core.memories import BlockMemory
from izhi.hardware.core.serial.frames import MOST_WORDS, AnswerStatus, Request
from izhi.hardware.core.serial.framing import COUNT, Framer, Unframer
from izhi.hardware.core.serial.uart import Receiver, Transmitter
from izhi.hardware.core.shape import CoreShape

#: Words in the queue to the core, and in that from it.
ROOM = 2 * MOST_WORDS
#: Clock cycles after which the answer to a write is BUSY.
_PATIENCE = 255


class Link(wiring.Component):
    """A core, and the serial line to its host.

    Args:
        shape: of the core.
        divisor: clock cycles of a bit on the line.

    Ports:
        receive, transmit: the line.
        is_busy: of the core, for a light.
    """

    def __init__(self, shape: CoreShape, divisor: int) -> None:
        self.core, self.divisor = AxiCore(shape, has_clock=False), divisor
        super().__init__({"receive": In(1, init=1), "transmit": Out(1, init=1), "is_busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        m.submodules.unframer = request = Unframer()
        m.submodules.framer = answer = Framer()
        resets = Signal()
        to_core, from_core = (ResetInserter(resets)(Queue(33, ROOM)) for _ in range(2))
        m.submodules.to_core, m.submodules.from_core = to_core, from_core
        wiring.connect(m, answer.output, transmitter.input)
        m.d.comb += [
            receiver.line.eq(self.receive),
            self.transmit.eq(transmitter.line),
            request.byte.eq(receiver.byte),
            request.is_new.eq(receiver.is_new),
            core.s_axis_tdata.eq(to_core.output.payload),
            core.s_axis_tlast.eq(to_core.output.payload[-1]),
            core.s_axis_tkeep.eq(0b1111),
            core.s_axis_tvalid.eq(to_core.output.valid),
            to_core.output.ready.eq(core.s_axis_tready),
            from_core.input.payload.eq(Cat(core.m_axis_tdata, core.m_axis_tlast)),
            from_core.input.valid.eq(core.m_axis_tvalid),
            core.m_axis_tready.eq(from_core.input.ready),
            self.is_busy.eq(core.core.is_busy),
        ]
        _Requests(m, core, request, answer, to_core, from_core, resets).add()
        return m


class _Requests:
    """The state machine that executes a request and sends its answer; a repeated request is only answered again."""

    def __init__(
        self, m: Module, core: AxiCore, request: Unframer, answer: Framer, to_core: Any, from_core: Any, resets: Signal
    ) -> None:
        self.m, self.core, self.request, self.answer = m, core, request, answer
        self.to_core, self.from_core, self.resets = to_core, from_core, resets
        m.submodules.answered = self.answered = BlockMemory(32, MOST_WORDS)
        self.keeps, self.kept = Signal(name="keeps"), Signal(32, name="kept")
        self.sequence, self.kind = Signal(8, name="sequence"), Signal(AnswerStatus, name="kind")
        self.count, self.was_asked = Signal(COUNT, name="count"), Signal(name="was_asked")
        self.index, self.waited = Signal(COUNT, name="index"), Signal(range(_PATIENCE + 1), name="waited")
        self.register, self.left = Signal(32, name="register_address"), Signal(range(ROOM + 1), name="left")

    def add(self) -> None:
        """Add it to the module."""
        m, core, request, answer, answered = self.m, self.core, self.request, self.answer, self.answered
        is_last = (request.kind == Request.SEND_LAST) & (self.index == request.count + 1)
        m.d.comb += [
            request.place.eq(self.index),
            answer.sequence.eq(self.sequence),
            answer.kind.eq(self.kind),
            answer.count.eq(self.count),
            answered.read_address.eq(answer.place),
            answered.read_enable.eq(1),
            answer.word.eq(answered.data),
            core.s_axi_araddr.eq(self.register),
            core.s_axi_awaddr.eq(self.register),
            core.s_axi_wdata.eq(request.word),
            core.s_axi_wstrb.eq(0b1111),
            self.to_core.input.payload.eq(Cat(request.word, is_last)),
        ]
        m.d.sync += [
            answered.write_enable.eq(self.keeps), answered.write_address.eq(self.count),
            answered.write_data.eq(self.kept),
        ]  # fmt: skip
        with m.FSM(init="idle") as machine:
            m.d.sync += request.holds.eq(~machine.ongoing("idle") | ~answer.is_idle)
            self._begin()
            self._read_register()
            self._write_register()
            self._send_words()
            self._fetch_words()
            with m.State("answer"), m.If(answer.is_idle):
                m.d.comb += answer.start.eq(1)
                m.next = "idle"

    def _end(self, status: Any, after: str = "answer") -> None:
        self.m.d.sync += self.kind.eq(status)
        self.m.next = after

    def _next_word(self) -> None:
        self.m.d.sync += self.index.eq(self.index + 1)

    def _begin(self) -> None:
        m, request = self.m, self.request
        with m.State("idle"), m.If(request.is_frame):
            m.next = "begin"
            with m.If(self.was_asked & (request.sequence == self.sequence) & (request.kind != Request.RESET)):
                m.next = "answer"
        with m.State("begin"):
            m.d.sync += [
                self.was_asked.eq(1), self.sequence.eq(request.sequence), self.count.eq(0), self.index.eq(0),
                self.waited.eq(0),
            ]  # fmt: skip
            room = ROOM - self.to_core.level
            with m.Switch(request.kind):
                with m.Case(Request.RESET):
                    m.d.comb += self.resets.eq(1)
                    self._end(AnswerStatus.DONE)
                for kind, state, words in ((Request.READ, "read", 1), (Request.WRITE, "write", 2)):
                    with m.Case(kind):
                        m.next = state
                        with m.If(request.count != words):
                            self._end(AnswerStatus.REFUSED)
                with m.Case(Request.SEND, Request.SEND_LAST):
                    m.next = "fetch"
                    m.d.sync += self.left.eq(room)
                    with m.If((request.count == 0) & (request.kind == Request.SEND_LAST)):
                        self._end(AnswerStatus.REFUSED)
                    with m.Elif(request.count > room):
                        self._end(AnswerStatus.BUSY, "room")
                    with m.Elif(request.count == 0):
                        self._end(AnswerStatus.DONE, "room")
                with m.Case(Request.FETCH):
                    m.next = "out"
                with m.Default():
                    self._end(AnswerStatus.REFUSED)

    def _address(self, first: str, second: str, state: str, after: str) -> None:
        """The first word of a request, the address of a register, two cycles behind its index."""
        m = self.m
        with m.State(first):
            if first == "write":
                self._next_word()
            m.next = second
        with m.State(second):
            m.next = state
        with m.State(state):
            m.d.sync += self.register.eq(self.request.word)
            m.next = after

    def _read_register(self) -> None:
        m, core = self.m, self.core
        self._address("read", "wait for it", "ask", "wait")
        with m.State("wait"):
            m.d.comb += [core.s_axi_arvalid.eq(~self.waited.any()), core.s_axi_rready.eq(1)]
            with m.If(core.s_axi_arready):
                m.d.sync += self.waited.eq(1)
            m.d.comb += [self.kept.eq(core.s_axi_rdata), self.keeps.eq(core.s_axi_rvalid)]
            with m.If(core.s_axi_rvalid):
                m.d.sync += self.count.eq(core.s_axi_rresp == 0)
                self._end(Mux(core.s_axi_rresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))

    def _write_register(self) -> None:
        m, core = self.m, self.core
        self._address("write", "wait for them", "address", "value")
        with m.State("value"):
            m.d.comb += [core.s_axi_awvalid.eq(1), core.s_axi_wvalid.eq(1), core.s_axi_bready.eq(1)]
            m.d.sync += self.waited.eq(self.waited + 1)
            with m.If(core.s_axi_awready):
                m.next = "written"
            with m.Elif(self.waited == _PATIENCE):
                self._end(AnswerStatus.BUSY)
        with m.State("written"):
            m.d.comb += core.s_axi_bready.eq(1)
            with m.If(core.s_axi_bvalid):
                self._end(Mux(core.s_axi_bresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))

    def _send_words(self) -> None:
        """Words of a packet for the core, for which there is room."""
        m, words = self.m, self.to_core.input
        for state, after in (("fetch", "fetch another"), ("fetch another", "in")):
            with m.State(state):
                self._next_word()
                m.next = after
        with m.State("in"):
            m.d.comb += words.valid.eq(1)
            m.d.sync += self.left.eq(self.left - 1)
            self._next_word()
            with m.If(self.index == self.request.count + 1):
                self._end(AnswerStatus.DONE, "room")
        with m.State("room"):
            m.d.comb += [self.kept.eq(self.left), self.keeps.eq(1)]
            m.d.sync += self.count.eq(1)
            m.next = "answer"

    def _fetch_words(self) -> None:
        """Words of a packet from the core."""
        m, count, words = self.m, self.count, self.from_core.output
        with m.State("out"):
            is_sent = words.valid & (count != MOST_WORDS)
            m.d.comb += [self.kept.eq(words.payload), self.keeps.eq(is_sent), words.ready.eq(is_sent)]
            m.d.sync += count.eq(count + is_sent)
            with m.If((count == MOST_WORDS) | self.from_core.is_empty):
                self._end(AnswerStatus.DONE)
            with m.Elif(is_sent & words.payload[-1]):
                self._end(AnswerStatus.LAST)
