"""The core as Verilog: the block itself, and a top whose ports Vivado takes for AXI."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from amaranth.back import rtlil

from izhi.rtl.axi import AxiCore
from izhi.rtl.shape import CoreShape
from izhi.rtl.simulator import yosys


def emit(shape: CoreShape) -> str:
    """Verilog of a core; the module ``izhi`` is the block of AXI."""
    core = AxiCore(shape)
    with tempfile.TemporaryDirectory() as place:
        text = rtlil.convert(core, name="izhi_core", emit_src=False)
        (Path(place) / "core.il").write_text(text)
        yosys(
            "read_rtlil core.il; proc; memory_collect; opt_clean; write_verilog -norename -noattr core.v",
            place,
        )
        inner = (Path(place) / "core.v").read_text()
    ports, wires = [], []
    for name, member in core.signature.members.items():
        width = len(cast(Any, getattr(core, name)))
        span = f"[{width - 1}:0] " if width > 1 else ""
        attribute = ""
        if name == "aclk":
            attribute = (
                '    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:s_axis:m_axis,'
                ' ASSOCIATED_RESET aresetn" *)\n'
            )
        direction = "input" if member.flow.name == "In" else "output"
        ports.append(f"{attribute}    {direction} wire {span}{name}")
        wires.append(f"        .{name}({name})")
    top = "module izhi (\n" + ",\n".join(ports) + "\n);\n    izhi_core core (\n" + ",\n".join(wires)
    return f"{inner}\n{top}\n    );\nendmodule\n"
