"""Decodes packets of 32-bit words: events of an inference, or words for a memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.arithmetic import number_below
from izhi.hardware.core.buffers import SkidBuffer
from izhi.hardware.core.events import EventKind, events
from izhi.hardware.core.protocol import Error, Opcode
from izhi.hardware.core.shape import PAIR_BITS, ceil_div

#: A word of 32 bits, and whether it is the last of a packet.
WORD = data.StructLayout({"word": unsigned(32), "last": 1})
#: The same, classified as the first word of a packet or an event: is_source and is_memory mean that its number is one,
#: are_sources that both numbers of a pair are.
_CLASSIFIED = data.StructLayout(
    {
        **WORD.members,
        **{f"is_{kind.name.lower()}": 1 for kind in Opcode},
        **dict.fromkeys(("is_source", "are_sources", "is_memory"), 1),
    }
)


class Decoder(wiring.Component):
    """Packets in; events and words for memories out.

    Ports:
        input: packets.
        output: events for the first layer.
        address, word, enable: a word for the memory whose bit is high.
        expected: steps of an inference; another number is an error, unless this is 0.
        acknowledge: of an error.
        error: of the last malformed packet, until it is acknowledged.
        fault: high in the cycle of an error; the rest of the packet is discarded.
        aborts: high with it unless the packet is one that writes.
        holds: no word is decoded.
        ends_packet: the current word is the last of a packet.
        is_inside: an inference has begun and not ended.

    Args:
        inputs: of the first layer.
        steps: the most of an inference.
        memories: bits of a word, and words, of each memory.
        spikes: that the first layer accepts in a cycle, 1 or 2; with 1, pairs are errors.
    """

    def __init__(self, inputs: int, steps: int, memories: Sequence[tuple[int, int]], spikes: int = 1) -> None:
        self.inputs, self.steps, self.memories, self.spikes = inputs, steps, list(memories), spikes
        self.chunks = [ceil_div(width, 32) for width, _ in self.memories]
        # Memory and address of the current word, and its chunks so far.
        self._memory, self._address = Signal(number_below(len(self.memories))), Signal(32)
        self._word = Signal(32 * max(self.chunks), reset_less=True)
        super().__init__(
            {
                "input": In(stream.Signature(WORD)),
                "output": Out(events(inputs, spikes)),
                "address": Out(32),
                "word": Out(32 * max(self.chunks)),
                "enable": Out(len(self.memories)),
                "expected": In(32),
                "acknowledge": In(1),
                "holds": In(1),
                "error": Out(Error),
                "fault": Out(1),
                "aborts": Out(1),
                "ends_packet": Out(1),
                "is_inside": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.seen = seen = SkidBuffer(_CLASSIFIED)
        m.d.comb += [
            seen.input.valid.eq(self.input.valid),
            self.input.ready.eq(seen.input.ready),
            *self._classify(self.input.payload, seen.input.payload),
        ]
        word, valid = seen.output, seen.output.valid & ~self.holds
        last, takes = word.payload.last, Signal()
        error, inside, is_open = Signal(Error), Signal(), Signal()
        steps = _Steps(m, self.steps, self.expected)
        m.d.comb += [
            word.ready.eq(takes & ~self.holds),
            self.error.eq(error),
            self.is_inside.eq(inside),
            self.ends_packet.eq(last),
            self.output.payload.source.eq(word.payload.word),
        ]
        if self.spikes == 2:
            m.d.comb += self.output.payload.other.eq(word.payload.word[PAIR_BITS:])
        with m.If(self.acknowledge):
            m.d.sync += error.eq(Error.NONE)

        def fail(reason: Error, has_word: bool = True) -> None:
            """Discard the current word, if there is one, and the rest of the packet."""
            m.d.comb += [self.fault.eq(1), takes.eq(has_word), self.output.valid.eq(0), steps.clears.eq(1)]
            m.d.sync += [error.eq(reason), inside.eq(0), is_open.eq(0)]
            m.next = "drain"
            if has_word:
                with m.If(last):
                    m.next = "packet"

        whole = self._write(m)
        with m.FSM(init="packet"):
            with m.State("packet"), m.If(valid):
                self._events(m, word.payload, takes, steps, inside, is_open, fail)
            self._writes(m, word.payload, valid, takes, whole, fail)
            with m.State("drain"):
                m.d.comb += takes.eq(1)
                with m.If(valid & last):
                    m.next = "packet"
        return m

    def _write(self, m: Module) -> Signal:
        """Write a word two cycles behind its last chunk, from registers of its own, since the path is long.

        Returns:
            to be set when a word is complete.
        """
        whole = Signal()
        m.d.sync += [
            whole.eq(0), self.address.eq(self._address), self.word.eq(self._word),
            self.enable.eq(Mux(whole, 1 << self._memory, 0)),
        ]  # fmt: skip
        with m.If(whole):
            m.d.sync += self._address.eq(self._address + 1)
        return whole

    def _classify(self, word: Any, seen: Any) -> list[Any]:
        """The fields of a word that depend on it alone, a cycle before it is decoded."""
        opcode = word.word[28:]
        return [
            seen.word.eq(word.word),
            seen.last.eq(word.last),
            *(getattr(seen, f"is_{kind.name.lower()}").eq(opcode == kind) for kind in Opcode),
            seen.is_source.eq(word.word[:24] < self.inputs),
            seen.are_sources.eq(
                (word.word[:PAIR_BITS] < self.inputs) & (word.word[PAIR_BITS : 2 * PAIR_BITS] < self.inputs)
            ),
            seen.is_memory.eq(word.word[:8] < len(self.memories)),
        ]

    def _events(
        self, m: Module, word: Any, takes: Signal, steps: _Steps, inside: Signal, is_open: Signal,
        fail: Callable[..., None],
    ) -> None:  # fmt: skip
        last = word.last
        is_spike, is_step, is_end, is_write = word.is_spike, word.is_step, word.is_end, word.is_write
        is_pair = word.is_pair if self.spikes == 2 else Const(0)
        kind = Mux(is_spike, EventKind.SPIKE, Mux(is_step, EventKind.STEP, Mux(is_end, EventKind.END, EventKind.PAIR)))
        m.d.comb += self.aborts.eq(self.fault & (~is_write | is_open))
        with m.If(~(is_spike | is_step | is_end | is_write | is_pair)):
            fail(Error.OPCODE)
        with m.Elif((is_spike & ~word.is_source) | (is_pair & ~word.are_sources)):
            fail(Error.SOURCE)
        with m.Elif((is_end & steps.is_other) | (is_step & steps.is_full)):
            fail(Error.STEPS)
        with m.Elif(is_write & (is_open | ~word.is_memory)):
            fail(Error.MEMORY)
        with m.Elif(last & ~is_end):
            fail(Error.LAST)
        with m.Elif(is_write):
            m.d.comb += takes.eq(1)
            m.d.sync += self._memory.eq(word.word)
            m.next = "address"
        with m.Else():
            m.d.comb += [self.output.valid.eq(1), self.output.payload.kind.eq(kind), takes.eq(self.output.ready)]
            with m.If(self.output.ready):
                m.d.comb += [steps.clears.eq(is_end), steps.counts.eq(is_step)]
                m.d.sync += [is_open.eq(~last), inside.eq(~is_end)]

    def _writes(
        self, m: Module, payload: Any, valid: Any, takes: Signal, whole: Signal, fail: Callable[..., None]
    ) -> None:
        word, last = payload.word, payload.last
        left, chunk = Signal(32), Signal(8)
        # Registers between the memory's number, its size, and the room behind the address.
        depth, last_chunk, room, is_outside = Signal(32), Signal(8), Signal(signed(33)), Signal()
        m.d.sync += [
            depth.eq(Array(Const(depth, 32) for _, depth in self.memories)[self._memory]),
            last_chunk.eq(Array(Const(count - 1, 8) for count in self.chunks)[self._memory]),
            room.eq(depth - self._address),
            is_outside.eq((room <= 0) | (left > room)),
        ]
        with m.State("address"):
            m.d.comb += takes.eq(1)
            with m.If(valid):
                m.d.sync += self._address.eq(word)
                m.next = "count"
                with m.If(last):
                    fail(Error.LAST)
        with m.State("count"):
            m.d.comb += takes.eq(1)
            with m.If(valid):
                m.d.sync += [left.eq(word), chunk.eq(0)]
                m.next = "room"
                with m.If(last | (word == 0)):
                    fail(Error.LAST)
        with m.State("room"):
            m.next = "compare"
        with m.State("compare"):
            m.next = "words"
            with m.If(is_outside):
                fail(Error.MEMORY, has_word=False)
        self._chunks(m, payload, valid, takes, whole, left, chunk, last_chunk, fail)

    def _chunks(
        self, m: Module, payload: Any, valid: Any, takes: Signal, whole: Signal, left: Signal, chunk: Signal,
        last_chunk: Signal, fail: Callable[..., None],
    ) -> None:  # fmt: skip
        """Put the words of a packet together to words of a memory."""
        word, last = payload.word, payload.last
        with m.State("words"):
            m.d.comb += takes.eq(1)
            with m.If(valid):
                is_whole = chunk == last_chunk
                is_over = is_whole & (left == 1)
                m.d.sync += [
                    self._word.word_select(chunk, 32).eq(word),
                    chunk.eq(Mux(is_whole, 0, chunk + 1)),
                    whole.eq(is_whole),
                    left.eq(left - is_whole),
                ]
                with m.If(last != is_over):
                    fail(Error.LAST)
                with m.Elif(is_over):
                    m.next = "packet"


class _Steps:
    """Counts the steps of an inference, and compares the count in the same cycle.

    All possible next counts are compared a cycle before, and only the choice among them is made last.

    Attributes:
        clears, counts: the count is 0, or one more, from the next cycle on; the first has priority.
        is_full: as many as there may be.
        is_other: another number than the one expected.
    """

    def __init__(self, m: Module, most: int, expected: Any) -> None:
        self.clears, self.counts, self.is_full, self.is_other = Signal(), Signal(), Signal(), Signal()
        now, expects, is_beyond = Signal(range(most + 1), name="steps"), Signal(), Signal()
        bits = len(now)

        def next_of(function: Callable[[Any], Any]) -> Any:
            following = Mux(self.counts, function((now + 1)[:bits]), function(now))
            return Mux(self.clears, function(Const(0, bits)), following)

        m.d.sync += [
            now.eq(next_of(lambda steps: steps)),
            self.is_full.eq(next_of(lambda steps: steps == most)),
            expects.eq(expected != 0),
            is_beyond.eq(expected[bits:].any()),
            self.is_other.eq(next_of(lambda steps: expects & (is_beyond | (steps != expected[:bits])))),
        ]
