"""The core as Verilog: the block itself, and a top whose ports Vivado recognises as AXI."""

from __future__ import annotations

from typing import Any, cast

from izhi.hardware.core import yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.shape import CoreShape


def emit(shape: CoreShape) -> str:
    """Verilog of a core; the module ``izhi`` is the block of AXI."""
    core = AxiCore(shape)
    inner = yosys.convert(
        core, "izhi_core", "proc; memory_collect; opt_clean", "write_verilog -norename -noattr {file}"
    )
    ports, wires = [], []
    for name, member in core.signature.members.items():
        width = len(cast(Any, getattr(core, name)))
        span = f"[{width - 1}:0] " if width > 1 else ""
        attribute = ""
        if name == "aclk":
            attribute = (
                '    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:s_axis:m_axis, ASSOCIATED_RESET aresetn" *)\n'
            )
        direction = "input" if member.flow.name == "In" else "output"
        ports.append(f"{attribute}    {direction} wire {span}{name}")
        wires.append(f"        .{name}({name})")
    top = "module izhi (\n" + ",\n".join(ports) + "\n);\n    izhi_core core (\n" + ",\n".join(wires)
    return f"{inner}\n{top}\n    );\nendmodule\n"
