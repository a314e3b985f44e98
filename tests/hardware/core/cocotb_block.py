"""The block as cocotb runs it, started by test_block.py: bus models of cocotbext-axi are its masters."""

import itertools
import logging
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge, Timer
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from izhi.hardware import fixed
from izhi.hardware.core import Error, packets, shape_of
from izhi.hardware.core.protocol import ABORTED, IDENTITY, Control, Opcode, Register
from izhi.hardware.core.shape import fingerprint
from networks import random_network, random_spikes

STEPS = 6
NETWORK = random_network(1, recurrent=True, readout=True)
SHAPE = shape_of(NETWORK, STEPS, lanes=4, units=2, spikes=2)
SPIKES = random_spikes(2, STEPS, 3, 12)
EXPECTED = fixed.run(NETWORK, SPIKES)
RUN, CLEAR, SENDS_SPIKES, ACKNOWLEDGE = (1 << bit for bit in Control)


class Bench:
    """The block, with a master of each of its buses."""

    def __init__(self, dut):
        self.dut = dut
        clock = {"clock": dut.aclk, "reset": dut.aresetn, "reset_active_level": False}
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), **clock)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **clock)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **clock)
        for bus in (self.registers.write_if, self.registers.read_if, self.source, self.sink):
            bus.log.setLevel(logging.WARNING)

    @classmethod
    async def start(cls, dut):
        dut.aresetn.value = 0
        bench = cls(dut)
        cocotb.start_soon(Clock(dut.aclk, 10, "ns").start())
        for channel, signals in (
            ("m_axis_t", ("data", "last", "keep")),
            ("s_axi_r", ("data", "resp")),
            ("s_axi_b", ("resp",)),
        ):
            cocotb.start_soon(bench.stays_until_it_is_taken(channel, signals))
        await bench.reset()
        for number, words in enumerate(packets.memories(SHAPE, NETWORK)):
            await bench.send(packets.write(number, words))
        return bench

    async def reset(self):
        self.dut.aresetn.value = 0
        await self.cycles(3)
        self.dut.aresetn.value = 1
        await self.cycles(1)

    async def cycles(self, count):
        for _ in range(count):
            await RisingEdge(self.dut.aclk)

    async def stays_until_it_is_taken(self, channel, signals):
        """What is valid stays valid and as it is until the master is ready, as AXI demands."""
        valid, ready = (getattr(self.dut, channel + name) for name in ("valid", "ready"))
        values = [getattr(self.dut, channel + name) for name in signals]
        waiting = None
        while True:
            await RisingEdge(self.dut.aclk)
            await ReadOnly()
            now = [int(x.value) for x in values] if int(valid.value) else None
            if waiting is not None and int(self.dut.aresetn.value):
                assert now == waiting, f"{channel} changed before it was taken"
            # What the next edge takes is what stands here, behind this edge.
            await Timer(9, "ns")
            now = [int(x.value) for x in values] if int(valid.value) else None
            waiting = now if now is not None and not int(ready.value) else None

    async def send(self, words):
        await self.source.send(AxiStreamFrame(np.asarray(words, "<u4").tobytes()))
        await self.source.wait()

    async def receive(self):
        frame = await self.sink.recv()
        return np.frombuffer(bytes(frame.tdata), "<u4")

    async def read(self, register):
        answer = await self.registers.read(int(register), 4)
        return int.from_bytes(answer.data, "little"), answer.resp

    async def write(self, register, value, size=4):
        answer = await self.registers.write(int(register), int(value).to_bytes(4, "little")[:size])
        return answer.resp

    async def check(self, *, sends_spikes=False):
        """An inference of each sample gives what the integer model gives."""
        await self.send(packets.inferences(SPIKES))
        found = packets.outcome(SHAPE, await self.receive(), STEPS, SPIKES.shape[1], sends_spikes)
        assert np.array_equal(found.scores, EXPECTED.scores)
        for a, b in zip(found.spikes, EXPECTED.spikes, strict=False):
            assert np.array_equal(a, b)
        return found


@cocotb.test()
async def registers_and_inferences(dut):
    bench = await Bench.start(dut)
    for register, value in (
        (Register.IDENTITY, IDENTITY),
        (Register.VERSION, 2),
        (Register.CONTROL, RUN),
        (Register.STATUS, 0),
        (Register.FINGERPRINT, fingerprint(SHAPE)),
        (Register.INFERENCES, 0),
    ):
        assert await bench.read(register) == (value, AxiResp.OKAY)
    for runs in (1, 2):
        await bench.check()
        assert (await bench.read(Register.INFERENCES))[0] == 3 * runs
    fired = 2 * sum(int(x.sum()) for x in EXPECTED.spikes)
    assert (await bench.read(Register.SPIKES))[0] == fired > 0
    assert (await bench.read(Register.EVENTS))[0] == 2 * SPIKES.sum()
    assert (await bench.read(Register.CYCLES))[0] > 2 * SPIKES.sum()
    assert await bench.write(Register.CONTROL, RUN | CLEAR | SENDS_SPIKES) == AxiResp.OKAY
    assert await bench.read(Register.CONTROL) == (RUN | SENDS_SPIKES, AxiResp.OKAY)
    assert await bench.read(Register.EVENTS) == (0, AxiResp.OKAY)
    found = await bench.check(sends_spikes=True)
    assert len(found.spikes) == 2


@cocotb.test()
async def random_pauses_of_both_streams_and_registers(dut):
    bench = await Bench.start(dut)
    draw = random.Random(5)
    for share_in, share_out in ((0.5, 0.5), (0, 0.9), (0.9, 0)):
        bench.source.set_pause_generator(draw.random() < share_in for _ in itertools.count())
        bench.sink.set_pause_generator(draw.random() < share_out for _ in itertools.count())
        for channel in (bench.registers.read_if.r_channel, bench.registers.write_if.b_channel):
            channel.set_pause_generator(draw.random() < 0.5 for _ in itertools.count())
        for sends_spikes in (False, True):
            await bench.write(Register.CONTROL, RUN | (SENDS_SPIKES if sends_spikes else 0))
            reading = cocotb.start_soon(bench.read(Register.IDENTITY))
            await bench.check(sends_spikes=sends_spikes)
            assert (await reading)[0] == IDENTITY


@cocotb.test()
async def what_is_not_there(dut):
    bench = await Bench.start(dut)
    for register in (0x30, 0xFC):
        assert (await bench.read(register))[1] == AxiResp.SLVERR
        assert await bench.write(register, 1) == AxiResp.SLVERR
    assert await bench.write(Register.IDENTITY, 1) == AxiResp.SLVERR
    assert await bench.write(Register.STEPS, 7, size=2) == AxiResp.SLVERR
    assert await bench.read(Register.STEPS) == (0, AxiResp.OKAY)
    await bench.check()


@cocotb.test()
async def malformed_packets(dut):
    bench = await Bench.start(dut)
    # A packet by registers: a spike of an input that is not there.
    assert await bench.write(Register.LAST_WORD, Opcode.SPIKE << 28 | 99) == AxiResp.OKAY
    assert (await bench.receive()).tolist() == [ABORTED]
    assert await bench.read(Register.STATUS) == (Error.SOURCE << 8, AxiResp.OKAY)
    await bench.write(Register.CONTROL, RUN | ACKNOWLEDGE)
    assert await bench.read(Register.STATUS) == (0, AxiResp.OKAY)
    # Another number of steps than is expected.
    await bench.write(Register.STEPS, STEPS + 1)
    await bench.send(packets.inferences(SPIKES))
    assert (await bench.receive()).tolist() == [ABORTED]
    assert await bench.read(Register.STATUS) == (Error.STEPS << 8, AxiResp.OKAY)
    await bench.write(Register.STEPS, STEPS)
    await bench.check()


@cocotb.test()
async def thrown_away_in_mid_inference(dut):
    bench = await Bench.start(dut)
    for way in ("clear", "reset"):
        for word in packets.inferences(SPIKES)[:7]:
            await bench.write(Register.WORD, word)
        assert (await bench.read(Register.STATUS))[0] & 1
        if way == "clear":
            await bench.write(Register.CONTROL, RUN | CLEAR)
        else:
            await bench.reset()
        assert not (await bench.read(Register.STATUS))[0] & 1
        await bench.check()


@cocotb.test()
async def packets_wait_until_the_core_runs(dut):
    bench = await Bench.start(dut)
    await bench.write(Register.CONTROL, 0)
    await bench.source.send(AxiStreamFrame(packets.inferences(SPIKES).astype("<u4").tobytes()))
    await bench.cycles(50)
    assert not bench.source.idle()
    assert not int(dut.s_axis_tready.value)
    await bench.write(Register.CONTROL, RUN)
    found = packets.outcome(SHAPE, await bench.receive(), STEPS, 3, False)
    assert np.array_equal(found.scores, EXPECTED.scores)
