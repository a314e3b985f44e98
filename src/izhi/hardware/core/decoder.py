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
from izhi.hardware.core.shape import COUNTED_BITS, PAIR_BITS, ceil_div

#: A word of 32 bits, and whether it is the last of a packet.
WORD = data.StructLayout({"word": unsigned(32), "last": 1})
#: The same, classified as the first word of a packet or an event: is_source and is_memory mean that its number is one,
#: are_sources that both numbers of a pair are, is_counted that of an input whose spikes it counts, and is_number that
#: it may have so many.
_CLASSIFIED = data.StructLayout(
    {
        **WORD.members,
        **{f"is_{kind.name.lower()}": 1 for kind in Opcode},
        **dict.fromkeys(("is_source", "are_sources", "is_counted", "is_number", "is_memory"), 1),
    }
)


def _is_below(number: Any, limit: int) -> Any:
    """Whether a number is below a limit, which is not compared with where all such numbers are: tools warn of that."""
    return Const(1) if limit >= 1 << len(number) else number < limit


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
        times: most spikes of an input in an event; with 1, words that count spikes are errors.
    """

    def __init__(
        self, inputs: int, steps: int, memories: Sequence[tuple[int, int]], spikes: int = 1, times: int = 1
    ) -> None:
        self.inputs, self.steps, self.memories = inputs, steps, list(memories)
        self.spikes, self.times = spikes, times
        self.chunks = [ceil_div(width, 32) for width, _ in self.memories]
        # Memory and address of the current word, its chunks so far, and whether it is whole.
        self._memory, self._address = Signal(number_below(len(self.memories))), Signal(32)
        self._word, self._is_whole = Signal(32 * max(self.chunks), reset_less=True), Signal()
        # A word is decoded; an inference of the packet has begun; the packet has.
        self._seen, self._takes, self._is_open = SkidBuffer(_CLASSIFIED), Signal(), Signal()
        super().__init__(
            {
                "input": In(stream.Signature(WORD)),
                "output": Out(events(inputs, spikes, times)),
                "address": Out(32),
                "word": Out(32 * max(self.chunks)),
                "enable": Out(len(self.memories)),
                "expected": In(32),
                "error": Out(Error),
                **dict.fromkeys(("acknowledge", "holds"), In(1)),
                **dict.fromkeys(("fault", "aborts", "ends_packet", "is_inside"), Out(1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.seen = self._seen
        self._classify(m)
        word, valid = self._seen.output.payload, self._seen.output.valid & ~self.holds
        m.d.comb += [
            self._seen.output.ready.eq(self._takes & ~self.holds),
            self.ends_packet.eq(word.last),
            self.output.payload.source.eq(word.word),
        ]
        if self.spikes == 2:
            m.d.comb += self.output.payload.other.eq(word.word[PAIR_BITS:])
        if self.times > 1:
            m.d.comb += self.output.payload.times.eq(Mux(word.is_count, word.word[COUNTED_BITS:], 1))
        with m.If(self.acknowledge):
            m.d.sync += self.error.eq(Error.NONE)
        # A word is written two cycles behind its last chunk, from registers of its own, since the path is long.
        m.d.sync += [self._is_whole.eq(0), self.address.eq(self._address), self.word.eq(self._word)]
        m.d.sync += self.enable.eq(Mux(self._is_whole, 1 << self._memory, 0))
        with m.If(self._is_whole):
            m.d.sync += self._address.eq(self._address + 1)
        steps = _Steps(m, self.steps, self.expected, self.fault)
        with m.FSM(init="packet"):
            with m.State("packet"), m.If(valid):
                self._events(m, word, steps)
            self._writes(m, word, valid)
            with m.State("drain"):
                m.d.comb += self._takes.eq(1)
                with m.If(valid & word.last):
                    m.next = "packet"
        return m

    def _fail(self, m: Module, reason: Error, has_word: bool = True) -> None:
        """Discard the current word, if there is one, and the rest of the packet."""
        m.d.comb += [self.fault.eq(1), self._takes.eq(has_word), self.output.valid.eq(0)]
        m.d.sync += [self.error.eq(reason), self.is_inside.eq(0), self._is_open.eq(0)]
        m.next = "drain"
        if has_word:
            with m.If(self._seen.output.payload.last):
                m.next = "packet"

    def _classify(self, m: Module) -> None:
        """The fields of a word that depend on it alone, a cycle before it is decoded."""
        word, last, seen = self.input.payload.word, self.input.payload.last, self._seen.input.payload
        one, other, number = word[:PAIR_BITS], word[PAIR_BITS : 2 * PAIR_BITS], word[COUNTED_BITS:28]
        m.d.comb += [
            self._seen.input.valid.eq(self.input.valid),
            self.input.ready.eq(self._seen.input.ready),
            seen.word.eq(word),
            seen.last.eq(last),
            *(getattr(seen, f"is_{kind.name.lower()}").eq(word[28:] == kind) for kind in Opcode),
            seen.is_source.eq(_is_below(word[:24], self.inputs)),
            seen.are_sources.eq(_is_below(one, self.inputs) & _is_below(other, self.inputs)),
            seen.is_counted.eq(_is_below(word[:COUNTED_BITS], self.inputs)),
            seen.is_number.eq((number != 0) & _is_below(number, self.times + 1)),
            seen.is_memory.eq(_is_below(word[:8], len(self.memories))),
        ]

    def _events(self, m: Module, word: Any, steps: _Steps) -> None:
        is_spike, is_step, is_end, is_write = word.is_spike, word.is_step, word.is_end, word.is_write
        is_pair = word.is_pair if self.spikes == 2 else Const(0)
        is_count = word.is_count if self.times > 1 else Const(0)
        kind = Mux(is_step, EventKind.STEP, Mux(is_end, EventKind.END, Mux(is_pair, EventKind.PAIR, EventKind.SPIKE)))
        m.d.comb += self.aborts.eq(self.fault & (~is_write | self._is_open))
        with m.If(~(is_spike | is_step | is_end | is_write | is_pair | is_count)):
            self._fail(m, Error.OPCODE)
        with m.Elif((is_spike & ~word.is_source) | (is_pair & ~word.are_sources) | (is_count & ~word.is_counted)):
            self._fail(m, Error.SOURCE)
        with m.Elif(is_count & ~word.is_number):
            self._fail(m, Error.COUNT)
        with m.Elif((is_end & steps.is_other) | (is_step & steps.is_full)):
            self._fail(m, Error.STEPS)
        with m.Elif(is_write & (self._is_open | ~word.is_memory)):
            self._fail(m, Error.MEMORY)
        with m.Elif(word.last & ~is_end):
            self._fail(m, Error.LAST)
        with m.Elif(is_write):
            m.d.comb += self._takes.eq(1)
            m.d.sync += self._memory.eq(word.word)
            m.next = "address"
        with m.Else():
            ready = self.output.ready
            m.d.comb += [self.output.valid.eq(1), self.output.payload.kind.eq(kind), self._takes.eq(ready)]
            with m.If(ready):
                m.d.comb += [steps.ends.eq(is_end), steps.counts.eq(is_step)]
                m.d.sync += [self._is_open.eq(~word.last), self.is_inside.eq(~is_end)]

    def _writes(self, m: Module, payload: Any, valid: Any) -> None:
        """The address and the number of words, and the words, put together to words of a memory."""
        word, last, left, chunk = payload.word, payload.last, Signal(32), Signal(8)
        # Registers between the memory's number, its size, and the room behind the address.
        depth, last_chunk, room, is_outside = Signal(32), Signal(8), Signal(signed(33)), Signal()
        m.d.sync += [
            depth.eq(Array(Const(depth, 32) for _, depth in self.memories)[self._memory]),
            last_chunk.eq(Array(Const(count - 1, 8) for count in self.chunks)[self._memory]),
            room.eq(depth - self._address),
            is_outside.eq((room <= 0) | (left > room)),
        ]
        for state, value, after, is_wrong in (
            ("address", self._address, "count", last), ("count", left, "room", last | (word == 0)),
        ):  # fmt: skip
            with m.State(state):
                m.d.comb += self._takes.eq(1)
                with m.If(valid):
                    m.d.sync += [value.eq(word), chunk.eq(0)]
                    m.next = after
                    with m.If(is_wrong):
                        self._fail(m, Error.LAST)
        with m.State("room"):
            m.next = "compare"
        with m.State("compare"):
            m.next = "words"
            with m.If(is_outside):
                self._fail(m, Error.MEMORY, has_word=False)
        with m.State("words"):
            m.d.comb += self._takes.eq(1)
            with m.If(valid):
                is_whole = chunk == last_chunk
                is_over = is_whole & (left == 1)
                m.d.sync += [self._word.word_select(chunk, 32).eq(word), chunk.eq(Mux(is_whole, 0, chunk + 1))]
                m.d.sync += [self._is_whole.eq(is_whole), left.eq(left - is_whole)]
                with m.If(last != is_over):
                    self._fail(m, Error.LAST)
                with m.Elif(is_over):
                    m.next = "packet"


class _Steps:
    """Counts the steps of an inference, and compares the count in the same cycle.

    All possible next counts are compared a cycle before, and only the choice among them is made last.

    Attributes:
        ends, counts: the count is 0, as after a fault, or one more, from the next cycle on.
        is_full: as many as there may be.
        is_other: another number than the one expected.
    """

    def __init__(self, m: Module, most: int, expected: Any, fault: Signal) -> None:
        self.ends, self.counts, self.is_full, self.is_other = Signal(), Signal(), Signal(), Signal()
        now, expects, is_beyond = Signal(range(most + 1), name="steps"), Signal(), Signal()
        bits = len(now)

        def next_of(function: Callable[[Any], Any]) -> Any:
            following = Mux(self.counts, function((now + 1)[:bits]), function(now))
            return Mux(self.ends | fault, function(Const(0, bits)), following)

        m.d.sync += [
            now.eq(next_of(lambda steps: steps)),
            self.is_full.eq(next_of(lambda steps: steps == most)),
            expects.eq(expected != 0),
            is_beyond.eq(expected[bits:].any()),
            self.is_other.eq(next_of(lambda steps: expects & (is_beyond | (steps != expected[:bits])))),
        ]
