"""Proofs of the core and of its block for AXI: what goes in comes out, each answer ends where it should.

In place of layers stands one that hands events on, with pauses wherever it likes; in place of the core, for the block,
one that hands words on. Each proof holds for whatever comes in and pauses anywhere, for as many cycles as it says.
"""

import gc
import warnings

import pytest

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from amaranth.hdl import Assert, Assume, Cat, Module as Design, Mux, Signal, UnusedElaboratable
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from proofs import Numbered, for_cycles, offered, prove, steady

from izhi.hardware.core import shape_of
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.core import STATES, Core
from izhi.hardware.core.decoder import WORD
from izhi.hardware.core.events import events
from izhi.hardware.core.memories import loading
from izhi.hardware.core.protocol import ABORTED, Opcode, Register
from networks import random_network

pytestmark = pytest.mark.slow

STEPS = 2
SHAPE = shape_of(random_network(0, kind="lif", sizes=(2, 1)), STEPS, lanes=1, units=1)


@pytest.fixture(autouse=True)
def replaced_parts():
    """They become part of no design, which Amaranth warns of when they go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        yield
        gc.collect()


class HandsOn(wiring.Component):
    """In place of a layer: its events, as those of a layer with a single neuron, whenever ``pauses`` is low."""

    def __init__(self, layer):
        self.shape, self.pauses = layer.shape, Signal()
        memories = {name: In(loading(*memory)) for name, memory in self.shape.memories}
        states = {name: Out(getattr(layer, name).shape()) for name in STATES}
        ports = {"input": In(events(self.shape.inputs)), "output": Out(events(self.shape.outputs)), "spikes": Out(1)}
        super().__init__({**ports, **memories, **states})

    def elaborate(self, platform):
        m, is_held, held = Design(), Signal(), Signal.like(self.output.payload)
        goes = self.output.valid & self.output.ready
        shows = Signal()  # what is offered stays so
        m.d.comb += [
            self.input.ready.eq(~is_held | goes),
            self.output.payload.eq(held),
            self.output.valid.eq(is_held & (shows | ~self.pauses)),
        ]
        m.d.sync += shows.eq(self.output.valid & ~goes)
        with m.If(self.input.ready):
            m.d.sync += [is_held.eq(self.input.valid), held.kind.eq(self.input.payload.kind)]
        return m


class Answers(wiring.Component):
    """A core beside a reading of registers.md, which knows the answer to each word as it comes.

    Args:
        sends_spikes: events come out before scores, and packets are those that the map allows; otherwise they may be
            malformed.
    """

    def __init__(self, sends_spikes):
        self.sends_spikes, self.core = sends_spikes, Core(SHAPE)
        self.core.layers = [HandsOn(self.core.layers[0])]
        ports = {"input": In(stream.Signature(WORD)), "output": Out(stream.Signature(WORD))}
        super().__init__({**ports, "pauses": In(1), "chosen": In(4)})

    def elaborate(self, platform):
        m = Design()
        m.submodules.core = core = self.core
        wiring.connect(m, wiring.flipped(self.input), core.input)
        wiring.connect(m, core.output, wiring.flipped(self.output))
        m.d.comb += [
            core.layers[0].pauses.eq(self.pauses), core.sends_spikes.eq(self.sends_spikes),
        ]  # fmt: skip
        steady(m, self.chosen)
        offered(m, self.output)
        tapped, answer = Numbered(m, "tapped", self.chosen, 2), Numbered(m, "answer", self.chosen, 33 + 6)
        out, comes = self.output.payload, self.output.valid & self.output.ready
        # Behind the event of an end stands a score.
        ended, is_end = Signal(), out.word == Opcode.END << 28
        is_event = ~ended & int(self.sends_spikes)
        with m.If(comes):
            m.d.sync += ended.eq(is_event & is_end)
        self._read(m, tapped, answer)
        tapped.comes(comes & is_event, out.word[28:30])
        answer.comes(comes & ~is_event, Cat(out.word, out.last, tapped.come))
        with m.If(comes & is_event):
            m.d.comb += Assert(~out.last & (out.word[:28] == 0) & (out.word[30:] == 0))
        # Without pauses, and with nothing more to come in, something comes some cycles later until all has come.
        with m.If(for_cycles(m, ~self.input.valid & self.output.ready & ~self.pauses & ~comes, 14)):
            m.d.comb += [Assert(tapped.sent == tapped.come), Assert(answer.sent == answer.come)]
        return m

    def _read(self, m, tapped, answer):
        word, last = self.input.payload.word, self.input.payload.last
        came, opcode = self.input.valid & self.input.ready, word[28:]
        is_open, drains, steps, fired = Signal(), Signal(), Signal(2), Signal(4)
        is_step, is_end, is_spike = (opcode == kind for kind in (Opcode.STEP, Opcode.END, Opcode.SPIKE))
        is_fault = ~drains & (
            ~(is_step | is_end | is_spike) | (is_spike & (word[:24] >= 2)) | (is_step & (steps == STEPS))
            | (last & ~is_end)
        )  # fmt: skip
        begins_write = ~drains & ~is_open & (opcode == Opcode.WRITE)
        with m.If(self.input.valid):  # which nothing answers
            m.d.comb += Assume(~begins_write)
            if self.sends_spikes:
                m.d.comb += Assume(~is_fault)
        is_event = came & ~drains & ~is_fault
        tapped.sends(is_event & self.sends_spikes, opcode[:2])
        score = Mux(is_fault, ABORTED, fired)
        ends = is_event & is_end
        answer.sends(ends | (came & is_fault), Cat(score[:32], last | is_fault, (tapped.sent + self.sends_spikes)[:6]))
        with m.If(came & is_fault):
            m.d.sync += [drains.eq(~last), is_open.eq(0), steps.eq(0), fired.eq(0)]
        with m.Elif(came & drains):
            m.d.sync += drains.eq(~last)
        with m.Elif(ends):
            m.d.sync += [is_open.eq(~last), steps.eq(0), fired.eq(0)]
        with m.Elif(is_event):
            m.d.sync += [is_open.eq(1), steps.eq(steps + is_step), fired.eq(fired + is_spike)]


@pytest.mark.parametrize("cycles", [13, pytest.param(18, marks=pytest.mark.long)])
@pytest.mark.parametrize("sends_spikes", [False, True])
def test_each_packet_has_its_answer_which_ends_where_it_should(sends_spikes, cycles):
    prove(Answers(sends_spikes), cycles)


class Echo(wiring.Component):
    """In place of a core: its words, one at a time, whenever ``pauses`` is low.

    Args:
        forgets: it takes a word in each cycle, also where nobody took the one before.
    """

    def __init__(self, core, forgets):
        self.forgets, self.pauses = forgets, Signal()
        super().__init__(dict(core.signature.members))

    def elaborate(self, platform):
        m, is_held, held = Design(), Signal(), Signal(WORD)
        shows = Signal()
        goes = self.output.valid & self.output.ready
        m.d.comb += [
            self.input.ready.eq(~is_held | goes | self.forgets),
            self.output.payload.eq(held),
            self.output.valid.eq(is_held & (shows | ~self.pauses)),
        ]
        m.d.sync += shows.eq(self.output.valid & ~goes)
        with m.If(self.input.ready):
            m.d.sync += [is_held.eq(self.input.valid), held.eq(self.input.payload)]
        return m


class Bus(wiring.Component):
    """The block's streams and registers around a core that hands its words on.

    Words of the stream and those written to registers come out once, in the order in which they were taken; each write
    and each read is answered once, and an answer stays until it is taken.
    """

    def __init__(self, forgets=False):
        self.block = AxiCore(SHAPE, has_clock=False)
        self.block.core = Echo(self.block.core, forgets)
        self.free = {name: member.shape for name, member in self.block.signature.members.items() if member.flow == In}
        super().__init__({name: In(shape) for name, shape in self.free.items()} | {"pauses": In(1), "chosen": In(4)})

    def elaborate(self, platform):
        m = Design()
        m.submodules.block = b = self.block
        m.d.comb += [getattr(b, name).eq(getattr(self, name)) for name in self.free]
        m.d.comb += b.core.pauses.eq(self.pauses)
        steady(m, self.chosen)
        for channel, payload in {
            "s_axis_t": ("data", "last"), "s_axi_aw": ("addr",), "s_axi_w": ("data", "strb"), "s_axi_ar": ("addr",),
        }.items():  # fmt: skip
            self._held(m, channel, payload, Assume)
        for channel, payload in {
            "m_axis_t": ("data", "last"),
            "s_axi_b": ("resp",),
            "s_axi_r": ("data", "resp"),
        }.items():
            self._held(m, channel, payload, Assert)
        self._words(m)
        self._answers(m)
        return m

    def _held(self, m, channel, payload, rule):
        """What a channel offers stays until it is taken."""
        b = self.block
        waits, before = Signal(name=f"{channel}_waits"), []
        is_offered = getattr(b, f"{channel}valid")
        m.d.sync += waits.eq(is_offered & ~getattr(b, f"{channel}ready"))
        for name in payload:
            value = getattr(b, channel + name)
            was = Signal.like(value, name=f"{channel}{name}_before")
            m.d.sync += was.eq(value)
            before.append(value == was)
        with m.If(waits):
            m.d.comb += rule(is_offered & Cat(*before).all())

    def _words(self, m):
        b, words = self.block, Numbered(m, "words", self.chosen, 33)
        by_stream = b.s_axis_tvalid & b.s_axis_tready
        is_word = (b.s_axi_awaddr == Register.WORD) | (b.s_axi_awaddr == Register.LAST_WORD)
        by_register = b.s_axi_awvalid & b.s_axi_awready & is_word & b.s_axi_wstrb.all()
        clears = b.s_axi_awvalid & (b.s_axi_awaddr == Register.CONTROL) & b.s_axi_wdata[1]
        m.d.comb += Assume(~clears)
        # A word by register goes behind one of the stream that is taken in the same cycle, and before all others.
        written, word = Signal(), Signal(33)
        m.d.sync += [written.eq(by_register), word.eq(Cat(b.s_axi_wdata, b.s_axi_awaddr == Register.LAST_WORD))]
        m.d.comb += Assert(~(by_stream & written))
        words.sends(by_stream | written, Mux(written, word, Cat(b.s_axis_tdata, b.s_axis_tlast)))
        words.comes(b.m_axis_tvalid & b.m_axis_tready, Cat(b.m_axis_tdata, b.m_axis_tlast))
        m.d.comb += Assert(b.m_axis_tkeep.all())
        with m.If(for_cycles(m, ~by_stream & ~written & b.m_axis_tready & ~self.pauses, 4)):
            m.d.comb += Assert(words.sent == words.come)

    def _answers(self, m):
        b = self.block
        for taken, answered in (
            (b.s_axi_awvalid & b.s_axi_awready, b.s_axi_bvalid & b.s_axi_bready),
            (b.s_axi_arvalid & b.s_axi_arready, b.s_axi_rvalid & b.s_axi_rready),
        ):
            owed = Signal(2)
            m.d.sync += owed.eq(owed + taken - answered)
            m.d.comb += [Assert(owed + taken <= 1 + answered), Assert(~answered | (owed != 0))]
        m.d.comb += Assert((b.s_axi_awvalid & b.s_axi_awready) == (b.s_axi_wvalid & b.s_axi_wready))
        # No word that waits keeps CONTROL, or a read, from its answer.
        asks_control = b.s_axi_awvalid & b.s_axi_wvalid & (b.s_axi_awaddr == Register.CONTROL) & b.s_axi_bready
        taken = b.s_axi_awvalid & b.s_axi_awready
        with m.If(for_cycles(m, asks_control & ~taken, 3)):
            m.d.comb += Assert(taken)
        asks, read = b.s_axi_arvalid & b.s_axi_rready, b.s_axi_arvalid & b.s_axi_arready
        with m.If(for_cycles(m, asks & ~read, 8)):
            m.d.comb += Assert(read)


@pytest.mark.parametrize("cycles", [10, pytest.param(14, marks=pytest.mark.long)])
def test_words_go_once_through_the_block_and_every_access_is_answered(cycles):
    prove(Bus(), cycles)


def test_a_core_that_forgets_words_is_caught():
    with pytest.raises(AssertionError, match="model found for base case: FAIL"):
        prove(Bus(forgets=True), 5)
