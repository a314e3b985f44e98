"""The core behind a serial line: carries out what a host asks in frames, and answers (see frames.py)."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.block_memory import BlockMemory
from izhi.hardware.core.queue import Queue
from izhi.hardware.core.serial.frames import MOST_WORDS, AnswerStatus, Request
from izhi.hardware.core.serial.framing import COUNT, Framer, Unframer
from izhi.hardware.core.serial.uart import Receiver, Transmitter
from izhi.hardware.core.shape import CoreShape

#: Words that wait on the way in, and on the way out.
ROOM = 2 * MOST_WORDS
#: Clock cycles after which a register that cannot be written now is BUSY.
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
        m.submodules.unframer = asked = Unframer()
        m.submodules.framer = answer = Framer()
        forgets = Signal()
        way_in, way_out = (ResetInserter(forgets)(Queue(33, ROOM)) for _ in range(2))
        m.submodules.way_in, m.submodules.way_out = way_in, way_out
        wiring.connect(m, answer.output, transmitter.input)
        m.d.comb += [
            receiver.line.eq(self.receive),
            self.transmit.eq(transmitter.line),
            asked.byte.eq(receiver.byte),
            asked.is_new.eq(receiver.is_new),
            core.s_axis_tdata.eq(way_in.output.payload),
            core.s_axis_tlast.eq(way_in.output.payload[-1]),
            core.s_axis_tkeep.eq(0b1111),
            core.s_axis_tvalid.eq(way_in.output.valid),
            way_in.output.ready.eq(core.s_axis_tready),
            way_out.input.payload.eq(Cat(core.m_axis_tdata, core.m_axis_tlast)),
            way_out.input.valid.eq(core.m_axis_tvalid),
            core.m_axis_tready.eq(way_out.input.ready),
            self.is_busy.eq(core.core.is_busy),
        ]
        self._carry_out(m, asked, answer, way_in, way_out, forgets)
        return m

    def _carry_out(self, m: Module, asked: Any, answer: Any, way_in: Any, way_out: Any, forgets: Signal) -> None:
        """A request at a time, and then its answer; one that comes again is answered alone."""
        core = self.core
        m.submodules.answered = answered = BlockMemory(32, MOST_WORDS)
        keeps, kept = Signal(), Signal(32)
        sequence, kind, count = Signal(8), Signal(AnswerStatus), Signal(COUNT)
        was_asked, place, waited = Signal(), Signal(COUNT), Signal(range(_PATIENCE + 1))
        register, left = Signal(32), Signal(range(ROOM + 1))
        m.d.comb += [
            asked.place.eq(place),
            answer.sequence.eq(sequence),
            answer.kind.eq(kind),
            answer.count.eq(count),
            answered.read_address.eq(answer.place),
            answered.read_enable.eq(1),
            answer.word.eq(answered.data),
            core.s_axi_araddr.eq(register),
            core.s_axi_awaddr.eq(register),
            core.s_axi_wdata.eq(asked.word),
            core.s_axi_wstrb.eq(0b1111),
            way_in.input.payload.eq(Cat(asked.word, (asked.kind == Request.SEND_LAST) & (place == asked.count + 1))),
        ]

        m.d.sync += [
            answered.write_enable.eq(keeps), answered.write_address.eq(count), answered.write_data.eq(kept),
        ]  # fmt: skip

        def end(status: Any, after: str = "answer") -> None:
            m.d.sync += kind.eq(status)
            m.next = after

        def next_word() -> None:
            m.d.sync += place.eq(place + 1)

        with m.FSM(init="idle") as machine:
            m.d.sync += asked.holds.eq(~machine.ongoing("idle") | ~answer.is_idle)
            with m.State("idle"), m.If(asked.is_frame):
                m.next = "begin"
                with m.If(was_asked & (asked.sequence == sequence) & (asked.kind != Request.RESET)):
                    m.next = "answer"
            with m.State("begin"):
                m.d.sync += [was_asked.eq(1), sequence.eq(asked.sequence), count.eq(0), place.eq(0), waited.eq(0)]
                room = ROOM - way_in.level
                with m.Switch(asked.kind):
                    with m.Case(Request.RESET):
                        m.d.comb += forgets.eq(1)
                        end(AnswerStatus.DONE)
                    with m.Case(Request.READ):
                        m.next = "read"
                        with m.If(asked.count != 1):
                            end(AnswerStatus.REFUSED)
                    with m.Case(Request.WRITE):
                        m.next = "write"
                        with m.If(asked.count != 2):
                            end(AnswerStatus.REFUSED)
                    with m.Case(Request.SEND, Request.SEND_LAST):
                        m.next = "fetch"
                        m.d.sync += left.eq(room)
                        with m.If((asked.count == 0) & (asked.kind == Request.SEND_LAST)):
                            end(AnswerStatus.REFUSED)
                        with m.Elif(asked.count > room):
                            end(AnswerStatus.BUSY, "room")
                        with m.Elif(asked.count == 0):
                            end(AnswerStatus.DONE, "room")
                    with m.Case(Request.FETCH):
                        m.next = "out"
                    with m.Default():
                        end(AnswerStatus.REFUSED)
            # A register: its address is the first word.
            with m.State("read"):
                m.next = "wait for it"
            with m.State("wait for it"):
                m.next = "ask"
            with m.State("ask"):
                m.d.sync += register.eq(asked.word)
                m.next = "wait"
            with m.State("wait"):
                m.d.comb += [core.s_axi_arvalid.eq(~waited.any()), core.s_axi_rready.eq(1)]
                with m.If(core.s_axi_arready):
                    m.d.sync += waited.eq(1)
                m.d.comb += [kept.eq(core.s_axi_rdata), keeps.eq(core.s_axi_rvalid)]
                with m.If(core.s_axi_rvalid):
                    m.d.sync += count.eq(core.s_axi_rresp == 0)
                    end(Mux(core.s_axi_rresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))
            with m.State("write"):
                next_word()
                m.next = "wait for them"
            with m.State("wait for them"):
                m.next = "address"
            with m.State("address"):
                m.d.sync += register.eq(asked.word)
                m.next = "value"
            with m.State("value"):
                m.d.comb += [core.s_axi_awvalid.eq(1), core.s_axi_wvalid.eq(1), core.s_axi_bready.eq(1)]
                m.d.sync += waited.eq(waited + 1)
                with m.If(core.s_axi_awready):
                    m.next = "written"
                with m.Elif(waited == _PATIENCE):
                    end(AnswerStatus.BUSY)
            with m.State("written"):
                m.d.comb += core.s_axi_bready.eq(1)
                with m.If(core.s_axi_bvalid):
                    end(Mux(core.s_axi_bresp == 0, AnswerStatus.DONE, AnswerStatus.REFUSED))
            # Words of a packet, which have room.
            for state, after in (("fetch", "fetch another"), ("fetch another", "in")):
                with m.State(state):
                    next_word()
                    m.next = after
            with m.State("in"):
                m.d.comb += way_in.input.valid.eq(1)
                m.d.sync += left.eq(left - 1)
                next_word()
                with m.If(place == asked.count + 1):
                    end(AnswerStatus.DONE, "room")
            with m.State("room"):
                m.d.comb += [kept.eq(left), keeps.eq(1)]
                m.d.sync += count.eq(1)
                m.next = "answer"
            with m.State("out"):
                out, is_there = way_out.output.payload, way_out.output.valid & (count != MOST_WORDS)
                m.d.comb += [kept.eq(out), keeps.eq(is_there), way_out.output.ready.eq(is_there)]
                m.d.sync += count.eq(count + is_there)
                with m.If((count == MOST_WORDS) | way_out.is_empty):
                    end(AnswerStatus.DONE)
                with m.Elif(is_there & out[-1]):
                    end(AnswerStatus.LAST)
            with m.State("answer"), m.If(answer.is_idle):
                m.d.comb += answer.start.eq(1)
                m.next = "idle"
