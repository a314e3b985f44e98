"""The registers of the AXI block, in Amaranth's own simulator."""

import numpy as np
import pytest

from networks import random_network, random_spikes

pytest.importorskip("amaranth", reason="the extra 'hardware' is not installed")

from amaranth.sim import Simulator

from izhi import fixed
from izhi.rtl import Error, packets, shape_of
from izhi.rtl.axi import AxiCore, fingerprint
from izhi.rtl.protocol import IDENTITY, Control, Opcode, Register

STEPS = 5
OKAY, SLVERR = 0, 2
RUN, CLEAR, SENDS_SPIKES, ACKNOWLEDGE = (1 << bit for bit in Control)


class Bench:
    """A master of both buses, clock cycle by clock cycle."""

    def __init__(self, dut, ctx):
        self.dut, self.ctx = dut, ctx
        self.words, self.last, self.received = [], [], []
        ctx.set(dut.aresetn, 1)
        ctx.set(dut.m_axis_tready, 1)

    async def cycle(self, count=1):
        dut, ctx = self.dut, self.ctx
        for _ in range(count):
            ctx.set(dut.s_axis_tvalid, bool(self.words))
            if self.words:
                ctx.set(dut.s_axis_tdata, int(self.words[0]))
                ctx.set(dut.s_axis_tlast, int(self.last[0]))
            await ctx.delay(4e-9)
            if self.words and ctx.get(dut.s_axis_tready):
                self.words, self.last = self.words[1:], self.last[1:]
            if ctx.get(dut.m_axis_tvalid):
                self.received.append((ctx.get(dut.m_axis_tdata), ctx.get(dut.m_axis_tlast)))
            ctx.set(dut.aclk, 1)
            await ctx.delay(5e-9)
            ctx.set(dut.aclk, 0)
            await ctx.delay(1e-9)

    async def write(self, address, value, strobe=15):
        dut, ctx = self.dut, self.ctx
        for signal, x in ((dut.s_axi_awaddr, address), (dut.s_axi_wdata, value), (dut.s_axi_wstrb, strobe),
                          (dut.s_axi_awvalid, 1), (dut.s_axi_wvalid, 1), (dut.s_axi_bready, 1)):  # fmt: skip
            ctx.set(signal, x)
        await ctx.delay(0)
        while not ctx.get(dut.s_axi_awready):
            await self.cycle()
        await self.cycle()
        ctx.set(dut.s_axi_awvalid, 0)
        ctx.set(dut.s_axi_wvalid, 0)
        while not ctx.get(dut.s_axi_bvalid):
            await self.cycle()
        answer = ctx.get(dut.s_axi_bresp)
        await self.cycle()
        return answer

    async def read(self, address):
        dut, ctx = self.dut, self.ctx
        ctx.set(dut.s_axi_araddr, address)
        ctx.set(dut.s_axi_arvalid, 1)
        await self.cycle()
        ctx.set(dut.s_axi_arvalid, 0)
        ctx.set(dut.s_axi_rready, 0)
        await self.cycle(2)  # an answer waits for a slow master
        assert ctx.get(dut.s_axi_rvalid)
        value, answer = ctx.get(dut.s_axi_rdata), ctx.get(dut.s_axi_rresp)
        ctx.set(dut.s_axi_rready, 1)
        await self.cycle()
        assert not ctx.get(dut.s_axi_rvalid)
        return value, answer

    async def packet(self, words, last):
        self.words, self.last, self.received = list(words), list(last), []
        while self.words:
            await self.cycle()

    async def scores(self, words, last, count):
        await self.packet(words, last)
        for _ in range(500):
            if self.received and self.received[-1][1]:
                break
            await self.cycle()
        values = np.array([word for word, _ in self.received[-count:]], np.uint32)
        return values.view(np.int32)


def network_and_spikes():
    network = random_network(3, kind="lif", sizes=(5, 4, 3))
    return network, random_spikes(4, STEPS, 1, 5)


def simulate(test):
    network, spikes = network_and_spikes()
    dut = AxiCore(shape_of(network, STEPS, lanes=2, units=1))

    async def process(ctx):
        bench = Bench(dut, ctx)
        for number, words in enumerate(packets.memories(dut.shape, network)):
            packet = packets.write(number, words)
            await bench.packet(packet, [0] * (len(packet) - 1) + [1])
        await test(bench, network, spikes)

    simulator = Simulator(dut)
    simulator.add_testbench(process)
    simulator.run()


def test_identity_and_an_inference():
    async def test(bench, network, spikes):
        shape = bench.dut.shape
        for register, value in (
            (Register.IDENTITY, IDENTITY),
            (Register.VERSION, 1),
            (Register.CONTROL, RUN),
            (Register.STATUS, 0),
            (Register.FINGERPRINT, fingerprint(shape)),
            (Register.INFERENCES, 0),
        ):
            assert await bench.read(register) == (value, OKAY)
        expected = fixed.run(network, spikes)
        packet = packets.inferences(spikes)
        for runs in (1, 2):
            found = await bench.scores(*packet, shape.scores)
            assert np.array_equal(found, expected.scores[0])
            assert (await bench.read(Register.INFERENCES))[0] == runs
        fired = 2 * sum(int(x.sum()) for x in expected.spikes)
        assert (await bench.read(Register.SPIKES))[0] == fired > 0
        assert (await bench.read(Register.EVENTS))[0] == 2 * spikes.sum()
        assert (await bench.read(Register.CYCLES))[0] > 2 * spikes.sum()
        assert await bench.write(Register.CONTROL, RUN | CLEAR | SENDS_SPIKES) == OKAY
        assert await bench.read(Register.CONTROL) == (RUN | SENDS_SPIKES, OKAY)
        assert await bench.read(Register.EVENTS) == (0, OKAY)
        await bench.scores(*packet, shape.scores)
        words = np.array([word for word, _ in bench.received], np.uint32)
        scores, seen = packets.scores_and_spikes(shape, words, STEPS)
        assert np.array_equal(scores, expected.scores[0])
        assert all(np.array_equal(a, b[:, 0]) for a, b in zip(seen, expected.spikes, strict=True))

    simulate(test)


def test_errors_and_what_is_not_there():
    async def test(bench, network, spikes):
        words, last = packets.inferences(spikes)
        expected = fixed.run(network, spikes).scores[0]
        for register in (0x30, 0xFC, 0x02):
            assert (await bench.read(register))[1] == SLVERR
            assert await bench.write(register, 1) == SLVERR
        assert await bench.write(Register.IDENTITY, 1) == SLVERR
        assert await bench.write(Register.STEPS, 7, strobe=0b0011) == SLVERR
        assert await bench.read(Register.STEPS) == (0, OKAY)
        # A packet by registers: a spike of an input that is not there.
        assert await bench.write(Register.LAST_WORD, Opcode.SPIKE << 28 | 99) == OKAY
        assert await bench.read(Register.STATUS) == (Error.SOURCE << 8, OKAY)
        await bench.write(Register.CONTROL, RUN | ACKNOWLEDGE)
        assert await bench.read(Register.STATUS) == (0, OKAY)
        # Another number of steps than is expected.
        await bench.write(Register.STEPS, STEPS + 1)
        await bench.packet(words, last)
        await bench.cycle(50)
        assert bench.received == []
        assert await bench.read(Register.STATUS) == (Error.STEPS << 8, OKAY)
        await bench.write(Register.STEPS, STEPS)
        assert np.array_equal(await bench.scores(words, last, len(expected)), expected)
        # Thrown away in mid-inference, by the register and by reset.
        for _ in range(2):
            await bench.packet(words[:4], last[:4])
            assert (await bench.read(Register.STATUS))[0] & 1
            await bench.write(Register.CONTROL, RUN | CLEAR)
            assert not (await bench.read(Register.STATUS))[0] & 1
            assert np.array_equal(await bench.scores(words, last, len(expected)), expected)
        await bench.packet(words[:4], last[:4])
        bench.ctx.set(bench.dut.aresetn, 0)
        await bench.cycle(2)
        bench.ctx.set(bench.dut.aresetn, 1)
        assert np.array_equal(await bench.scores(words, last, len(expected)), expected)

    simulate(test)


def test_packets_wait_until_the_core_runs():
    async def test(bench, network, spikes):
        words, last = packets.inferences(spikes)
        await bench.write(Register.CONTROL, 0)
        bench.words, bench.last = list(words), list(last)
        await bench.cycle(20)
        assert len(bench.words) == len(words)
        await bench.write(Register.CONTROL, RUN)
        expected = fixed.run(network, spikes).scores[0]
        assert np.array_equal(await bench.scores(bench.words, bench.last, len(expected)), expected)

    simulate(test)
