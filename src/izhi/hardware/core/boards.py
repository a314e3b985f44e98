"""Boards that a core is built for, and the Vivado script that makes their overlay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from izhi.errors import SettingError, unknown

#: A note in every file, since none has been run on a board.
UNTESTED = "untested: written without Vivado and without a board; bitstream, clock rate and power are not measured"
#: The fastest clock of a processing system.
_MOST_MEGAHERTZ = 500


@dataclass(frozen=True)
class Board:
    """A board with a processing system that PYNQ runs on.

    Attributes:
        part: Vivado's name of the device.
        board_part: Vivado's name of the board, whose preset sets memory and pins of the processing system.
        resources: block RAMs of 36 kbit, DSP slices, look-up tables and flip-flops of the device.
        family: yosys' name of its family.
        processing_system: Vivado's name of the processing system's block.
        master, slave: its ports to registers and from DMA.
        script: further values of vivado.tcl: clocks of those two ports, properties that enable them, the property that
            sets the clock in MHz, Vivado's rule for the processing system and its options, its clock and its reset.
        megahertz: the default of that clock.
    """

    part: str
    board_part: str
    resources: Mapping[str, int]
    family: str
    processing_system: str
    master: str
    slave: str
    script: Mapping[str, str]
    megahertz: int = 100


_ULTRASCALE: dict[str, Any] = {
    "family": "xcup", "processing_system": "zynq_ultra_ps_e", "master": "M_AXI_HPM0_FPD", "slave": "S_AXI_HP0_FPD",
    "script": {
        "register_clock": "maxihpm0_fpd_aclk", "memory_clock": "saxihp0_fpd_aclk",
        "properties": "CONFIG.PSU__USE__M_AXI_GP0 {1} CONFIG.PSU__USE__M_AXI_GP1 {0} CONFIG.PSU__USE__M_AXI_GP2 {0}"
        " CONFIG.PSU__USE__S_AXI_GP2 {1}",
        "clock_property": "CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
        "rule": "xilinx.com:bd_rule:zynq_ultra_ps_e", "config": "", "clock": "pl_clk0", "reset": "pl_resetn0",
    },
}  # fmt: skip
_ZYNQ7: dict[str, Any] = {
    "family": "xc7", "processing_system": "processing_system7", "master": "M_AXI_GP0", "slave": "S_AXI_HP0",
    "script": {
        "register_clock": "M_AXI_GP0_ACLK", "memory_clock": "S_AXI_HP0_ACLK",
        "properties": "CONFIG.PCW_USE_S_AXI_HP0 {1} CONFIG.PCW_USE_M_AXI_GP0 {1} CONFIG.PCW_EN_CLK0_PORT {1}"
        " CONFIG.PCW_EN_RST0_PORT {1}",
        "clock_property": "CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ",
        # Memory and pins of this processing system only work as external ports of the design.
        "rule": "xilinx.com:bd_rule:processing_system7", "config": 'make_external "FIXED_IO, DDR"',
        "clock": "FCLK_CLK0", "reset": "FCLK_RESET0_N",
    },
}  # fmt: skip

BOARDS = {
    "ultra96v2": Board(
        # Older board files are of the vendor em.avnet.com.
        "xczu3eg-sbva484-1-i", "*avnet.com:ultra96v2:part0:*",
        {"RAMB36": 216, "DSP": 360, "LUT": 70_560, "FF": 141_120}, **_ULTRASCALE,
    ),
    "zcu104": Board(
        "xczu7ev-ffvc1156-2-e", "xilinx.com:zcu104:part0:*",
        {"RAMB36": 312, "DSP": 1_728, "LUT": 230_400, "FF": 460_800}, **_ULTRASCALE,
    ),
    "pynq-z2": Board(
        "xc7z020clg400-1", "tul.com.tw:pynq-z2:part0:*",
        {"RAMB36": 140, "DSP": 220, "LUT": 53_200, "FF": 106_400}, **_ZYNQ7,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class SerialBoard:
    """A board that a host reaches by a serial line over USB only.

    Attributes:
        part: the maker's name of the device.
        family: a key of ``families.FAMILIES``.
        device: the family's tools' names of the device.
        clock: pin and MHz of the board's clock.
        receive, transmit: pins of the serial line, as the device sees them.
        light: pin of a light, and whether it is on when the pin is low.
        resources: of the device, by the names of the family's cells.
        high: pins that must be high for the board to work.
        megahertz: the default of the core's clock.
    """

    part: str
    family: str
    device: tuple[str, ...]
    clock: tuple[str, float]
    receive: str
    transmit: str
    light: tuple[str, bool]
    resources: Mapping[str, int]
    high: tuple[str, ...] = ()
    megahertz: int = 100


_85F = {"DP16KD": 208, "MULT18X18D": 156, "LUT4": 83_640, "FF": 83_640}

#: Pins as in the boards' own constraints (amaranth-boards: ulx3s.py, ecpix5.py, tang_nano_9k.py,
#: gatemate_a1_evb.py; litex-boards: crosslink_nx_evn.py; ulx3s_v20.lpf; apicula's tangnano20k.cst; Sipeed's schematic
#: of the Tang Nano 20K). On the ULX3S GPIO0 of the ESP32 must be high, or the ESP32 controls the board.
SERIAL_BOARDS = {
    "ulx3s": SerialBoard(
        part="LFE5U-85F-6BG381C", family="ecp5", device=("85k", "CABGA381", "6"), clock=("G2", 25.0),
        receive="M1", transmit="L4", light=("B2", False), high=("L2",), resources=_85F, megahertz=75,
    ),
    "ecpix5": SerialBoard(
        part="LFE5UM5G-85F-8BG554I", family="ecp5", device=("um5g-85k", "CABGA554", "8"), clock=("K23", 100.0),
        receive="R26", transmit="R24", light=("R21", True), resources=_85F,
    ),
    "tangnano20k": SerialBoard(
        part="GW2AR-LV18QN88C8/I7", family="gowin", device=("GW2AR-LV18QN88C8/I7", "GW2A-18C"), clock=("4", 27.0),
        receive="70", transmit="69", light=("15", True), megahertz=54,
        resources={"BSRAM": 46, "MULT18X18": 48, "LUT4": 20_736, "FF": 15_552},
    ),
    "tangnano9k": SerialBoard(
        part="GW1NR-LV9QN88PC6/I5", family="gowin", device=("GW1NR-LV9QN88PC6/I5", "GW1N-9C"), clock=("52", 27.0),
        receive="18", transmit="17", light=("10", True), megahertz=27,
        resources={"BSRAM": 26, "MULT18X18": 20, "LUT4": 8_640, "FF": 6_480},
    ),
    "gatemate-a1-evb": SerialBoard(
        part="CCGM1A1", family="gatemate", device=("CCGM1A1",), clock=("IO_SB_A8", 10.0),
        receive="IO_SA_A6", transmit="IO_SA_B6", light=("IO_SB_B6", True), megahertz=10,
        resources={"RAM_HALF": 64, "CPE_LT": 40_960, "CPE_FF": 40_960},
    ),
    "lifcl-evn": SerialBoard(
        part="LIFCL-40-9BG400C", family="nexus", device=("LIFCL-40-9BG400C",), clock=("L13", 12.0),
        receive="F16", transmit="F18", light=("E17", True), megahertz=12,
        resources={"EBR": 84, "MULT18X18": 56, "LUT4": 32_256, "FF": 32_256},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class OwnSystem:
    """A system on chip of one's own, on any device, which has the core on its Wishbone bus.

    Attributes:
        part: of any maker.
        resources: unknown.
        megahertz: for times.
    """

    part: str = "any device"
    resources: Mapping[str, int] = field(default_factory=dict)
    megahertz: int = 100


#: By the name for ``izhi rtl --board``.
OWN_SYSTEMS = {"soc": OwnSystem()}


def filled(template: str, **values: object) -> str:
    """The text of a file in this folder, in which @@{NAME} stands for a value."""
    text = (Path(__file__).parent / template).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@@{{{name}}}", str(value))
    return text


def board(name: str) -> Board | SerialBoard | OwnSystem:
    """A board by name, with a processor or without, or ``soc``.

    Raises:
        SettingError: for an unknown one.
    """
    every: dict[str, Board | SerialBoard | OwnSystem] = {**BOARDS, **SERIAL_BOARDS, **OWN_SYSTEMS}
    if name not in every:
        raise unknown("board", name, every)
    return every[name]


def checked_clock(name: str, megahertz: int | None) -> int:
    """The clock for a board's logic in MHz; the board's default for None.

    Raises:
        SettingError: for an unknown board, or a clock beyond the device's.
    """
    default = board(name).megahertz
    if megahertz is None:
        return default
    if not 1 <= megahertz <= _MOST_MEGAHERTZ:
        raise SettingError(f"clock is {megahertz} MHz, expected 1 to {_MOST_MEGAHERTZ}")
    return megahertz


def vivado_script(name: str, megahertz: int | None = None) -> str:
    """The Tcl script that makes izhi.bit, izhi.hwh and izhi.xsa from izhi.v, in Vivado's batch mode.

    It fails if the design does not reach the clock, and writes Vivado's reports of timing, utilisation and power.
    """
    b = BOARDS[name]
    return filled(
        "vivado.tcl", name=name, untested=UNTESTED, part=b.part, board_part=b.board_part, master=b.master,
        slave=b.slave, processing_system=b.processing_system, megahertz=checked_clock(name, megahertz), **b.script,
    )  # fmt: skip
