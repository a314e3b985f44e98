"""A PYNQ device that is not there: its registers, memory and DMA are those of a simulated core."""

import ctypes
from pathlib import Path

import numpy as np
from handoff import ADDRESSES
from pynq.buffer import PynqBuffer
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata

from izhi.hardware.core.protocol import Register, Status

CORE, DMA = ADDRESSES["xcup"]
#: AXI DMA's registers: control, status, address, its upper half and length of each channel (AMD PG021).
SEND, RECEIVE = 0x00, 0x30
CONTROL, STATUS, ADDRESS, UPPER, LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
HALTED, IDLE, RESET = 1, 2, 4


def overlay(bitstream):
    """What PYNQ reads from the .hwh beside a bitstream."""
    found = RuntimeMetadataParser(Metadata(input=Path(bitstream).with_suffix(".hwh")))
    found.clock_dict = {}  # no clock can be set here
    return found


class SimulatedDevice(Device):
    """Buses, memory and DMA around a simulated core.

    Memory is seen by DMA only after it was flushed, and what DMA wrote is seen by the processor only after
    it was invalidated, as with the caches of a board.
    """

    _probe_priority_ = 999

    def __init__(self, core):
        super().__init__("simulated")
        self.core, self.capabilities = core, {"REGISTER_RW": True}
        self.resets = 0
        self.registers = {DMA + SEND + STATUS: HALTED, DMA + RECEIVE + STATUS: HALTED}
        self.memory, self.next_address = {}, 0x1000_0000
        self.downloaded = []
        self.is_stuck = self.receives = False

    @classmethod
    def _probe_(cls):
        return []

    # What Overlay asks for.

    def get_bitfile_metadata(self, bitfile_name):
        return overlay(bitfile_name)

    def download(self, bitstream, parser=None):
        self.downloaded.append(bitstream.bitfile_name)
        self.core.reset()
        self.post_download(bitstream, parser)

    # Memory.

    def allocate(self, shape, dtype, **kwargs):
        buffer = PynqBuffer(shape, dtype, device_address=self.next_address, device=self, bo=self.next_address)
        self.memory[self.next_address] = np.zeros(buffer.nbytes, np.uint8)
        self.next_address += (buffer.nbytes + 0xFFF) & ~0xFFF
        return buffer

    def flush(self, bo, offset, address, size):
        ctypes.memmove(self.memory[bo].ctypes.data + offset, address, size)

    def invalidate(self, bo, offset, address, size):
        ctypes.memmove(address, self.memory[bo].ctypes.data + offset, size)

    # Registers.

    def read_registers(self, address, length):
        if address < DMA:
            return self.core.read(address - CORE).to_bytes(4, "little")
        return self.registers.get(address, 0).to_bytes(4, "little")

    def write_registers(self, address, data):
        value = int.from_bytes(bytes(data)[:4], "little")
        if address < DMA:
            self.core.write(address - CORE, value)
            return
        if address == DMA + CONTROL and value & RESET:
            self._reset()
            return
        self.registers[address] = value
        for channel in (SEND, RECEIVE):
            offset = address - DMA - channel
            status = DMA + channel + STATUS
            if offset == CONTROL:
                self.registers[status] = 0 if value & 1 else HALTED
                self.receives &= channel != RECEIVE
            elif offset == LENGTH:
                self.registers[status] &= ~IDLE
                self.receives |= channel == RECEIVE
                if channel == SEND and not self.is_stuck:
                    self._transfer()
                elif channel == RECEIVE and self.core.read(Register.STATUS) >> Status.ANSWERING & 1:
                    self._receive(self.core.receive(len(self._words(RECEIVE))))

    def _reset(self):
        """Both channels, as a reset of either does."""
        self.resets += 1
        self.receives = False
        for channel in (SEND, RECEIVE):
            self.registers.update({DMA + channel + CONTROL: 0, DMA + channel + STATUS: HALTED})

    def _words(self, channel):
        """The words of memory that a channel was given."""
        at = self.registers[DMA + channel + ADDRESS] | self.registers[DMA + channel + UPPER] << 32
        start = max(a for a in self.memory if a <= at)
        size = self.registers[DMA + channel + LENGTH]
        return self.memory[start][at - start : at - start + size].view("<u4")

    def _transfer(self):
        """What was to be sent goes through the core, and into memory if the other channel waits."""
        if self.receives:
            self._receive(self.core.exchange(self._words(SEND), len(self._words(RECEIVE))))
        else:
            self.core.send(self._words(SEND))
        self.registers[DMA + SEND + STATUS] |= IDLE

    def _receive(self, found):
        """Words that came go into memory."""
        self.receives = False
        self._words(RECEIVE)[: len(found)] = found
        self.registers[DMA + RECEIVE + LENGTH] = 4 * len(found)
        self.registers[DMA + RECEIVE + STATUS] |= IDLE
