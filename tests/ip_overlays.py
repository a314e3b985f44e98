"""A .hwh as Vivado writes it for the IP and its four DMAs, without what no driver reads."""


def register(name, offset, size=32):
    return f"""<REGISTER NAME="{name}">
      <PROPERTY NAME="DESCRIPTION" VALUE="of {name}"/>
      <PROPERTY NAME="ADDRESS_OFFSET" VALUE="{offset}"/>
      <PROPERTY NAME="SIZE" VALUE="{size}"/>
      <PROPERTY NAME="ACCESS" VALUE="read-write"/>
      <FIELDS><FIELD NAME="{name}">
        <PROPERTY NAME="ADDRESS_OFFSET" VALUE="0"/><PROPERTY NAME="BIT_WIDTH" VALUE="32"/>
      </FIELD></FIELDS>
    </REGISTER>"""


REGISTERS = {
    "CTRL": 0, "GIER": 4, "IP_IER": 8, "IP_ISR": 12, "ap_return": 16, "state": 28, "n_in": 36,
    "n_out": 44, "n_layers": 52, "Memory_in_c": 128, "Memory_n_layer": 192,
}  # fmt: skip


def bus(name, wire, kind):
    return f'<BUSINTERFACE BUSNAME="{wire}" NAME="{name}" TYPE="{kind}" VLNV="xilinx.com:interface:axis:1.0"/>'


def dma(number, buses):
    return f"""<MODULE FULLNAME="/axi_dma_{number}" INSTANCE="axi_dma_{number}" MODTYPE="axi_dma"
      VLNV="xilinx.com:ip:axi_dma:7.1"><BUSINTERFACES>{"".join(buses)}</BUSINTERFACES></MODULE>"""


def hwh(registers=None, order=(2, 0, 3, 1), receiver=1, wired=True, ips=1):
    """The text; stream k is that of the DMA of number order[k]."""
    wire = "axi_dma_{}_M_AXIS_MM2S" if wired else "fifo_{}_M_AXIS"
    modules = []
    for number in range(4):
        buses = [bus("M_AXIS_MM2S", f"axi_dma_{number}_M_AXIS_MM2S", "INITIATOR")]
        if number == receiver:
            buses.append(bus("S_AXIS_S2MM", "snn_izhikevich_0_out" if wired else "fifo_out", "TARGET"))
        modules.append(dma(number, buses))
    streams = [bus(f"in{k}", wire.format(number), "SLAVE") for k, number in enumerate(order)]
    streams.append(bus("out_r", "snn_izhikevich_0_out", "MASTER"))
    found = "".join(register(*x) for x in (REGISTERS if registers is None else registers).items())
    for number in range(ips):
        modules.append(f"""<MODULE FULLNAME="/snn/snn_izhikevich_{number}" INSTANCE="snn_snn_izhikevich_{number}"
          MODTYPE="snn_izhikevich" VLNV="xilinx.com:hls:snn_izhikevich:1.0">
          <ADDRESSBLOCKS><ADDRESSBLOCK INTERFACE="s_axi_control" NAME="Reg" RANGE="65536" USAGE="register">
          <REGISTERS>{found}</REGISTERS></ADDRESSBLOCK></ADDRESSBLOCKS>
          <BUSINTERFACES>{"".join(streams)}</BUSINTERFACES></MODULE>""")
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no" ?>
<EDKSYSTEM EDWVERSION="1.2" VIVADOVERSION="2020.2"><MODULES>{"".join(modules)}</MODULES></EDKSYSTEM>"""
