"""Takes packets of 32-bit words apart: events of an inference, or words for a memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth.hdl import Array, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.events import Kind, events
from izhi.hardware.core.protocol import Error, Opcode
from izhi.hardware.core.shape import ceil_div

#: A word of 32 bits, and whether it is a packet's last.
WORD = data.StructLayout({"word": unsigned(32), "last": 1})


class Decoder(wiring.Component):
    """Packets in; events and words for memories out.

    Ports:
        input: packets.
        output: events for the first layer.
        memory, address, word, enable: a word for a memory.
        expected: steps of an inference; another number is an error, unless this is 0.
        acknowledge: of an error.
        error: of the last malformed packet, until it is acknowledged.
        fault: high in the cycle in which one is found; the rest of the packet is thrown away.
        aborts: high with it unless the packet is one that writes.
        is_inside: an inference has begun, and its end has not come in.

    Args:
        inputs: of the first layer.
        steps: the most of an inference.
        memories: bits of a word, and words, of each memory.
    """

    def __init__(self, inputs: int, steps: int, memories: Sequence[tuple[int, int]]) -> None:
        self.inputs, self.steps, self.memories = inputs, steps, list(memories)
        self.chunks = [ceil_div(width, 32) for width, _ in self.memories]
        super().__init__(
            {
                "input": In(stream.Signature(WORD)),
                "output": Out(events(inputs)),
                "memory": Out(8),
                "address": Out(32),
                "word": Out(32 * max(self.chunks)),
                "enable": Out(1),
                "expected": In(32),
                "acknowledge": In(1),
                "error": Out(Error),
                "fault": Out(1),
                "aborts": Out(1),
                "is_inside": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        last, valid = self.input.payload.last, self.input.valid
        steps, error = Signal(range(self.steps + 1)), Signal(Error)
        inside, is_open = Signal(), Signal()
        m.d.comb += [
            self.error.eq(error),
            self.is_inside.eq(inside),
            self.output.payload.source.eq(self.input.payload.word),
        ]
        with m.If(self.acknowledge):
            m.d.sync += error.eq(Error.NONE)

        def fail(reason: Error) -> None:
            m.d.comb += [self.fault.eq(1), self.input.ready.eq(1), self.output.valid.eq(0)]
            m.d.sync += [error.eq(reason), steps.eq(0), inside.eq(0), is_open.eq(0)]
            m.next = "drain"
            with m.If(last):
                m.next = "packet"

        # A word is stored in the cycle behind its last chunk.
        whole = Signal()
        m.d.sync += whole.eq(0)
        m.d.comb += self.enable.eq(whole)
        with m.If(whole):
            m.d.sync += self.address.eq(self.address + 1)
        with m.FSM(init="packet"):
            with m.State("packet"), m.If(valid):
                self._events(m, steps, inside, is_open, fail)
            self._writes(m, whole, fail)
            with m.State("drain"):
                m.d.comb += self.input.ready.eq(1)
                with m.If(valid & last):
                    m.next = "packet"
        return m

    def _events(
        self, m: Module, steps: Signal, inside: Signal, is_open: Signal, fail: Callable[[Error], None]
    ) -> None:  # fmt: skip
        word, last = self.input.payload.word, self.input.payload.last
        opcode = word[28:]
        is_spike, is_step, is_end, is_write = (
            opcode == kind for kind in (Opcode.SPIKE, Opcode.STEP, Opcode.END, Opcode.WRITE)
        )
        m.d.comb += self.aborts.eq(self.fault & (~is_write | is_open))
        with m.If(~(is_spike | is_step | is_end | is_write)):
            fail(Error.OPCODE)
        with m.Elif(is_spike & (word[:24] >= self.inputs)):
            fail(Error.SOURCE)
        is_wrong = is_end & (self.expected != 0) & (steps != self.expected)
        with m.Elif(is_wrong | (is_step & (steps == self.steps))):
            fail(Error.STEPS)
        with m.Elif(is_write & (is_open | (word[:8] >= len(self.memories)))):
            fail(Error.MEMORY)
        with m.Elif(last & ~is_end):
            fail(Error.LAST)
        with m.Elif(is_write):
            m.d.comb += self.input.ready.eq(1)
            m.d.sync += self.memory.eq(word)
            m.next = "address"
        with m.Else():
            m.d.comb += [
                self.output.valid.eq(1),
                self.output.payload.kind.eq(Mux(is_spike, Kind.SPIKE, Mux(is_step, Kind.STEP, Kind.END))),
                self.input.ready.eq(self.output.ready),
            ]  # fmt: skip
            with m.If(self.output.ready):
                m.d.sync += [
                    is_open.eq(~last),
                    inside.eq(~is_end),
                    steps.eq(Mux(is_end, 0, steps + is_step)),
                ]

    def _writes(self, m: Module, whole: Signal, fail: Callable[[Error], None]) -> None:
        word, last, valid = self.input.payload.word, self.input.payload.last, self.input.valid
        left, chunk = Signal(32), Signal(8)
        depth = Array(Const(depth, 32) for _, depth in self.memories)[self.memory]
        chunks = Array(Const(count, 8) for count in self.chunks)[self.memory]
        with m.State("address"):
            m.d.comb += self.input.ready.eq(1)
            with m.If(valid):
                m.d.sync += self.address.eq(word)
                m.next = "count"
                with m.If(last):
                    fail(Error.LAST)
        with m.State("count"):
            m.d.comb += self.input.ready.eq(1)
            with m.If(valid):
                m.d.sync += [left.eq(word), chunk.eq(0)]
                m.next = "words"
                with m.If(last | (word == 0)):
                    fail(Error.LAST)
                with m.Elif((self.address >= depth) | (word > depth - self.address)):
                    fail(Error.MEMORY)
        with m.State("words"):
            m.d.comb += self.input.ready.eq(1)
            with m.If(valid):
                is_whole = chunk == chunks - 1
                is_over = is_whole & (left == 1)
                m.d.sync += [
                    self.word.word_select(chunk, 32).eq(word),
                    chunk.eq(Mux(is_whole, 0, chunk + 1)),
                    whole.eq(is_whole),
                    left.eq(left - is_whole),
                ]
                with m.If(last != is_over):
                    fail(Error.LAST)
                with m.Elif(is_over):
                    m.next = "packet"
