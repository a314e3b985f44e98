"""A design for a board without a processor: clock, reset, and the core behind its serial line.

It executes the requests of a host in frames, and answers them (see frames.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Module, Mux, ResetInserter, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.errors import SettingError
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.buffers import Queue
from izhi.hardware.core.memories import BlockMemory
from izhi.hardware.core.serial.clocks import PLL
from izhi.hardware.core.serial.frames import MOST_WORDS, AnswerStatus, Request
from izhi.hardware.core.serial.framing import COUNT, Framer, Receiver, Transmitter, Unframer
from izhi.hardware.core.shape import CoreShape

#: Words in the queue to the core, and in that from it.
ROOM = 2 * MOST_WORDS
#: Clock cycles after which the answer to a write is BUSY.
_PATIENCE = 255
#: Cycles of reset after the clock is stable.
_RESET_CYCLES = 15
#: The most that a bit on the line may differ from the one that the host expects; ten bits add up to a third of one.
_TOLERANCE = 0.02


class Link(wiring.Component):
    """A core, and the serial line to its host.

    A state machine executes a request and sends its answer; a repeated request is only answered again.

    Args:
        shape: of the core.
        divisor: clock cycles of a bit on the line.

    Ports:
        receive, transmit: the line.
        is_busy: of the core, for a light.
    """

    def __init__(self, shape: CoreShape, divisor: int) -> None:
        self.core, self.divisor = AxiCore(shape, has_clock=False), divisor
        self._request, self._framer, self._answered = Unframer(), Framer(), BlockMemory(32, MOST_WORDS)
        # A reset of the queues to the core and from it.
        self._resets = Signal()
        self._to_core, self._from_core = (ResetInserter(self._resets)(Queue(33, ROOM)) for _ in range(2))
        # A word of the answer, which is kept; the answer's fields, and whether there was a request.
        self._keeps, self._kept, self._count = Signal(), Signal(32), Signal(COUNT)
        self._sequence, self._kind, self._was_asked = Signal(8), Signal(AnswerStatus), Signal()
        # The index of a word of the request; cycles; the register's address; words with room in the queue to the core.
        self._index, self._waited = Signal(COUNT), Signal(range(_PATIENCE + 1))
        self._register, self._left = Signal(32), Signal(range(ROOM + 1))
        super().__init__({"receive": In(1, init=1), "transmit": Out(1, init=1), "is_busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._connect(m)
        request, framer, answered = self._request, self._framer, self._answered
        m.d.comb += [
            request.place.eq(self._index),
            framer.sequence.eq(self._sequence),
            framer.kind.eq(self._kind),
            framer.count.eq(self._count),
            framer.word.eq(answered.data),
            answered.read_address.eq(framer.place),
            answered.read_enable.eq(1),
        ]
        m.d.sync += [answered.write_enable.eq(self._keeps), answered.write_address.eq(self._count)]
        m.d.sync += answered.write_data.eq(self._kept)
        with m.FSM(init="idle") as machine:
            m.d.sync += request.holds.eq(~machine.ongoing("idle") | ~framer.is_idle)
            self._begin(m)
            self._read_register(m)
            self._write_register(m)
            self._send_words(m)
            self._fetch_words(m)
            with m.State("answer"), m.If(framer.is_idle):
                m.d.comb += framer.start.eq(1)
                m.next = "idle"
        return m

    def _connect(self, m: Module) -> None:
        """Connect the line to the frames, and the core to its queues."""
        m.submodules.core, m.submodules.unframer, m.submodules.framer = self.core, self._request, self._framer
        m.submodules.receiver = receiver = Receiver(self.divisor)
        m.submodules.transmitter = transmitter = Transmitter(self.divisor)
        m.submodules.to_core, m.submodules.from_core = to_core, from_core = self._to_core, self._from_core
        m.submodules.answered = self._answered
        wiring.connect(m, self._framer.output, transmitter.input)
        core, request = self.core, self._request
        is_last = (request.kind == Request.SEND_LAST) & (self._index == request.count + 1)
        m.d.comb += [
            receiver.line.eq(self.receive),
            self.transmit.eq(transmitter.line),
            request.byte.eq(receiver.byte),
            request.is_new.eq(receiver.is_new),
            to_core.input.payload.eq(Cat(request.word, is_last)),
            core.s_axis_tdata.eq(to_core.output.payload),
            core.s_axis_tlast.eq(to_core.output.payload[-1]),
            core.s_axis_tkeep.eq(0b1111),
            core.s_axis_tvalid.eq(to_core.output.valid),
            to_core.output.ready.eq(core.s_axis_tready),
            from_core.input.payload.eq(Cat(core.m_axis_tdata, core.m_axis_tlast)),
            from_core.input.valid.eq(core.m_axis_tvalid),
            core.m_axis_tready.eq(from_core.input.ready),
            core.s_axi_araddr.eq(self._register),
            core.s_axi_awaddr.eq(self._register),
            core.s_axi_wdata.eq(request.word),
            core.s_axi_wstrb.eq(0b1111),
            self.is_busy.eq(core.core.is_busy),
        ]

    def _end(self, m: Module, status: Any, after: str = "answer") -> None:
        m.d.sync += self._kind.eq(status)
        m.next = after

    def _begin(self, m: Module) -> None:
        request, is_known = self._request, self._was_asked & (self._request.kind != Request.RESET)
        with m.State("idle"), m.If(request.is_frame):
            m.next = "begin"
            with m.If(is_known & (request.sequence == self._sequence)):
                m.next = "answer"
        with m.State("begin"):
            m.d.sync += [x.eq(0) for x in (self._count, self._index, self._waited)]
            m.d.sync += [self._was_asked.eq(1), self._sequence.eq(request.sequence)]
            room = ROOM - self._to_core.level
            with m.Switch(request.kind):
                with m.Case(Request.RESET):
                    m.d.comb += self._resets.eq(1)
                    self._end(m, AnswerStatus.DONE)
                for kind, state, words in ((Request.READ, "read", 1), (Request.WRITE, "write", 2)):
                    with m.Case(kind):
                        m.next = state
                        with m.If(request.count != words):
                            self._end(m, AnswerStatus.REFUSED)
                with m.Case(Request.SEND, Request.SEND_LAST):
                    m.next = "fetch"
                    m.d.sync += self._left.eq(room)
                    with m.If((request.count == 0) & (request.kind == Request.SEND_LAST)):
                        self._end(m, AnswerStatus.REFUSED)
                    with m.Elif(request.count > room):
                        self._end(m, AnswerStatus.BUSY, "room")
                    with m.Elif(request.count == 0):
                        self._end(m, AnswerStatus.DONE, "room")
                with m.Case(Request.FETCH):
                    m.next = "out"
                with m.Default():
                    self._end(m, AnswerStatus.REFUSED)

    def _address(self, m: Module, states: Sequence[str], words: int) -> None:
        """The first word of a request, the address of a register, two cycles behind its index; then the next word."""
        first, second, third, after = states
        with m.State(first):
            m.d.sync += self._index.eq(words - 1)
            m.next = second
        with m.State(second):
            m.next = third
        with m.State(third):
            m.d.sync += self._register.eq(self._request.word)
            m.next = after

    def _read_register(self, m: Module) -> None:
        core = self.core
        self._address(m, ("read", "wait for it", "ask", "wait"), 1)
        with m.State("wait"):
            m.d.comb += [core.s_axi_arvalid.eq(~self._waited.any()), core.s_axi_rready.eq(1)]
            with m.If(core.s_axi_arready):
                m.d.sync += self._waited.eq(1)
            m.d.comb += [self._kept.eq(core.s_axi_rdata), self._keeps.eq(core.s_axi_rvalid)]
            with m.If(core.s_axi_rvalid):
                m.d.sync += self._count.eq(core.s_axi_rresp == 0)
                self._end(m, Mux(core.s_axi_rresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))

    def _write_register(self, m: Module) -> None:
        core = self.core
        self._address(m, ("write", "wait for them", "address", "value"), 2)
        with m.State("value"):
            m.d.comb += [core.s_axi_awvalid.eq(1), core.s_axi_wvalid.eq(1), core.s_axi_bready.eq(1)]
            m.d.sync += self._waited.eq(self._waited + 1)
            with m.If(core.s_axi_awready):
                m.next = "written"
            with m.Elif(self._waited == _PATIENCE):
                self._end(m, AnswerStatus.BUSY)
        with m.State("written"):
            m.d.comb += core.s_axi_bready.eq(1)
            with m.If(core.s_axi_bvalid):
                self._end(m, Mux(core.s_axi_bresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))

    def _send_words(self, m: Module) -> None:
        """Words of a packet for the core, for which there is room."""
        for state, after in (("fetch", "fetch another"), ("fetch another", "in"), ("in", "in")):
            with m.State(state):
                m.d.sync += self._index.eq(self._index + 1)
                m.next = after
                if state == "in":
                    m.d.comb += self._to_core.input.valid.eq(1)
                    m.d.sync += self._left.eq(self._left - 1)
                    with m.If(self._index == self._request.count + 1):
                        self._end(m, AnswerStatus.DONE, "room")
        with m.State("room"):
            m.d.comb += [self._kept.eq(self._left), self._keeps.eq(1)]
            m.d.sync += self._count.eq(1)
            m.next = "answer"

    def _fetch_words(self, m: Module) -> None:
        """Words of a packet from the core."""
        count, words = self._count, self._from_core.output
        with m.State("out"):
            is_sent = words.valid & (count != MOST_WORDS)
            m.d.comb += [self._kept.eq(words.payload), self._keeps.eq(is_sent), words.ready.eq(is_sent)]
            m.d.sync += count.eq(count + is_sent)
            with m.If((count == MOST_WORDS) | self._from_core.is_empty):
                self._end(m, AnswerStatus.DONE)
            with m.Elif(is_sent & words.payload[-1]):
                self._end(m, AnswerStatus.LAST)


def divisor(megahertz: float, baud: int) -> int:
    """Clock cycles of a bit.

    Raises:
        SettingError: if they are too few, or do not give the rate within two per cent.
    """
    cycles = round(megahertz * 1e6 / baud) if baud > 0 else 0
    if cycles < 4 or abs(megahertz * 1e6 / cycles - baud) > _TOLERANCE * baud:
        raise SettingError(
            f"baud is {baud:,}, which a clock of {megahertz:g} MHz does not give within {100 * _TOLERANCE:g} %;"
            " expected a quarter of the clock at most, such as 1,000,000"
        )
    return cycles


class Top(wiring.Component):
    """Clock, reset and Link.

    Args:
        shape: of the core.
        divisor: clock cycles of a bit on the line.
        pll: from the board's clock to the core's, or None.

    Ports:
        clk: the board's clock.
        receive, transmit: the line, as seen from here.
        is_busy: an inference is running, for a light.
    """

    def __init__(self, shape: CoreShape, divisor: int, pll: PLL | None = None) -> None:
        self.link, self.pll = Link(shape, divisor), pll
        super().__init__({"clk": In(1), "receive": In(1, init=1), "transmit": Out(1, init=1), "is_busy": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.domains.start = ClockDomain(reset_less=True)
        is_steady = Const(1)
        if self.pll is None:
            m.d.comb += ClockSignal().eq(self.clk)
        else:
            is_steady = Signal()
            m.submodules.pll = self.pll.instance(self.clk, is_steady)
        # The bitstream sets the initial values of registers: this one keeps all others in reset for some cycles.
        left = Signal(range(_RESET_CYCLES + 1), init=_RESET_CYCLES)
        is_reset = Signal(init=1)
        m.d.comb += [ClockSignal("start").eq(ClockSignal()), ResetSignal().eq(is_reset)]
        m.d.start += is_reset.eq(left != 0)
        with m.If(~is_steady):
            m.d.start += left.eq(_RESET_CYCLES)
        with m.Elif(left != 0):
            m.d.start += left.eq(left - 1)
        m.submodules.link = link = self.link
        m.d.comb += [link.receive.eq(self.receive), self.transmit.eq(link.transmit), self.is_busy.eq(link.is_busy)]
        return m
