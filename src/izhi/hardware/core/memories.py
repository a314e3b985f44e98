"""Memories that are filled from outside, a word at a time."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out

from izhi.hardware.core.arithmetic import number_below


def loading(width: int, depth: int) -> wiring.Signature:
    """What fills a memory: a word of that width is written where ``enable`` is high."""
    return wiring.Signature(
        {
            "address": Out(number_below(depth)),
            "word": Out(unsigned(width)),
            "enable": Out(1),
        }
    )


def filled(m: Module, name: str, port: Any, width: int, depth: int) -> Any:
    """The port by which a module reads a memory that ``loading`` fills."""
    cells = memory.Memory(shape=unsigned(width), depth=depth, init=[])
    m.submodules[name] = cells
    fill = cells.write_port()
    m.d.comb += [fill.addr.eq(port.address), fill.data.eq(port.word), fill.en.eq(port.enable)]
    return cells.read_port()
