"""Checks izhi.v under cocotb against the integer model, with random pauses of both streams; a start for tests of yours.

    pip install "cocotb>=2"
    python izhi_cocotb.py                   # in Icarus Verilog
    SIM=verilator python izhi_cocotb.py

It sends the packets of izhi_tb_in.hex and compares the answer with izhi_tb_out.hex; registers.md explains their words.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

HERE = Path(__file__).parent
#: The bit of TLAST in a word of izhi_tb_in.hex.
LAST = 1 << 32


def words(name: str) -> list[int]:
    """The words of a file."""
    return [int(word, 16) for word in (HERE / name).read_text().split()]


async def start(dut: Any) -> None:
    """Start the clock, and reset the core."""
    for port in ("s_axis_tvalid", "m_axis_tready", "s_axi_awvalid", "s_axi_wvalid", "s_axi_arvalid", "aresetn"):
        getattr(dut, port).value = 0
    dut.s_axi_bready.value = dut.s_axi_rready.value = 1
    Clock(dut.aclk, 10, unit="ns").start()
    for _ in range(4):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1


async def until(dut: Any, port: Any) -> None:
    """Wait for the cycle in which a port is high."""
    await ReadOnly()
    while not port.value:
        await RisingEdge(dut.aclk)
        await ReadOnly()


async def send(dut: Any, stream: Iterable[int], pause: float) -> None:
    """Send words, each with TLAST as bit 32; ``pause`` is the probability of a cycle without one."""
    for word in stream:
        while random.random() < pause:
            await RisingEdge(dut.aclk)
        dut.s_axis_tdata.value, dut.s_axis_tlast.value, dut.s_axis_tvalid.value = word % LAST, word // LAST, 1
        await until(dut, dut.s_axis_tready)
        await RisingEdge(dut.aclk)
        dut.s_axis_tvalid.value = 0


async def receive(dut: Any, pause: float) -> list[int]:
    """The words of a packet; ``pause`` is the probability of a cycle in which none is taken."""
    packet, is_over = list[int](), False
    while not is_over:
        dut.m_axis_tready.value = takes = random.random() >= pause
        await ReadOnly()
        if takes and dut.m_axis_tvalid.value:
            packet.append(int(dut.m_axis_tdata.value))
            is_over = bool(dut.m_axis_tlast.value)
        await RisingEdge(dut.aclk)
    dut.m_axis_tready.value = 0
    return packet


async def read(dut: Any, address: int) -> int:
    """The value of a register."""
    dut.s_axi_araddr.value, dut.s_axi_arvalid.value = address, 1
    await until(dut, dut.s_axi_arready)
    await RisingEdge(dut.aclk)
    dut.s_axi_arvalid.value = 0
    await until(dut, dut.s_axi_rvalid)
    value = int(dut.s_axi_rdata.value)
    await RisingEdge(dut.aclk)
    return value


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.5])
async def scores_are_those_of_the_integer_model(dut: Any, pause: float) -> None:
    random.seed(0)
    await start(dut)
    assert await read(dut, 0x00) == 0x495A4849  # "IZHI"
    sending = cocotb.start_soon(send(dut, words("izhi_tb_in.hex"), pause))
    assert await receive(dut, pause) == words("izhi_tb_out.hex")
    await sending


if __name__ == "__main__":
    from cocotb_tools.runner import get_runner

    simulator = os.environ.get("SIM", "icarus")
    runner, built = get_runner(simulator), HERE / "cocotb"
    runner.build(sources=[HERE / "izhi.v"], hdl_toplevel="izhi", build_dir=built, timescale=("1ns", "1ps"))
    runner.test(test_module=Path(__file__).stem, hdl_toplevel="izhi", build_dir=built, test_dir=HERE)
