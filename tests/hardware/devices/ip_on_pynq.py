"""Runs in PYNQ's own environment, without torch: the driver of the FPGA IP, PYNQ's classes, and four DMAs.

python ip_on_pynq.py FOLDER    with snn.bit, snn.hwh, network.izhi and other.izhi
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import simulated_pynq
from simulated_pynq import (
    ADDRESS,
    CONTROL,
    HALTED,
    IDLE,
    LENGTH,
    RECEIVE,
    SEND,
    STATUS,
    UPPER,
)

from izhi.errors import DeviceError
from izhi.hardware import artifact, devices as board, ip as hls_ip
from izhi.hardware.ip import EmulatedIP, RegisterMap

IP, DMA, SIZE = 0x43C0_0000, 0x4040_0000, 0x1_0000
#: The DMAs of each stream and of the answer, as ip_overlays.hwh wires them.
ORDER, RECEIVER = (2, 0, 3, 1), 1


def _block(name, kind, address, **parameters):
    return {
        "fullpath": name, "type": kind, "phys_addr": address, "addr_range": SIZE,
        "parameters": parameters, "registers": {}, "interrupts": {}, "gpio": {}, "state": None,
        "driver": None, "device": None, "mem_id": None,
    }  # fmt: skip


def overlay():
    """What PYNQ would read from the .hwh."""
    ip_dict = {"snn/snn_izhikevich_0": _block("snn/snn_izhikevich_0", "xilinx.com:hls:snn_izhikevich:1.0", IP)}
    for k in range(4):
        ip_dict[f"axi_dma_{k}"] = _block(
            f"axi_dma_{k}", "xilinx.com:ip:axi_dma:7.1", DMA + k * SIZE,
            c_include_sg="0", c_include_mm2s="1", c_include_s2mm=str(int(k == RECEIVER)),
            c_sg_length_width="14", c_m_axi_mm2s_data_width="64", c_m_axi_s2mm_data_width="64",
            c_micro_dma="0", c_include_mm2s_dre="0", c_include_s2mm_dre="0",
        )  # fmt: skip
    hierarchy = {
        "ip": {"snn_izhikevich_0": ip_dict["snn/snn_izhikevich_0"]}, "hierarchies": {}, "interrupts": {},
        "gpio": {}, "memories": {}, "fullpath": "snn", "device": None, "overlay": None, "driver": None,
    }  # fmt: skip
    empty = ("mem_dict", "gpio_dict", "interrupt_pins", "interrupt_controllers")
    return SimpleNamespace(
        ip_dict=ip_dict, hierarchy_dict={"snn": hierarchy}, systemgraph=None, clock_dict={},
        **{name: {} for name in empty},
    )  # fmt: skip


class IPSimulated(simulated_pynq.SimulatedDevice):
    """Buses, memory and four DMAs around the emulated IP."""

    def __init__(self):
        registers = RegisterMap(0, 16, 28, 36, 44, 52, 128, 192)
        super().__init__(EmulatedIP(registers=registers))
        self.registers = {DMA + k * SIZE + c + STATUS: HALTED for k in range(4) for c in (SEND, RECEIVE)}
        self.due = {}

    def get_bitfile_metadata(self, bitfile_name):
        return overlay()

    def download(self, bitstream, parser=None):
        self.post_download(bitstream, parser)

    def read_registers(self, address, length):
        value = self.core.read(address - IP) if address >= IP else self.registers.get(address, 0)
        return value.to_bytes(4, "little")

    def write_registers(self, address, data):
        value = int.from_bytes(bytes(data)[:4], "little")
        if address >= IP:
            self.core.write(address - IP, value)
            return
        self.registers[address] = value
        base = address - (address - DMA) % SIZE
        for channel in (SEND, RECEIVE):
            offset = address - base - channel
            if offset == CONTROL:
                self.registers[base + channel + STATUS] = 0 if value & 1 else HALTED
                self.due.pop(base + channel, None)
            elif offset == LENGTH:
                assert value < 1 << 14
                self.registers[base + channel + STATUS] &= ~IDLE
                self.due[base + channel] = value
        if len(self.due) == 5 and not self.is_stuck:
            self._transfer()

    def _memory_of(self, at):
        address = self.registers[at + ADDRESS] | self.registers[at + UPPER] << 32
        start = max(a for a in self.memory if a <= address)
        return self.memory[start][address - start : address - start + self.due[at]].view("<u8")

    def _transfer(self):
        sent = np.array([self._memory_of(DMA + k * SIZE + SEND) for k in ORDER])
        receiver = DMA + RECEIVER * SIZE + RECEIVE
        room = self._memory_of(receiver)
        answer = self.core.exchange(sent, len(room))
        room[: len(answer)] = answer
        self.registers[receiver + LENGTH] = 8 * len(answer)
        for at in self.due:
            self.registers[at + STATUS] |= IDLE
        self.due = {}


def main(folder):
    assert "torch" not in sys.modules
    pynq = IPSimulated()
    first, other = (artifact.load(folder / f"{name}.izhi") for name in ("network", "other"))
    device = board.open("hls-ip", first, folder=folder, pynq_device=pynq)
    for found in (first, other, first):
        device.load(found)
        x = np.random.default_rng(1).random((4, found.network.inputs), np.float32)
        for sends_spikes in (False, True):
            outcome, expected = (
                device.run(x, sends_spikes=sends_spikes),
                hls_ip.run(found.network, x),
            )
            assert np.array_equal(outcome.scores, expected.scores)
            pairs = zip(outcome.spikes, expected.spikes, strict=False)
            assert all(np.array_equal(a, b) for a, b in pairs)
    device.block.patience, pynq.is_stuck = 0.05, True
    found = ""
    try:
        device.run(x)
    except DeviceError as error:
        found = str(error)
    assert "the IP did not take the network within 0.05 s" in found
    device.close()
    print("equal:", len(x), "samples")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
