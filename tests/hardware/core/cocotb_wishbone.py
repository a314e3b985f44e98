"""The Wishbone slave as cocotb runs it, started by test_soc.py: its registers, queues, errors and interrupt."""

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from izhi.hardware import fixed
from izhi.hardware.core import packets, shape_of
from izhi.hardware.core.protocol import IDENTITY, Control, Register
from izhi.hardware.core.shape import fingerprint
from networks import random_network, random_spikes

STEPS = 6
NETWORK = random_network(1, (12, 6, 4))
SHAPE = shape_of(NETWORK, STEPS, lanes=2, units=2, spikes=2)
SPIKES = random_spikes(2, STEPS, 2, 12)
QUEUE, ANSWER, SEND, SEND_LAST = 0x100, 0x104, 0x108, 0x10C
ROOM = 64


class Master:
    """A master of the bus; it fails if a cycle is not ended."""

    def __init__(self, dut):
        self.dut = dut

    @classmethod
    async def start(cls, dut):
        dut.wb_cyc.value = dut.wb_stb.value = dut.wb_we.value = 0
        dut.rst.value = 1
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        for _ in range(4):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        return cls(dut)

    async def cycle(self, address, value=None, select=15):
        """The value that was read, and whether there was no error."""
        dut = self.dut
        dut.wb_cyc.value = dut.wb_stb.value = 1
        dut.wb_adr.value, dut.wb_we.value, dut.wb_sel.value = address >> 2, value is not None, select
        dut.wb_dat_w.value = value or 0
        for _ in range(100):
            await RisingEdge(dut.clk)
            await ReadOnly()
            if dut.wb_ack.value or dut.wb_err.value:
                assert not (dut.wb_ack.value and dut.wb_err.value)
                is_good = bool(dut.wb_ack.value)
                found = int(dut.wb_dat_r.value) if is_good and value is None else None, is_good
                await RisingEdge(dut.clk)
                dut.wb_cyc.value = dut.wb_stb.value = 0
                return found
        raise AssertionError(f"no end of the cycle at 0x{address:X}")

    async def read(self, address):
        value, is_good = await self.cycle(address)
        assert is_good
        return value

    async def write(self, address, value):
        assert (await self.cycle(address, value))[1]

    async def queue(self):
        """Whether a word of an answer waits, whether it is the last, and the room."""
        value = await self.read(QUEUE)
        assert not value & 0xFFFC
        return bool(value & 1), bool(value & 2), value >> 16

    async def send(self, packet):
        for k, word in enumerate(packet.tolist()):
            while (await self.queue())[2] == 0:
                pass
            await self.write(SEND_LAST if k + 1 == len(packet) else SEND, word)

    async def answer(self):
        words, is_over = [], False
        while not is_over:
            waits, is_over, _ = await self.queue()
            if waits:
                assert self.dut.irq.value
                words.append(await self.read(ANSWER))
            else:
                assert not is_over
        return words


@cocotb.test()
async def registers_are_those_of_the_core(dut):
    master = await Master.start(dut)
    assert await master.read(Register.IDENTITY) == IDENTITY
    assert await master.read(Register.FINGERPRINT) == fingerprint(SHAPE)
    await master.write(Register.STEPS, 0x12345678)
    assert await master.read(Register.STEPS) == 0x12345678
    assert await master.read(Register.CONTROL) == 1 << Control.RUN


@cocotb.test()
async def what_cannot_be_done_is_an_error_and_changes_nothing(dut):
    master = await Master.start(dut)
    for address in (0x28, 0x2C, 0x30, 0xFC, 0x110, 0x1FC, ANSWER, SEND, SEND_LAST):
        assert not (await master.cycle(address))[1], hex(address)
    for address in (Register.IDENTITY, Register.CYCLES, Register.WORD, Register.LAST_WORD, QUEUE, ANSWER, 0x110):
        assert not (await master.cycle(address, 1))[1], hex(address)
    for address in (Register.STEPS, SEND, SEND_LAST):
        for select in (0, 1, 3, 14):
            assert not (await master.cycle(address, 77, select))[1], hex(address)
    assert await master.read(Register.STEPS) == 0
    assert await master.queue() == (False, False, ROOM)


@cocotb.test()
async def scores_are_those_of_the_integer_model(dut):
    master = await Master.start(dut)
    for number, words in enumerate(packets.memories(SHAPE, NETWORK)):
        await master.send(packets.write(number, words))
    expected = fixed.run(NETWORK, SPIKES).scores
    for sample, row in enumerate(expected):
        await master.send(packets.inferences(SPIKES[:, sample : sample + 1], 2))
        assert np.array_equal(np.array(await master.answer(), np.uint32).view(np.int32), row)
    assert not dut.irq.value
    assert await master.read(Register.INFERENCES) == 2


@cocotb.test()
async def without_room_a_word_is_refused_and_not_lost(dut):
    master = await Master.start(dut)
    await master.write(Register.CONTROL, 0)  # the core takes no words
    for k in range(ROOM):
        assert (await master.queue())[2] == ROOM - k
        await master.write(SEND, k % 12)
    assert not (await master.cycle(SEND, 5))[1]
    await master.write(Register.CONTROL, 1 << Control.RUN)
    events = 0
    while events < ROOM:
        before, events = events, await master.read(Register.EVENTS)
        assert before <= events <= ROOM
    assert (await master.queue())[2] == ROOM


@cocotb.test()
async def clear_discards_words_that_were_sent(dut):
    master = await Master.start(dut)
    await master.write(Register.CONTROL, 0)
    for _ in range(7):
        await master.write(SEND, 9 << 28)  # no opcode
    await master.write(Register.CONTROL, 1 << Control.RUN | 1 << Control.CLEAR)
    assert (await master.queue())[2] == ROOM
    await master.send(packets.inferences(SPIKES[:, :1], 2))
    assert len(await master.answer()) == SHAPE.scores
    assert not await master.read(Register.STATUS) >> 8
