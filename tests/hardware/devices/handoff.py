"""The .hwh that Vivado writes for the block design of izhi.tcl, without what PYNQ does not read.

Elements and attributes are those of the overlays that come with PYNQ (its base.hwh for the PYNQ-Z2 and the ZCU104).
"""

from izhi.hardware.core.boards import BOARDS

#: Where Vivado puts the core and the DMA, by the family of a board's device.
ADDRESSES = {"xc7": (0x43C0_0000, 0x4040_0000), "xcup": (0xA000_0000, 0xA001_0000)}
SIZE = 0x1_0000
AXI, STREAM = "xilinx.com:interface:aximm:1.0", "xilinx.com:interface:axis:1.0"
#: What izhi.tcl asks of the DMA, and what Vivado derives from it.
DMA = {
    "C_INCLUDE_SG": 0, "c_include_sg": 0, "c_include_mm2s": 1, "c_include_s2mm": 1, "c_sg_length_width": 26,
    "c_m_axi_mm2s_data_width": 32, "c_m_axi_s2mm_data_width": 32, "c_micro_dma": 0, "c_include_mm2s_dre": 0,
    "c_include_s2mm_dre": 0,
}  # fmt: skip


def parameters(values):
    return "".join(f'<PARAMETER NAME="{name}" VALUE="{value}"/>' for name, value in values.items())


def bus(name, wire, kind, interface):
    return f'<BUSINTERFACE BUSNAME="{wire}" NAME="{name}" TYPE="{kind}" VLNV="{interface}"/>'


def module(name, vlnv, values, buses, memory=""):
    return f"""
  <MODULE COREREVISION="1" FULLNAME="/{name}" HWVERSION="1.0" INSTANCE="{name}" IPTYPE="PERIPHERAL" IS_ENABLE="1"
      MODCLASS="PERIPHERAL" MODTYPE="{vlnv.split(":")[2]}" VLNV="{vlnv}">
    <PARAMETERS>{parameters(values)}</PARAMETERS>
    <PORTS/>
    <BUSINTERFACES>{"".join(bus(*x) for x in buses)}</BUSINTERFACES>{memory}
  </MODULE>"""


def memory_map(board, ranges):
    """What the processor's master reaches: (module, its bus, first address) each."""
    found = "".join(
        f'<MEMRANGE ADDRESSBLOCK="reg0" BASENAME="C_BASEADDR" BASEVALUE="0x{first:08X}" HIGHNAME="C_HIGHADDR"'
        f' HIGHVALUE="0x{first + SIZE - 1:08X}" INSTANCE="{name}" IS_DATA="TRUE" IS_INSTRUCTION="TRUE"'
        f' MASTERBUSINTERFACE="{board.master}" MEMTYPE="REGISTER" SLAVEBUSINTERFACE="{its_bus}"/>'
        for name, its_bus, first in ranges
    )
    return f"<MEMORYMAP>{found}</MEMORYMAP>"


#: Names of the processing system's parameters of a clock of the logic: dividers, whether it runs, and its source.
CLOCKS = {
    "xc7": ("PCW_FCLK{}_PERIPHERAL_DIVISOR{}", "PCW_FPGA_FCLK{}_ENABLE", "PCW_FCLK{}_PERIPHERAL_CLKSRC", "IO PLL"),
    "xcup": (
        "PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR{}", "PSU__FPGA_PL{}_ENABLE", "PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL",
        "IOPLL",
    ),
}  # fmt: skip


def clocks(family):
    """What PYNQ reads of the four clocks of the logic, of which the first runs."""
    dividers, enable, source, name = CLOCKS[family]
    found = {}
    for k in range(4):
        found |= {dividers.format(k, 0): 5 if k == 0 else 1, dividers.format(k, 1): 2 if k == 0 else 1}
        found |= {enable.format(k): int(k == 0), source.format(k): name}
    return found


def hwh(name):
    """The text for a board by its name."""
    board = BOARDS[name]
    core, dma = ADDRESSES[board.family]
    ps = board.processing_system
    version = "5.5" if board.family == "xc7" else "3.3"
    buses = {
        "ps": [(board.master, "ps_master", "INITIATOR", AXI), (board.slave, "memory_M00_AXI", "TARGET", AXI)],
        "izhi": [
            ("s_axi", "control_M00_AXI", "TARGET", AXI), ("s_axis", "dma_M_AXIS_MM2S", "TARGET", STREAM),
            ("m_axis", "izhi_m_axis", "INITIATOR", STREAM),
        ],
        "dma": [
            ("S_AXI_LITE", "control_M01_AXI", "TARGET", AXI), ("M_AXI_MM2S", "dma_M_AXI_MM2S", "INITIATOR", AXI),
            ("M_AXI_S2MM", "dma_M_AXI_S2MM", "INITIATOR", AXI), ("M_AXIS_MM2S", "dma_M_AXIS_MM2S", "INITIATOR", STREAM),
            ("S_AXIS_S2MM", "izhi_m_axis", "TARGET", STREAM),
        ],
    }  # fmt: skip
    ranges = memory_map(board, [("izhi", "s_axi", core), ("dma", "S_AXI_LITE", dma)])
    modules = [
        module("ps", f"xilinx.com:ip:{ps}:{version}", clocks(board.family), buses["ps"], ranges),
        module("izhi", "xilinx.com:module_ref:izhi:1.0", {}, buses["izhi"]),
        module("dma", "xilinx.com:ip:axi_dma:7.1", DMA, buses["dma"]),
    ]
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<EDKSYSTEM EDWVERSION="1.2" TIMESTAMP="Thu Jan  1 00:00:00 1970" VIVADOVERSION="2022.1">
  <SYSTEMINFO ARCH="{"zynq" if board.family == "xc7" else "zynquplus"}" DEVICE="" NAME="izhi" PACKAGE="" SPEEDGRADE=""/>
  <EXTERNALPORTS/>
  <EXTERNALINTERFACES/>
  <MODULES>{"".join(modules)}
  </MODULES>
</EDKSYSTEM>
"""
