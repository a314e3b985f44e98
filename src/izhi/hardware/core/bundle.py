"""Files for a board: Verilog, Vivado script, register map, and what the core takes and how long it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import ArtifactError
from izhi.experiments import plots
from izhi.hardware.artifact.integers import Artifact
from izhi.hardware.core import yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.boards import UNTESTED, board, vivado_script
from izhi.hardware.core.compile import library
from izhi.hardware.core.protocol import ABORTED, Control, Error, Opcode, Register
from izhi.hardware.core.shape import CoreShape, fingerprint, to_json
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.core.verilog import emit
from izhi.hardware.devices.core import CoreDevice
from izhi.hardware.fixed import fast

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


def resources(shape: CoreShape, family: str) -> dict[str, float]:
    """What yosys' synth_xilinx makes of a core: block RAMs of 36 kbit, DSP slices, look-up tables, flip-flops."""
    synthesis = f"synth_xilinx -family {family} -top izhi -flatten"
    found = yosys.convert(AxiCore(shape), "izhi", synthesis, "tee -q -o {file} stat -json")
    cells = json.loads(found)["design"]["num_cells_by_type"]
    return {
        name: sum(share * cells.get(cell, 0) for cell, share in kinds.items())
        for name, kinds in _CELLS.items()
    }


def latency(artifact: Artifact, shape: CoreShape, spikes: NDArray[np.integer[Any]]) -> Latency:
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
    expected = fast.run(artifact.network, spikes).scores
    if not np.array_equal(np.stack(scores), expected):
        raise ArtifactError("the simulated core and the integer model give different scores")
    return Latency(loading, cycles, spikes.sum((0, 2)).tolist())


def register_map(shape: CoreShape) -> str:
    """Registers, packets and memories of a core, as Markdown."""
    lines = [
        "# Registers and packets", "",
        "AXI4-Lite, words of 32 bits; other addresses, writes to what is only read, and writes of less than"
        " four bytes answer SLVERR.", "",
        "| address | register | |", "|---|---|---|",
    ]  # fmt: skip
    lines += [f"| 0x{r:02X} | {r.name} | {r.about} |" for r in Register]
    lines += ["", f"FINGERPRINT of this core: 0x{fingerprint(shape):08X}.", ""]
    lines += [
        "CONTROL: " + "; ".join(f"bit {bit.value} {bit.about}" for bit in Control) + ".",
        "",
    ]
    lines += ["STATUS: bit 0, an inference is under way; bits 8 to 10, the error: "
              + "; ".join(f"{e.value} {e.about}" for e in Error) + ".", ""]  # fmt: skip
    lines += [
        "A packet that comes in is words that begin with an opcode in bits 28 to 31, the last with TLAST: "
        + "; ".join(f"{o.value} {o.about}" for o in Opcode) + ".", "",
        "A packet of inferences is answered by one packet: the scores of each inference, signed, with TLAST on"
        " the last. With bit 2 of CONTROL events stand before an inference's scores: kind (0 spike, 1 end of a"
        " step, 2 end) in bits 28 to 31, layer in 24 to 27, neuron in 0 to 23. If the packet that comes in is"
        f" malformed, 0x{ABORTED:X} ends the answer.", "",
        "| memory | holds | bits of a word | words |", "|---|---|---|---|",
    ]  # fmt: skip
    for number, (name, bits, words) in enumerate(shape.memories):
        lines.append(f"| {number} | {name} | {bits} | {words:,} |")
    return "\n".join([*lines, "", "How words are made up is in `izhi.hardware.core.packets`.", ""])


def build(
    artifact: Artifact,
    shape: CoreShape,
    name: str,
    folder: Path,
    spikes: NDArray[np.integer[Any]] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Write izhi.v, izhi.tcl, core.json, registers.md, report.md, report.json, resources.png and work.png.

    Args:
        artifact: the network that the latency is measured with.
        shape: of the core.
        name: of the board.
        folder: made if it is not there.
        spikes: samples (T, batch, inputs) for the latency; None to leave it out.
        report: told what is being done.

    Returns:
        what report.json holds.
    """
    target = board(name)
    report("Verilog")
    texts = {
        "izhi.v": f"// {UNTESTED}.\n" + emit(shape),
        "izhi.tcl": vivado_script(name),
        "registers.md": register_map(shape),
        "core.json": to_json(shape),
    }
    report("synthesis, about a minute")
    used = resources(shape, target.family)
    found: dict[str, Any] = {
        "board": name, "part": target.part, "resources": used, "available": target.resources,
        "lanes": [s.lanes for s in shape.layers], "units": [s.units for s in shape.layers],
        "fingerprint": fingerprint(shape), "note": UNTESTED,
    }  # fmt: skip
    if spikes is not None:
        report(f"simulation of {spikes.shape[1]} samples")
        measured = latency(artifact, shape, spikes)
        found["latency"] = {
            "cycles": measured.cycles, "events": measured.events, "mean_cycles": measured.mean,
            "load_cycles": measured.loading,
        }  # fmt: skip
    files.make_folder(folder)
    if spikes is not None:
        lanes = f"{max(s.lanes for s in shape.layers)} lanes"
        drawn = plots.work(
            measured.events, {lanes: measured.cycles}, f"the core in simulation, {lanes}"
        )
        plots.save(drawn, folder / "work.png")
    for file, text in texts.items():
        files.write_bytes(folder / file, text.encode())
    files.write_bytes(folder / "report.json", (json.dumps(found, indent=2) + "\n").encode())
    files.write_bytes(folder / "report.md", _report(found, target.megahertz).encode())
    plots.save(
        plots.resources(used, target.resources, f"{name} ({target.part})"), folder / "resources.png"
    )
    return found


def _report(found: Mapping[str, Any], megahertz: int) -> str:
    lines = [
        f"# The core on {found['board']}",
        "",
        f"{found['note'][0].upper()}{found['note'][1:]}.",
        "",
    ]
    lines += ["| resource | used | available | share |", "|---|---:|---:|---:|"]
    for name, used in found["resources"].items():
        available = found["available"][name]
        lines.append(f"| {name} | {used:,g} | {available:,} | {used / available:.1%} |")
    lines += ["", "By yosys' synth_xilinx, before placement. ![shares](resources.png)", ""]
    if "latency" in found:
        cycles, events = found["latency"]["cycles"], found["latency"]["events"]
        mean = found["latency"]["mean_cycles"]
        lines += [
            f"Cycles of an inference in simulation, over {len(cycles)} test samples: {mean:,.0f} on average,"
            f" {min(cycles):,} to {max(cycles):,}, with {np.mean(events):,.0f} input spikes on average; at"
            f" {megahertz} MHz, a clock rate that has not been measured, that would be"
            f" {mean / megahertz:,.0f} µs. Loading the network takes {found['latency']['load_cycles']:,} cycles.",
            "", "![cycles of each sample against its input spikes](work.png)", "",
        ]  # fmt: skip
    return "\n".join(lines)
