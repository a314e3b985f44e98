"""Levels of logic between registers of a netlist, as yosys writes it for Xilinx devices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

#: Cells whose outputs follow their inputs within a cycle, among them memories of look-up tables that are read.
_LOGIC = ("LUT", "MUXF", "CARRY", "INV", "RAM32", "RAM64", "RAM128", "RAM256", "DSP48", "SRL")
#: Inputs of those memories on which no output depends within a cycle: data and enables of writes, and clocks.
_WRITTEN = ("DI", "D", "WE", "WCLK", "CLK", "CE", "RST")


def levels(netlist: Mapping[str, Any], top: str) -> int:
    """The most cells of logic that a signal passes between two registers, block memories or ports.

    Look-up tables, their multiplexers, and products count as one each, and so does a whole chain of carries, which is
    little slower than a table.

    Args:
        netlist: of a flat design, by yosys' ``write_json``.
        top: its module.
    """
    cells = [cell for cell in netlist["modules"][top]["cells"].values() if cell["type"].startswith(_LOGIC)]
    drivers = {bit: k for k, cell in enumerate(cells) for bit in _bits(cell, "output") if isinstance(bit, int)}
    before: dict[int, set[int]] = defaultdict(set)
    for k, cell in enumerate(cells):
        before[k] = {drivers[bit] for bit in _bits(cell, "input") if bit in drivers and drivers[bit] != k}
    carries = {k for k, cell in enumerate(cells) if cell["type"].startswith("CARRY")}
    depth = dict.fromkeys(range(len(cells)), 1)
    for k in TopologicalSorter(before).static_order():
        depth[k] = max((depth[other] + (not {k, other} <= carries) for other in before[k]), default=1)
    return max(depth.values(), default=0)


def _bits(cell: Mapping[str, Any], direction: str) -> Iterator[int | str]:
    """The nets of a cell's inputs or outputs that are connected within a cycle."""
    is_memory = cell["type"].startswith(("RAM", "SRL"))
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] != direction:
            continue
        if direction == "input" and is_memory and port.startswith(_WRITTEN):
            continue
        yield from bits
