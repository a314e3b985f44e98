"""Proofs: no word of a stream is lost or made twice, and packets are what the map of registers says of them.

Each holds for whatever comes in, with pauses anywhere, as long as it says: in so many cycles from the reset.
"""

import pytest

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from amaranth.hdl import Assert, Assume, Cat, Const, Module as Design, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from proofs import Numbered, for_cycles, offered, prove, steady

from izhi.hardware.core.buffers import Queue, SkidBuffer
from izhi.hardware.core.decoder import WORD, Decoder
from izhi.hardware.core.events import EventKind
from izhi.hardware.core.memories import ECP5
from izhi.hardware.core.pipeline import Multiplier
from izhi.hardware.core.protocol import Error, Opcode

pytestmark = pytest.mark.slow


class InOrder(wiring.Component):
    """What goes into a part comes out: all of it, once, in order, and stays until it is taken."""

    def __init__(self, part, latency):
        self.part, self.latency = part, latency
        super().__init__(
            {"input": In(stream.Signature(2)), "output": Out(stream.Signature(2)), "chosen": In(6)}
        )  # fmt: skip

    def elaborate(self, platform):
        m = Design()
        m.submodules.part = part = self.part
        wiring.connect(m, wiring.flipped(self.input), part.input)
        wiring.connect(m, part.output, wiring.flipped(self.output))
        steady(m, self.chosen)
        items = Numbered(m, "items", self.chosen, 2)
        items.sends(self.input.valid & self.input.ready, self.input.payload)
        items.comes(self.output.valid & self.output.ready, self.output.payload)
        offered(m, self.output)
        with m.If(for_cycles(m, ~self.input.valid & self.output.ready, self.latency)):
            m.d.comb += Assert(items.sent == items.come)
        return m


@pytest.mark.parametrize(
    ("part", "latency", "cycles"), [(SkidBuffer(2), 3, 12), (Queue(2, 3), 10, 16)], ids=["relay", "queue"]
)
def test_no_item_is_lost_or_made_twice(part, latency, cycles):
    prove(InOrder(part, latency), cycles)


class Forgetful(wiring.Component):
    """A relay that takes an item in each cycle, also where nobody took the one before."""

    def __init__(self):
        super().__init__({"input": In(stream.Signature(2)), "output": Out(stream.Signature(2))})

    def elaborate(self, platform):
        m = Design()
        m.d.comb += self.input.ready.eq(1)
        m.d.sync += [self.output.valid.eq(self.input.valid), self.output.payload.eq(self.input.payload)]
        return m


def test_a_relay_that_forgets_is_caught():
    with pytest.raises(AssertionError, match="model found for base case: FAIL"):
        prove(InOrder(Forgetful(), 3), 4)


INPUTS, STEPS, MEMORIES, TIMES = 3, 2, [(8, 3), (40, 2)], 2


class AsTheMapSays(wiring.Component):
    """The decoder, which takes pairs and counts, beside a reading of registers.md, which takes each word as it comes.

    What the decoder makes of words, in their order: events, words for memories, and faults.
    """

    def __init__(self):
        self.decoder = Decoder(INPUTS, STEPS, MEMORIES, 2, TIMES)
        ports = {"input": In(stream.Signature(WORD)), "ready": In(1), "holds": In(1)}
        super().__init__({**ports, "expected": In(2), "chosen": In(4)})

    def elaborate(self, platform):
        m = Design()
        m.submodules.decoder = decoder = self.decoder
        wiring.connect(m, wiring.flipped(self.input), decoder.input)
        out = decoder.output
        m.d.comb += [out.ready.eq(self.ready), decoder.holds.eq(self.holds), decoder.expected.eq(self.expected)]
        steady(m, self.chosen)
        steady(m, self.expected)
        event, write, fault = (
            Numbered(m, name, self.chosen, width) for name, width in (("event", 8), ("write", 48), ("fault", 4))
        )
        came = self.input.valid & self.input.ready
        with m.If(~for_cycles(m, Const(1), 3)):  # what is expected is known some cycles before the first word
            m.d.comb += Assume(~self.input.valid)
        self._read(m, came, event, write, fault)
        offered(m, out)
        waits, held = Signal(), Signal()
        m.d.sync += [waits.eq(out.valid & ~out.ready), held.eq(self.holds)]
        with m.If(waits & ~held):  # the core holds words back behind an end and a fault, when nothing is offered
            m.d.comb += Assume(~self.holds)
        said_other = Mux(out.payload.kind == EventKind.PAIR, out.payload.other, 0)
        event.comes(out.valid & out.ready, Cat(out.payload.kind, out.payload.source, said_other, out.payload.times))
        for number in range(len(MEMORIES)):
            with m.If(decoder.enable[number]):
                m.d.comb += Assert(decoder.enable == 1 << number)
        held = Mux(decoder.enable[1], decoder.word[:40], decoder.word[:8])
        write.comes(decoder.enable.any(), Cat(held, decoder.address[:4], decoder.enable[1]))
        # The error is there in the cycle behind the fault.
        was_fault, aborted = Signal(), Signal()
        m.d.sync += [was_fault.eq(decoder.fault), aborted.eq(decoder.aborts)]
        fault.comes(was_fault, Cat(decoder.error, aborted))
        with m.If(for_cycles(m, ~self.input.valid & self.ready & ~self.holds, 6)):
            for items in (event, write, fault):
                m.d.comb += Assert(items.sent == items.come)
        return m

    def _read(self, m, came, event, write, fault):
        word, last = self.input.payload.word, self.input.payload.last
        opcode, state, is_open, steps = word[28:], Signal(3), Signal(), Signal(3)
        memory, address, count, chunk, low = Signal(), Signal(32), Signal(4), Signal(), Signal(32)
        depth = Mux(memory, MEMORIES[1][1], MEMORIES[0][1])
        is_whole = ~memory | chunk
        reason, aborts = Signal(Error), Signal()
        begins, addresses, counts, words, drains = range(5)
        is_event = opcode <= Opcode.COUNT
        is_pair, other = opcode == Opcode.PAIR, word[14:28]
        is_count, times = opcode == Opcode.COUNT, word[20:28]
        with m.Switch(state):
            with m.Case(begins):
                m.d.comb += aborts.eq((opcode != Opcode.WRITE) | is_open)
                with m.If(~is_event & (opcode != Opcode.WRITE)):
                    m.d.comb += reason.eq(Error.OPCODE)
                with m.Elif((opcode == Opcode.SPIKE) & (word[:24] >= INPUTS)):
                    m.d.comb += reason.eq(Error.SOURCE)
                with m.Elif(is_pair & ((word[:14] >= INPUTS) | (other >= INPUTS))):
                    m.d.comb += reason.eq(Error.SOURCE)
                with m.Elif(is_count & (word[:20] >= INPUTS)):
                    m.d.comb += reason.eq(Error.SOURCE)
                with m.Elif(is_count & ((times == 0) | (times > TIMES))):
                    m.d.comb += reason.eq(Error.COUNT)
                with m.Elif((opcode == Opcode.STEP) & (steps == STEPS)):
                    m.d.comb += reason.eq(Error.STEPS)
                with m.Elif((opcode == Opcode.END) & (self.expected != 0) & (steps != self.expected)):
                    m.d.comb += reason.eq(Error.STEPS)
                with m.Elif((opcode == Opcode.WRITE) & (is_open | (word[:8] >= len(MEMORIES)))):
                    m.d.comb += reason.eq(Error.MEMORY)
                with m.Elif(last & (opcode != Opcode.END)):
                    m.d.comb += reason.eq(Error.LAST)
            with m.Case(addresses), m.If(last):
                m.d.comb += reason.eq(Error.LAST)
            with m.Case(counts):
                with m.If(last | (word == 0)):
                    m.d.comb += reason.eq(Error.LAST)
                with m.Elif(address + word > depth):
                    m.d.comb += reason.eq(Error.MEMORY)
            with m.Case(words), m.If(last != (is_whole & (count == 1))):
                m.d.comb += reason.eq(Error.LAST)
        is_fault = came & (reason != Error.NONE)
        goes_on = came & (reason == Error.NONE)
        fault.sends(is_fault, Cat(reason, aborts))
        said = Mux(is_pair, other[:2], 0)
        said_times = Mux(is_count, times[:2], 1)
        event.sends(goes_on & (state == begins) & is_event, Cat(opcode[:2], word[:2], said, said_times))
        # The word at hand is written also where the packet does not end as it should.
        held = Mux(memory, Cat(low, word[:8]), word[:8])
        write.sends(came & (state == words) & is_whole, Cat(held[:40], address[:4], memory))
        with m.If(came & (state == words)):
            m.d.sync += [low.eq(word), chunk.eq(~is_whole), address.eq(address + is_whole), count.eq(count - is_whole)]
        with m.If(is_fault):
            m.d.sync += [state.eq(Mux(last, begins, drains)), is_open.eq(0), steps.eq(0)]
        with m.Elif(goes_on), m.Switch(state):
            with m.Case(begins):
                with m.If(is_event):
                    m.d.sync += is_open.eq(~last)
                    m.d.sync += steps.eq(Mux(opcode == Opcode.END, 0, steps + (opcode == Opcode.STEP)))
                with m.Else():
                    m.d.sync += [state.eq(addresses), memory.eq(word[0])]
            with m.Case(addresses):
                m.d.sync += [state.eq(counts), address.eq(word)]
            with m.Case(counts):
                m.d.sync += [state.eq(words), count.eq(word), chunk.eq(0)]
            with m.Case(words), m.If(last):
                m.d.sync += state.eq(begins)
            with m.Case(drains), m.If(last):
                m.d.sync += state.eq(begins)


@pytest.mark.parametrize("cycles", [11, pytest.param(14, marks=pytest.mark.long)])
def test_the_decoder_makes_of_packets_what_the_map_of_registers_says(cycles):
    prove(AsTheMapSays(), cycles)


#: MULT18X18D as Lattice's FPGA-TN-02205 describes it, as far as it is used: a register behind the product alone.
MULT18X18D = f"""
module MULT18X18D #(
  parameter REG_OUTPUT_CLK = "NONE", parameter REG_OUTPUT_CE = "CE0", parameter REG_OUTPUT_RST = "RST0"
) (
  {", ".join(f"input {name}{k}" for name in "ABC" for k in range(18))},
  input CLK0, CE0, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  {", ".join(f"output P{k}" for k in range(36))}
);
  wire signed [17:0] a = {{{", ".join(f"A{k}" for k in reversed(range(18)))}}};
  wire signed [17:0] b = {{{", ".join(f"B{k}" for k in reversed(range(18)))}}};
  reg signed [35:0] p;
  wire is_used_so = REG_OUTPUT_CLK == "CLK0" && SIGNEDA && SIGNEDB && !SOURCEA && !SOURCEB && !RST0;
  always @(posedge CLK0) if (CE0 && is_used_so) p <= a * b;
  assign {{{", ".join(f"P{k}" for k in reversed(range(36)))}}} = p;
endmodule
"""


class ACycleLater(wiring.Component):
    """A product is that of the factors when it last moved."""

    def __init__(self, a, b):
        self.multiplier = Multiplier(a, b)
        super().__init__({"a": In(signed(a)), "b": In(signed(b)), "moves": In(1)})

    def elaborate(self, platform):
        m = Design()
        m.submodules.multiplier = found = self.multiplier
        expected = Signal(found.product.shape())
        with m.If(self.moves):
            m.d.sync += expected.eq(self.a * self.b)
        m.d.comb += [found.a.eq(self.a), found.b.eq(self.b), found.moves.eq(self.moves)]
        m.d.comb += Assert(found.product == expected)
        return m


@pytest.mark.parametrize("device", [None, ECP5])
def test_products_of_every_device_are_products(device):
    prove(ACycleLater(4, 3), 4, device=device, models=MULT18X18D)
    with pytest.raises(ValueError, match="factors have 19 and 3 bits, expected at most 18"):
        Multiplier(19, 3)
