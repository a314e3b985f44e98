"""A core for a board without a processor, by open tools: Verilog, constraints, place and route, bitstream.

The tools are the system's, which are much faster, or else those of the family's extra.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from izhi.errors import SettingError, SimulatorError, install
from izhi.hardware.core import yosys
from izhi.hardware.core.boards import SerialBoard, filled
from izhi.hardware.core.families import FAMILIES, Family, Pin, Tool
from izhi.hardware.core.serial.clocks import pll
from izhi.hardware.core.serial.top import Top, divisor
from izhi.hardware.core.shape import CoreShape

#: A note in every file, since none has been run on a board.
UNTESTED = "untested: no board has run it yet; clock and resources are those of nextpnr's report"

#: From Amaranth's netlist to Verilog. Its queues read no word while it is written, either.
_PASSES = "proc; setattr -set no_rw_check 1 m:storage; memory_collect; opt_clean"
#: A line of nextpnr's log: a kind of cell, how many there are, and how many the device has.
_UTILISATION = re.compile(r"Info:\s+(\S+):\s+(\d+)/\s*(\d+)\s+\d+%")


@dataclass(frozen=True)
class RoutingReport:
    """The report of nextpnr on a design.

    Attributes:
        reached: the highest clock, in MHz.
        resources: used, by name.
        path: the critical path: the kind of each segment, its two cells, and ns.
        seconds: of synthesis, and of place and route.
        tools: their versions.
    """

    reached: float
    resources: dict[str, float]
    path: list[tuple[str, str, str, float]]
    seconds: tuple[float, float]
    tools: dict[str, str]


def sources(shape: CoreShape, board: SerialBoard, megahertz: int, baud: int) -> dict[str, str]:
    """Verilog, constraints, and a script with the commands that make the bitstream, by the names of the files.

    Raises:
        SettingError: for a clock or a baud rate that the board cannot make.
    """
    family = FAMILIES[board.family]
    top = Top(shape, divisor(megahertz, baud), pll(family.pll, board.clock[1], float(megahertz)))
    inner = yosys.verilog(top, "izhi_top", _PASSES, device=family.device)
    outer = filled(
        "izhi_serial.v", invert="~" if board.light[1] else "",
        high="".join(f",\n    output wire high_{k}" for k in range(len(board.high))),
        ones="".join(f"\n    assign high_{k} = 1'b1;" for k in range(len(board.high))),
    )  # fmt: skip
    commands = "\n".join(shlex.join(command) for command in family.commands(board, megahertz))
    return {
        "izhi.v": f"// {UNTESTED}.\n{inner}\n{outer}",
        family.constraints: family.pins(board, _pins(board)),
        "build.sh": f"#!/bin/sh\n# Makes {family.bitstream} of izhi.v and {family.constraints}.\nset -e\n{commands}\n",
    }


def _pins(board: SerialBoard) -> list[Pin]:
    high = [Pin(f"high_{k}", place) for k, place in enumerate(board.high)]
    receive = Pin("receive", board.receive, pulled_up=True)
    return [Pin("clk", board.clock[0]), receive, Pin("transmit", board.transmit), Pin("light", board.light[0]), *high]


def _command(tool: Tool, extra: str) -> list[str]:
    """The command of a tool.

    Raises:
        SettingError: if it is not installed.
    """
    if (path := shutil.which(tool.name)) is not None:
        return [path]
    if importlib.util.find_spec(tool.module.partition(".")[0]) is None:
        raise SettingError(f"{tool.name} is not installed; install your system's, or {install(extra)}")
    if tool.function is None:
        return [sys.executable, "-m", tool.module]
    return yosys.of_wheel(tool.module, tool.function)


def require_tools(board: SerialBoard) -> None:
    """Raise SettingError if one of a board's tools is not installed."""
    family = FAMILIES[board.family]
    for tool in family.tools:
        _command(tool, family.extra)


def build(folder: Path, board: SerialBoard, megahertz: int, report: Callable[[str], None]) -> RoutingReport:
    """Run the tools on ``sources`` in a folder: logs and reports, and a bitstream if the design reaches its clock.

    Raises:
        SettingError: if a tool is not installed, or the core does not fit the device.
        SimulatorError: if one fails.
    """
    require_tools(board)
    family = FAMILIES[board.family]
    for stale in (family.bitstream, "nextpnr.log"):
        (folder / stale).unlink(missing_ok=True)
    commands = dict(zip(family.tools, family.commands(board, megahertz), strict=True))

    def run(tool: Tool, *words: str) -> str:
        return yosys.output_of(tool.name, [*_command(tool, family.extra), *(words or commands[tool][1:])], folder)

    synthesis, route, pack = family.tools
    report("synthesis by yosys, about a minute")
    began = time.monotonic()
    run(synthesis)
    between = time.monotonic()
    report("place and route by nextpnr, minutes")
    try:
        run(route)
    except SimulatorError as error:
        _require_room(folder / "nextpnr.log", board, error)
        raise
    ended = time.monotonic()
    tools = {tool.name: (run(tool, "--version").splitlines() or ["unknown"])[0] for tool in (synthesis, route)}
    found = json.loads((folder / "nextpnr.json").read_text())
    routed = _read(found, family, (between - began, ended - between), tools)
    if routed.reached >= megahertz:
        run(pack)
    return routed


def _require_room(log: Path, board: SerialBoard, error: SimulatorError) -> None:
    """Raise SettingError if the log of a place and route that failed names more cells than the device has."""
    lines = _UTILISATION.findall(log.read_text(errors="replace")) if log.exists() else []
    names = {cell: name for name, cell in FAMILIES[board.family].cells.items()}
    too_many = [
        f"{int(used):,} {names.get(cell, cell)} of {int(there):,}"
        for cell, used, there in lines
        if int(used) > int(there)
    ]
    if too_many:
        raise SettingError(
            f"the core does not fit {board.part}: it takes {', '.join(too_many)}; use fewer lanes or units, fewer bits"
            " of weights or states, fewer neurons, or a larger board"
        ) from error


def _read(
    report: Mapping[str, Any], family: Family, seconds: tuple[float, float], tools: dict[str, str]
) -> RoutingReport:
    """nextpnr's report: its slowest clock, used resources, and the path within that clock."""
    clock, speed = min(report["fmax"].items(), key=lambda entry: entry[1]["achieved"])
    used = {name: report["utilization"].get(cell, {"used": 0})["used"] for name, cell in family.cells.items()}
    paths = [entry for entry in report.get("critical_paths", []) if clock in entry["from"] and clock in entry["to"]]
    path = [
        (segment["type"], segment["from"]["cell"], segment["to"]["cell"], float(segment["delay"]))
        for segment in (paths[0]["path"] if paths else ())
    ]
    return RoutingReport(float(speed["achieved"]), used, path, seconds, tools)
