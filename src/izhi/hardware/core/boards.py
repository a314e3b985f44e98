"""Boards that a core is built for, and the Vivado script that makes their overlay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
        family: yosys' name of its family.
        processing_system: Vivado's name of the processing system's block.
        master, slave: its ports to registers and from DMA.
        bus_clocks: of those two.
        properties: those that enable them.
        clock_property: the property that sets the clock, in MHz.
        automation: Vivado's rule for the processing system, and its options.
        clock, reset: its clock for the logic, and the reset of that clock.
        megahertz: the default of that clock.
        resources: block RAMs of 36 kbit, DSP slices, look-up tables and flip-flops of the device.
    """

    part: str
    board_part: str
    family: str
    processing_system: str
    master: str
    slave: str
    bus_clocks: tuple[str, str]
    properties: dict[str, str]
    clock_property: str
    automation: tuple[str, str]
    clock: str
    reset: str
    megahertz: int
    resources: dict[str, int]


_ULTRA96 = Board(
    # Older board files are of the vendor em.avnet.com.
    part="xczu3eg-sbva484-1-i", board_part="*avnet.com:ultra96v2:part0:*", family="xcup",
    processing_system="zynq_ultra_ps_e",
    master="M_AXI_HPM0_FPD", slave="S_AXI_HP0_FPD",
    bus_clocks=("maxihpm0_fpd_aclk", "saxihp0_fpd_aclk"),
    properties={
        "CONFIG.PSU__USE__M_AXI_GP0": "1",
        "CONFIG.PSU__USE__M_AXI_GP1": "0",
        "CONFIG.PSU__USE__M_AXI_GP2": "0",
        "CONFIG.PSU__USE__S_AXI_GP2": "1",
    },
    clock_property="CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ",
    automation=("xilinx.com:bd_rule:zynq_ultra_ps_e", ""),
    clock="pl_clk0", reset="pl_resetn0", megahertz=100,
    resources={"RAMB36": 216, "DSP": 360, "LUT": 70_560, "FF": 141_120},
)  # fmt: skip

BOARDS = {
    "ultra96v2": _ULTRA96,
    "zcu104": replace(
        _ULTRA96, part="xczu7ev-ffvc1156-2-e", board_part="xilinx.com:zcu104:part0:*",
        resources={"RAMB36": 312, "DSP": 1_728, "LUT": 230_400, "FF": 460_800},
    ),
    "pynq-z2": Board(
        part="xc7z020clg400-1", board_part="tul.com.tw:pynq-z2:part0:*", family="xc7",
        processing_system="processing_system7",
        master="M_AXI_GP0", slave="S_AXI_HP0", bus_clocks=("M_AXI_GP0_ACLK", "S_AXI_HP0_ACLK"),
        properties={
            "CONFIG.PCW_USE_S_AXI_HP0": "1",
            "CONFIG.PCW_USE_M_AXI_GP0": "1",
            "CONFIG.PCW_EN_CLK0_PORT": "1",
            "CONFIG.PCW_EN_RST0_PORT": "1",
        },
        clock_property="CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ",
        # Memory and pins of this processing system only work as external ports of the design.
        automation=("xilinx.com:bd_rule:processing_system7", 'make_external "FIXED_IO, DDR"'),
        clock="FCLK_CLK0", reset="FCLK_RESET0_N", megahertz=100,
        resources={"RAMB36": 140, "DSP": 220, "LUT": 53_200, "FF": 106_400},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Ecp5Board:
    """A board that a host reaches by a serial line over USB only.

    Attributes:
        part: Lattice's name of the device.
        device, package, speed: nextpnr's names of the device, its package and its speed grade.
        clock: pin and MHz of the board's clock.
        receive, transmit: pins of the serial line, as the device sees them.
        light: pin of a light, and whether it is on when the pin is low.
        high: pins that must be high for the board to work.
        resources: block memories of 18 kbit, multipliers of 18 bits, look-up tables of 4 inputs and flip-flops.
        megahertz: the default of the core's clock.
    """

    part: str
    device: str
    package: str
    speed: int
    clock: tuple[str, float]
    receive: str
    transmit: str
    light: tuple[str, bool]
    high: tuple[str, ...]
    resources: Mapping[str, int]
    megahertz: int = 100


_85F = {"DP16KD": 208, "MULT18X18D": 156, "LUT4": 83_640, "FF": 83_640}

#: Pins as in the boards' own constraints (amaranth-boards: ulx3s.py, ecpix5.py; ulx3s_v20.lpf). On the ULX3S GPIO0 of
#: the ESP32 must be high, or the ESP32 controls the board.
ECP5_BOARDS = {
    "ulx3s": Ecp5Board(
        part="LFE5U-85F-6BG381C", device="85k", package="CABGA381", speed=6, clock=("G2", 25.0),
        receive="M1", transmit="L4", light=("B2", False), high=("L2",), resources=_85F, megahertz=75,
    ),
    "ecpix5": Ecp5Board(
        part="LFE5UM5G-85F-8BG554I", device="um5g-85k", package="CABGA554", speed=8, clock=("K23", 100.0),
        receive="R26", transmit="R24", light=("R21", True), high=(), resources=_85F,
    ),
}  # fmt: skip


def board(name: str) -> Board | Ecp5Board:
    """A board by name, with a processor or without.

    Raises:
        SettingError: for an unknown one.
    """
    if name in ECP5_BOARDS:
        return ECP5_BOARDS[name]
    if name not in BOARDS:
        raise unknown("board", name, (*BOARDS, *ECP5_BOARDS))
    return BOARDS[name]


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
    settings = {**b.properties, b.clock_property: str(checked_clock(name, megahertz))}
    properties = " ".join(f"{key} {{{value}}}" for key, value in settings.items())
    ps, (rule, config) = b.processing_system, b.automation
    return f"""\
# Izhi's core on {name}: vivado -mode batch -source izhi.tcl   makes izhi.bit, izhi.hwh, izhi.xsa and *.rpt.
# {UNTESTED}.

set folder [file dirname [file normalize [info script]]]
create_project izhi [file join $folder vivado] -part {b.part} -force
set board [get_board_parts -quiet -latest_file_version {b.board_part}]
if {{[llength $board] > 0}} {{
    set preset 1
    set_property board_part [lindex $board 0] [current_project]
}} else {{
    set preset 0
    puts "WARNING: board files of {name} are not installed: memory and pins are those of Vivado, not the board's"
}}
add_files -norecurse [list [file join $folder izhi.v]]
update_compile_order -fileset sources_1

create_bd_design izhi
set ps [create_bd_cell -type ip -vlnv xilinx.com:ip:{ps} ps]
set options [list {config} apply_board_preset $preset Master Disable Slave Disable]
apply_bd_automation -rule {rule} -config $options $ps
set_property -dict [list {properties}] $ps
set core [create_bd_cell -type module -reference izhi izhi]

set dma [create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma]
set_property -dict [list CONFIG.c_include_sg {{0}} CONFIG.c_sg_length_width {{26}} \\
    CONFIG.c_m_axi_mm2s_data_width {{32}} CONFIG.c_m_axis_mm2s_tdata_width {{32}} \\
    CONFIG.c_s_axis_s2mm_tdata_width {{32}}] $dma

set reset [create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset]
set control [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control]
set_property -dict [list CONFIG.NUM_SI {{1}} CONFIG.NUM_MI {{2}}] $control
set memory [create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory]
set_property -dict [list CONFIG.NUM_SI {{2}} CONFIG.NUM_MI {{1}}] $memory

foreach pin {{ps/{b.bus_clocks[0]} ps/{b.bus_clocks[1]} reset/slowest_sync_clk izhi/aclk control/aclk memory/aclk \\
    dma/s_axi_lite_aclk dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk}} {{
    connect_bd_net [get_bd_pins ps/{b.clock}] [get_bd_pins $pin]
}}
connect_bd_net [get_bd_pins ps/{b.reset}] [get_bd_pins reset/ext_reset_in]
foreach pin {{izhi/aresetn control/aresetn memory/aresetn dma/axi_resetn}} {{
    connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}}
foreach {{from to}} {{ps/{b.master} control/S00_AXI control/M00_AXI izhi/s_axi control/M01_AXI dma/S_AXI_LITE \\
    dma/M_AXI_MM2S memory/S00_AXI dma/M_AXI_S2MM memory/S01_AXI memory/M00_AXI ps/{b.slave} \\
    dma/M_AXIS_MM2S izhi/s_axis izhi/m_axis dma/S_AXIS_S2MM}} {{
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}}
assign_bd_address
validate_bd_design
save_bd_design

make_wrapper -files [get_files izhi.bd] -top -import
set_property top izhi_wrapper [current_fileset]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {{[get_property PROGRESS [get_runs impl_1]] != "100%"}} {{
    error "implementation failed: see $folder/vivado"
}}
open_run impl_1
report_timing_summary -file [file join $folder timing.rpt]
report_utilization -hierarchical -file [file join $folder utilization.rpt]
report_power -file [file join $folder power.rpt]
foreach {{what slack}} [list setup [get_property STATS.WNS [get_runs impl_1]] \
    hold [get_property STATS.WHS [get_runs impl_1]]] {{
    if {{$slack < 0}} {{
        error "timing is not met: the worst slack of $what is $slack ns; see timing.rpt, use a lower --clock"
    }}
}}
set made [file join $folder vivado]
file copy -force [lindex [glob -directory [file join $made izhi.runs impl_1] *.bit] 0] [file join $folder izhi.bit]
# It is under izhi.gen since Vivado 2020.2, and was under izhi.srcs before.
set handoff [glob -directory $made izhi.{{gen,srcs}}/sources_1/bd/izhi/hw_handoff/izhi.hwh]
file copy -force [lindex $handoff 0] [file join $folder izhi.hwh]
write_hw_platform -fixed -include_bit -force -file [file join $folder izhi.xsa]
"""
