"""A core for a board: its sources, its resources by yosys, and its latency in simulation."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ArtifactError
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import packets, yosys
from izhi.hardware.core.axi import AxiCore
from izhi.hardware.core.boards import UNTESTED, filled
from izhi.hardware.core.compile import library
from izhi.hardware.core.description import to_json
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.packets import Words
from izhi.hardware.core.protocol import ABORTED, IDENTITY, VERSION, Control, Error, Opcode, Register, Status
from izhi.hardware.core.shape import COUNTED_BITS, PAIR_BITS, CoreShape, ceil_div, fingerprint
from izhi.hardware.core.simulated import SimulatedCore
from izhi.hardware.devices.core import CoreDevice
from izhi.hardware.fixed import run
from izhi.hardware.fixed.arithmetic import Integers

#: From Amaranth's netlist to plain Verilog, of which no simulator warns. A multiplexer of many inputs would become a
#: function, whose name Icarus Verilog refuses; operands get the width of their result; a net that several cells drive
#: is split, since Verilator evaluates whole nets.
_PASSES = (
    f'proc; memory_collect; pmuxtree; techmap -map "{Path(__file__).with_name("widths.v")}"; opt_clean;'
    " splitnets -driver; opt_clean -purge"
)
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
#: Cells whose outputs follow their inputs within a cycle, among them memories of look-up tables that are read.
_LOGIC = ("LUT", "MUXF", "CARRY", "INV", "RAM32", "RAM64", "RAM128", "RAM256", "DSP48", "SRL")
#: Inputs of those memories on which no output depends within a cycle: data and enables of writes, and clocks.
_WRITTEN = ("DI", "D", "WE", "WCLK", "CLK", "CE", "RST")
#: Samples of the test bench.
_SAMPLES = 2


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


def latency(
    artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8],
    progress: Callable[[int], None] = lambda done: None,
) -> Latency:  # fmt: skip
    """Clock cycles of each sample of spikes (T, batch, inputs) in the simulated core.

    ``progress`` is called with the number of finished samples.

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
        progress(k + 1)
    expected = artifact.run(spikes).scores
    if not np.array_equal(np.stack(scores), expected):
        raise ArtifactError("the simulated core and the integer model give different scores")
    return Latency(loading, cycles, spikes.sum((0, 2)).tolist())


def common(shape: CoreShape) -> dict[str, str]:
    """Files that describe a core to drivers in C and Python, by name."""
    return {"izhi.h": header(shape), "core.json": to_json(shape)}


def sources(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """Files of a core as a block for AXI, for synthesis and simulators of Verilog, by name."""
    return {"izhi.v": f"// {UNTESTED}.\n" + emit(shape), **bench(artifact, shape)}


def emit(shape: CoreShape) -> str:
    """Verilog of a core; the module ``izhi`` is the block of AXI."""
    core = AxiCore(shape)
    inner = yosys.verilog(core, "izhi_core", _PASSES, "-noattr")
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


def levels(netlist: Mapping[str, Any], top: str) -> int:
    """The most cells of logic that a signal passes between two registers, block memories or ports.

    Look-up tables, their multiplexers, and products count as one each, and so does a whole chain of carries, which is
    little slower than a table.

    Args:
        netlist: of a flat design, by yosys' ``write_json``.
        top: its module.
    """
    cells = [cell for cell in netlist["modules"][top]["cells"].values() if cell["type"].startswith(_LOGIC)]
    drivers = {bit: k for k, cell in enumerate(cells) for bit in _bits(cell, "output") if isinstance(bit, int)}
    before: dict[int, set[int]] = defaultdict(set)
    for k, cell in enumerate(cells):
        before[k] = {drivers[bit] for bit in _bits(cell, "input") if bit in drivers and drivers[bit] != k}
    carries = {k for k, cell in enumerate(cells) if cell["type"].startswith("CARRY")}
    depth = dict.fromkeys(range(len(cells)), 1)
    for k in TopologicalSorter(before).static_order():
        depth[k] = max((depth[other] + (not {k, other} <= carries) for other in before[k]), default=1)
    return max(depth.values(), default=0)


def _bits(cell: Mapping[str, Any], direction: str) -> Iterator[int | str]:
    """The nets of a cell's inputs or outputs that are connected within a cycle."""
    is_memory = cell["type"].startswith(("RAM", "SRL"))
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] != direction:
            continue
        if direction == "input" and is_memory and port.startswith(_WRITTEN):
            continue
        yield from bits


def header(shape: CoreShape) -> str:
    """Registers, words of packets, and memories of a core, as #define of C."""
    kinds = ((Register, "REG"), (Control, "CONTROL"), (Status, "STATUS"), (Error, "ERROR"), (Opcode, "OP"))
    rows: list[tuple[str, int, str]] = [
        ("IDENTITY", IDENTITY, ""), ("VERSION", VERSION, ""), ("FINGERPRINT", fingerprint(shape), "of this core"),
        ("ABORTED", ABORTED, "the last word of an answer to a malformed packet"),
        *((f"{prefix}_{member.name}", member.value, member.about) for kind, prefix in kinds for member in kind),
        ("OP_SHIFT", 28, "of the opcode in a word"), ("INPUTS", shape.layers[0].inputs, ""),
        ("LAYERS", len(shape.layers), ""), ("SCORES", shape.scores, ""), ("MOST_STEPS", shape.steps, ""),
        ("MEMORIES", len(shape.memories), ""), ("SPIKES", shape.layers[0].spikes, "inputs in a word, at most"),
        ("PAIR_SHIFT", PAIR_BITS, "of the second spike in such a word"),
        ("LARGEST_INPUT", shape.layers[0].largest_input, "spikes of an input in a step, at most"),
        ("COUNT_SHIFT", COUNTED_BITS, "of their number in a word"),
    ]  # fmt: skip
    for number, (about, bits, words) in enumerate(shape.memories):
        rows += [(f"MEMORY_{number}_BITS", bits, about), (f"MEMORY_{number}_WORDS", words, "")]
        rows.append((f"MEMORY_{number}_CHUNKS", ceil_div(bits, 32), "words of 32 bits of each"))
    lines = [f"#define IZHI_{name} 0x{value:X}u" + (f" /* {about} */" if about else "") for name, value, about in rows]
    first = "/* Izhi's core: byte addresses of registers, bits, words of packets, and memories; see registers.md. */"
    return "\n".join([first, "#ifndef IZHI_H", "#define IZHI_H", "", *lines, "", "#endif"]) + "\n"


def bench(artifact: IntegerArtifact, shape: CoreShape) -> dict[str, str]:
    """Test benches in Verilog and for cocotb, and their words, by the names of the files.

    That in Verilog ends with PASS, or with FAIL and the differences. Samples are those of ``traffic``.
    """
    written, spikes, scores = traffic(artifact, shape)
    sent = [*written, packets.inferences(spikes, shape.layers[0].spikes)]
    words = [f"{word | (k == len(packet) - 1) << 32:09x}" for packet in sent for k, word in enumerate(packet.tolist())]
    answers = [f"{word:08x}" for word in scores.astype(np.int32).reshape(-1).view(np.uint32).tolist()]
    return {
        "izhi_tb.v": filled(
            "izhi_tb.v", words=len(words), answers=len(answers), last_word=len(words) - 1, last_answer=len(answers) - 1
        ),
        "izhi_tb_in.hex": "\n".join(words) + "\n",
        "izhi_tb_out.hex": "\n".join(answers) + "\n",
        "izhi_cocotb.py": filled("system/izhi_cocotb.py"),
    }


def traffic(artifact: IntegerArtifact, shape: CoreShape) -> tuple[list[Words], NDArray[np.integer], Integers]:
    """What a test of a core sends and expects: packets that fill its memories, spikes (T, samples, inputs) and their
    scores (samples, classes).

    Args:
        artifact: whose first test vectors are the samples; random ones if it has none.
        shape: of the core, which may be larger than the network.
    """
    network = fitted(shape, artifact.network, artifact.steps)
    spikes = _samples(artifact, shape)
    written = [packets.write(number, words) for number, words in enumerate(packets.memories(shape, network))]
    return written, spikes, run(network, spikes).scores


def _samples(artifact: IntegerArtifact, shape: CoreShape) -> NDArray[np.integer]:
    """Spikes (T, samples, inputs) of the core's inputs."""
    inputs = artifact.network.inputs
    spikes: NDArray[np.integer] = artifact.test_inputs[:, :_SAMPLES]
    if not spikes.size:
        spikes = np.random.default_rng(0).integers(0, 2, (artifact.steps, _SAMPLES, inputs))
    held = np.minimum(spikes, shape.layers[0].largest_input)
    return np.pad(held, ((0, 0), (0, 0), (0, shape.layers[0].inputs - inputs)))
