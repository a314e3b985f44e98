"""A core for a board: its sources, its resources by yosys, and its latency in simulation."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.bench import bench
from izhi.hardware.core.boards import UNTESTED
from izhi.hardware.core.compile import library
from izhi.hardware.core.description import to_json
from izhi.hardware.core.header import header
from izhi.hardware.core.levels import levels
from izhi.hardware.core.shape import CoreShape
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices.core import CoreDevice

#: Cells of Xilinx devices, in shares of a resource. A cell of distributed memory takes so many look-up tables.
_CELLS = {
    "RAMB36": {"RAMB36E1": 1.0, "RAMB36E2": 1.0, "RAMB18E1": 0.5, "RAMB18E2": 0.5},
    "DSP": {"DSP48E1": 1.0, "DSP48E2": 1.0},
    "LUT": {
        **{f"LUT{k}": 1.0 for k in range(1, 7)}, "RAM32M": 4.0, "RAM64M": 4.0, "RAM32M16": 8.0,
        "RAM64M8": 8.0, "RAM32X1D": 2.0, "RAM64X1D": 2.0, "SRL16E": 1.0, "SRLC32E": 1.0,
    },
    "FF": {"FDRE": 1.0, "FDSE": 1.0, "FDCE": 1.0, "FDPE": 1.0},
}  # fmt: skip


@dataclass(frozen=True)
class Latency:
    """Clock cycles of inferences in simulation.

    Attributes:
        loading: to fill the memories.
        cycles, events: of each sample.
    """

    loading: int
    cycles: list[int]
    events: list[int]

    @property
    def mean(self) -> float:
        return float(np.mean(self.cycles))


def resources(shape: CoreShape, family: str) -> tuple[dict[str, float], int]:
    """Resources of a core by yosys' synth_xilinx, and its levels of logic between registers, see ``levels``."""
    synthesis = f"synth_xilinx -family {family} -top izhi -flatten"
    netlist = json.loads(yosys.convert(AxiCore(shape), "izhi", synthesis, "write_json {file}"))
    cells = Counter(cell["type"] for cell in netlist["modules"]["izhi"]["cells"].values())
    used = {name: sum(share * cells[cell] for cell, share in kinds.items()) for name, kinds in _CELLS.items()}
    return used, levels(netlist, "izhi")


def latency(artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8]) -> Latency:
    """Clock cycles of each sample of spikes (T, batch, inputs) in the simulated core.

    Raises:
        ArtifactError: if the core's scores are not those of the integer model.
    """
    core = SimulatedCore(library(shape), shape)
    device = CoreDevice("simulator", core, shape)
    device.load(artifact)
    loading = core.cycles
    cycles, scores = [], []
    for k in range(spikes.shape[1]):
        device.clear()
        scores.append(device.run(spikes[:, k : k + 1]).scores[0])
        cycles.append(device.counters.cycles or 0)
    expected = artifact.run(spikes).scores
    if not np.array_equal(np.stack(scores), expected):
        raise ArtifactError("the simulated core and the integer model give different scores")
    return Latency(loading, cycles, spikes.sum((0, 2)).tolist())


def sources(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """Files of a core for Vivado, simulators of Verilog and drivers, by name."""
    return {
        "izhi.v": f"// {UNTESTED}.\n" + emit(shape),
        "izhi.h": header(shape),
        "core.json": to_json(shape),
        **bench(artifact, shape),
    }


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
