"""Izhi's core as a peripheral of LiteX, beside the files that ``izhi rtl --board soc`` writes.

    soc.izhi = Izhi(soc.platform, "hardware")
    soc.bus.add_slave("izhi", soc.izhi.bus, SoCRegion(size=0x200, cached=False))
    soc.irq.add("izhi")    # if the processor has interrupts

Software drives it by izhi_driver.c, with the core at IZHI_BASE of LiteX's generated/mem.h.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litex.gen import LiteXModule
from litex.soc.interconnect import wishbone
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import ClockSignal, Instance, ResetSignal


class Izhi(LiteXModule):
    """The core behind its Wishbone bus.

    Args:
        platform: of LiteX, which gets the core's sources.
        folder: with izhi.v and izhi_wishbone.v.

    Attributes:
        bus: the Wishbone slave.
        ev: an event while a word of an answer waits.
    """

    def __init__(self, platform: Any, folder: str | Path) -> None:
        for name in ("izhi.v", "izhi_wishbone.v"):
            platform.add_source(str(Path(folder) / name))
        self.bus = bus = wishbone.Interface(data_width=32, adr_width=30, addressing="word")
        self.ev = EventManager()
        self.ev.answer = EventSourceLevel()
        self.ev.finalize()
        self.specials += Instance(
            "izhi_wishbone",
            i_clk=ClockSignal("sys"), i_rst=ResetSignal("sys"),
            i_wb_cyc=bus.cyc, i_wb_stb=bus.stb, i_wb_we=bus.we, i_wb_sel=bus.sel, i_wb_adr=bus.adr[:7],
            i_wb_dat_w=bus.dat_w, o_wb_dat_r=bus.dat_r, o_wb_ack=bus.ack, o_wb_err=bus.err,
            o_irq=self.ev.answer.trigger,
        )  # fmt: skip
