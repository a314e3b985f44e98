"""The core as a block for AXI: streams of packets in and out, and registers over AXI4-Lite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Module, Mux, ResetSignal, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from izhi.hardware.core.core import Core
from izhi.hardware.core.decoder import WORD
from izhi.hardware.core.protocol import IDENTITY, VERSION, Control, Register, Status
from izhi.hardware.core.shape import CoreShape, fingerprint

ADDRESS_BITS = 8


class AxiCore(wiring.Component):
    """Core with the ports of an AXI block; their names are those that AXI prescribes.

    Ports:
        aclk, aresetn: clock, and synchronous reset, active low; without ``has_clock`` the block has neither, and
            shares the clock of the design around it.
        s_axis_*: packets in. TKEEP is ignored.
        m_axis_*: packets out; TLAST ends the answer to a packet, TKEEP is always high.
        s_axi_*: registers, see Register. The answer is SLVERR for other addresses, for writes to a read-only register,
            and for writes of less than four bytes.
        is_valid_k, number_k, after_k: states of layer k after each update, with ``shows_states``.
    """

    def __init__(self, shape: CoreShape, *, shows_states: bool = False, has_clock: bool = True) -> None:
        self.shape, self.has_clock = shape, has_clock
        self.core = Core(shape)
        self.states = self.core.states() if shows_states else {}
        super().__init__(
            {
                **({"aclk": In(1), "aresetn": In(1)} if has_clock else {}),
                "s_axis_tdata": In(32), "s_axis_tkeep": In(4), "s_axis_tlast": In(1),
                "s_axis_tvalid": In(1), "s_axis_tready": Out(1),
                "m_axis_tdata": Out(32), "m_axis_tkeep": Out(4), "m_axis_tlast": Out(1),
                "m_axis_tvalid": Out(1), "m_axis_tready": In(1),
                "s_axi_awaddr": In(ADDRESS_BITS), "s_axi_awprot": In(3),
                "s_axi_awvalid": In(1), "s_axi_awready": Out(1),
                "s_axi_wdata": In(32), "s_axi_wstrb": In(4),
                "s_axi_wvalid": In(1), "s_axi_wready": Out(1),
                "s_axi_bresp": Out(2), "s_axi_bvalid": Out(1), "s_axi_bready": In(1),
                "s_axi_araddr": In(ADDRESS_BITS), "s_axi_arprot": In(3),
                "s_axi_arvalid": In(1), "s_axi_arready": Out(1),
                "s_axi_rdata": Out(32), "s_axi_rresp": Out(2),
                "s_axi_rvalid": Out(1), "s_axi_rready": In(1),
                **self.states,
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.has_clock:
            m.domains.sync = ClockDomain()
            m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.core = core = self.core
        m.d.comb += [getattr(self, name).eq(getattr(core, name)) for name in self.states]
        runs, steps, sends, clear, acknowledge = Signal(init=1), Signal(32), Signal(), Signal(), Signal()
        m.d.comb += [core.expected.eq(steps), core.sends_spikes.eq(sends), core.clear.eq(clear)]
        m.d.comb += core.acknowledge.eq(acknowledge)
        # A word of a packet that was written to a register.
        written, has_word = Signal(WORD), Signal()
        with m.If(has_word & core.input.ready | clear):
            m.d.sync += has_word.eq(0)
        self._connect_streams(m, runs, written, has_word)
        self._reads(
            m,
            {
                Register.IDENTITY: Const(IDENTITY, 32),
                Register.VERSION: Const(VERSION, 32),
                Register.CONTROL: Cat(runs, Const(0, 1), sends),
                Register.STATUS: Cat(core.is_busy, core.is_answering, Const(0, Status.ERROR - 2), core.error),
                Register.STEPS: steps,
                Register.FINGERPRINT: Const(fingerprint(self.shape), 32),
                **self._counters(m, clear),
            },
        )
        m.d.sync += [clear.eq(0), acknowledge.eq(0)]
        data = self.s_axi_wdata
        self._writes(m, ~has_word, {
            Register.CONTROL: [
                runs.eq(data[Control.RUN]), clear.eq(data[Control.CLEAR]), sends.eq(data[Control.SENDS_SPIKES]),
                acknowledge.eq(data[Control.ACKNOWLEDGE]),
            ],
            Register.STEPS: [steps.eq(data)],
            Register.WORD: [written.eq(data), has_word.eq(1)],
            Register.LAST_WORD: [written.eq(Cat(data, Const(1, 1))), has_word.eq(1)],
        })  # fmt: skip
        return m

    def _connect_streams(self, m: Module, runs: Signal, written: Any, has_word: Signal) -> None:
        """Connect the streams to the core; a written word precedes those of the stream."""
        core, takes_stream = self.core, runs & ~has_word
        m.d.comb += [
            core.input.payload.word.eq(Mux(has_word, written.word, self.s_axis_tdata)),
            core.input.payload.last.eq(Mux(has_word, written.last, self.s_axis_tlast)),
            core.input.valid.eq(has_word | (takes_stream & self.s_axis_tvalid)),
            self.s_axis_tready.eq(takes_stream & core.input.ready),
            self.m_axis_tdata.eq(core.output.payload.word),
            self.m_axis_tlast.eq(core.output.payload.last),
            self.m_axis_tkeep.eq(0b1111),
            self.m_axis_tvalid.eq(core.output.valid),
            core.output.ready.eq(self.m_axis_tready),
        ]

    def _counters(self, m: Module, clear: Signal) -> dict[Register, Signal]:
        core, counters = self.core, dict[Register, Signal]()
        for register, step in (
            (Register.CYCLES, core.is_busy),
            (Register.EVENTS, core.events),
            (Register.SPIKES, sum(core.spikes)),
            (Register.INFERENCES, core.inferences),
        ):
            counters[register] = counter = Signal(unsigned(32), name=register.name.lower())
            now = Signal(Value.cast(step).shape(), name=f"{register.name.lower()}_now")
            m.d.sync += [now.eq(Mux(clear, 0, step)), counter.eq(Mux(clear, 0, counter + now))]
        return counters

    def _reads(self, m: Module, readable: Mapping[Register, Any]) -> None:
        """Read a value some cycles behind its address, when the core has processed all words accepted before."""
        address, reading = Signal(ADDRESS_BITS), Signal(4)
        m.d.comb += self.s_axi_arready.eq(~reading.any() & ~self.s_axi_rvalid)
        m.d.sync += reading.eq(reading << 1)
        with m.If(self.s_axi_arvalid & self.s_axi_arready):
            m.d.sync += [reading.eq(1), address.eq(self.s_axi_araddr)]
        with m.If(self.s_axi_rvalid & self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        with m.If(reading[-1]):
            m.d.sync += self.s_axi_rvalid.eq(1)
            with m.Switch(address):
                for register, value in readable.items():
                    with m.Case(register):
                        m.d.sync += [self.s_axi_rdata.eq(value), self.s_axi_rresp.eq(0)]
                with m.Default():
                    m.d.sync += [self.s_axi_rdata.eq(0), self.s_axi_rresp.eq(2)]

    def _writes(self, m: Module, has_room: Value, writable: Mapping[Register, Any]) -> None:
        """Accept address and data together, when there is room for a word of a packet; CONTROL, which may clear that
        word, needs no room."""
        can_take = has_room | (self.s_axi_awaddr == Register.CONTROL)
        takes = self.s_axi_awvalid & self.s_axi_wvalid & ~self.s_axi_bvalid & can_take
        m.d.comb += [self.s_axi_awready.eq(takes), self.s_axi_wready.eq(takes)]
        with m.If(self.s_axi_bvalid & self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(takes):
            m.d.sync += [self.s_axi_bvalid.eq(1), self.s_axi_bresp.eq(2)]
            with m.If(self.s_axi_wstrb.all()), m.Switch(self.s_axi_awaddr):
                for register, written in writable.items():
                    with m.Case(register):
                        m.d.sync += [self.s_axi_bresp.eq(0), *written]
