"""A core for a board as a folder of files, with a report of its resources, latency and energy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import SettingError
from izhi.experiments import plots
from izhi.experiments.tables import Table, markdown, write_report
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.core import bundle, energy, routing, soc
from izhi.hardware.core.activity import activity
from izhi.hardware.core.boards import UNTESTED, Board, OwnSystem, SerialBoard, board, checked_clock, vivado_script
from izhi.hardware.core.fit import fitted
from izhi.hardware.core.protocol import ABORTED, Control, Error, Opcode, Register, Status
from izhi.hardware.core.serial.frames import BAUD
from izhi.hardware.core.shape import CoreShape, LayerShape, ReadoutShape, fingerprint

#: The contents of report.json.
Report: TypeAlias = dict[str, Any]


def register_map(shape: CoreShape) -> str:
    """Registers, packets and memories of a core, as Markdown."""
    registers = [(f"0x{r:02X}", r.name, r.about) for r in Register]
    memories = [(number, name, bits, f"{words:,}") for number, (name, bits, words) in enumerate(shape.memories)]
    control = "; ".join(f"bit {bit.value} {bit.about}" for bit in Control)
    status = f"bit 0 {Status.BUSY.about}; bit 1 {Status.ANSWERING.about}; {Status.ERROR.about}"
    errors = "; ".join(f"{e.value} {e.about}" for e in Error)
    opcodes = "; ".join(f"{o.value} {o.about}" for o in Opcode)
    return f"""\
# Registers and packets

AXI4-Lite, words of 32 bits; other addresses, writes to what is only read, and writes of less than four bytes answer
SLVERR.

{markdown(("address", "register", ""), registers)}

FINGERPRINT of this core: 0x{fingerprint(shape):08X}.

CONTROL: {control}.

STATUS: {status}: {errors}.

To begin anew after a failure: reset the DMA, set CLEAR, fetch packets while bit {Status.ANSWERING:d} of STATUS is 1,
and reset the DMA again.

A packet that comes in is words that begin with an opcode in bits 28 to 31, the last with TLAST: {opcodes}.

A packet of inferences is answered by one packet: the scores of each inference, signed, with TLAST on the last. With
bit 2 of CONTROL events stand before an inference's scores: kind (0 spike, 1 end of a step, 2 end) in bits 28 to 31,
layer in 24 to 27, neuron in 0 to 23. If the packet that comes in is malformed, 0x{ABORTED:X} ends the answer.

{markdown(("memory", "holds", "bits of a word", "words"), memories)}

A memory word of more than 32 bits is written as words of 32 bits, the lowest first, the last filled up. The bits of a
memory word from the lowest, all numbers in two's complement:

{_layouts(shape)}
The same numbers for C are in izhi.h.
"""


def _layouts(shape: CoreShape) -> str:
    texts = [_layout_of_layer(shape.memory_of(k), layer) for k, layer in enumerate(shape.layers)]
    readout = shape.readout
    return "\n".join([*texts, *([] if readout is None else [_layout_of_readout(shape.memory_of(len(texts)), readout)])])


def _layout_of_layer(number: int, s: LayerShape) -> str:
    own = f", and behind the {s.features} inputs the layer's own neurons as sources" if s.recurrent else ""
    own += "; inputs are those behind the pools" if s.pools else ""
    source, neurons = "source", "neurons"
    if s.window is not None:
        down, across = s.window.kernel
        source, neurons = f"((channel · {down} + row) · {across} + column)", "channels"
        own = "; row and column are those of the kernel"
    delays = f"\n- Memory {number + 2}, word `input`: its delay in steps." if s.delay else ""
    return f"""\
- Memory {number}, word `{source} · {s.groups} + group`{own}: the weights, of {s.weight_bits} bits, from there to
  {neurons} `{s.lanes} · group` to `{s.lanes} · group + {s.lanes - 1}`; 0 for {neurons} from {s.channels} on.
- Memory {number + 1}, word `n`: the constants of {neurons} `{s.units} · n` to `{s.units} · n + {s.units - 1}`, of
  {sum(s.constants)} bits each; 0 for {neurons} from {s.channels} on.{delays}

Constants of one of the {neurons}:

{_fields(zip(s.names, s.constants, strict=True))}"""


def _layout_of_readout(number: int, r: ReadoutShape) -> str:
    return f"""\
- Memory {number}, word `input`: the weights, of {r.weight_bits} bits, from the input to classes 0 to {r.outputs - 1}.
- Memory {number + 1}, word `class`:

{_fields(r.bits.items())}"""


def _fields(widths: Iterable[tuple[str, int]]) -> str:
    rows, at = [], 0
    for name, bits in widths:
        rows.append((name, at, bits))
        at += bits
    return markdown(("constant", "lowest bit", "bits"), rows) + "\n"


def build(
    artifact: IntegerArtifact, shape: CoreShape, name: str, folder: Path, spikes: NDArray[np.uint8] | None = None,
    progress: Callable[[str], None] = lambda line: None, *, megahertz: int | None = None, baud: int = BAUD,
    shows_activity: bool = False, simulated: Callable[[int], None] = lambda done: None,
) -> Report:  # fmt: skip
    """Write the core's sources, its test bench, registers.md, report.md, report.json, resources.png and work.png.

    Args:
        artifact: the network of the latency.
        name: of the board; for one without a processor the bitstream is built as well.
        spikes: samples (T, batch, inputs) for the latency; None to omit it.
        progress: called with the name of each step.
        megahertz: of the core's clock; None for the board's default.
        baud: bits a second of a board's serial line.
        simulated: called with the number of simulated samples.
        shows_activity: whether to report how often the registers of each block change; the core is compiled anew.

    Returns:
        the contents of report.json.

    Raises:
        SettingError: for an unknown board, or a clock or rate out of range; and if a routed design misses its clock,
            after the reports are written, without a bitstream.
    """
    target, clock = board(name), checked_clock(name, megahertz)
    texts, report = _describe(artifact, shape, name, clock, baud, progress)
    # Synthesis and the simulator's compiler are processes of their own, which two cores run at once.
    with ThreadPoolExecutor(1) as pool:
        synthesis = pool.submit(_synthesize, shape, target)
        measured: Report = {}
        if spikes is not None:
            measured = _measure(artifact, shape, spikes, progress, simulated, shows_activity)
        report |= {**synthesis.result(), **measured}
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).parent.mkdir(exist_ok=True)
        files.write_bytes(folder / file, text.encode())
    if isinstance(target, SerialBoard):
        report |= {"note": routing.UNTESTED, **asdict(routing.build(folder, target, clock, progress))}
    _write(report, shape, folder)
    _require_clock(report, folder)
    return report


def _describe(
    artifact: IntegerArtifact, shape: CoreShape, name: str, clock: int, baud: int, progress: Callable[[str], None]
) -> tuple[dict[str, str], Report]:
    """The text files of a core by their names, and what is known of it before it runs."""
    target = board(name)
    progress("Verilog")
    texts = {**bundle.common(shape), "registers.md": register_map(shape)}
    report: Report = {
        "board": name, "part": target.part, "available": dict(target.resources),
        "lanes": [s.lanes for s in shape.layers], "units": [s.units for s in shape.layers],
        "spikes": shape.layers[0].spikes, "fingerprint": fingerprint(shape), "megahertz": clock,
    }  # fmt: skip
    if isinstance(target, SerialBoard):
        routing.require_tools(target)
        return {**texts, **routing.sources(shape, target, clock, baud)}, report
    texts |= bundle.sources(artifact, shape)
    report |= {"note": UNTESTED, "resources": {}}
    if isinstance(target, OwnSystem):
        return {**texts, **soc.sources(artifact, shape)}, report
    progress("synthesis, about a minute")
    return {**texts, "izhi.tcl": vivado_script(name, clock)}, report


def _synthesize(shape: CoreShape, target: Board | SerialBoard | OwnSystem) -> Report:
    """Resources and levels of logic, for devices of Xilinx."""
    if not isinstance(target, Board):
        return {}
    used, deepest = bundle.resources(shape, target.family)
    return {"resources": used, "levels": deepest}


def _require_clock(report: Report, folder: Path) -> None:
    clock = report["megahertz"]
    if report.get("reached", clock) < clock:
        raise SettingError(
            f"clock is {clock} MHz, which the routed core misses: it reaches {report['reached']:.1f} MHz, see"
            f" {folder / 'report.md'}; use a lower --clock, or fewer lanes or units"
        )


def _measure(
    artifact: IntegerArtifact, shape: CoreShape, spikes: NDArray[np.uint8], progress: Callable[[str], None],
    simulated: Callable[[int], None], shows_activity: bool,
) -> Report:  # fmt: skip
    progress(f"simulation of {spikes.shape[1]} samples")
    measured = bundle.latency(artifact, shape, spikes, simulated)
    operations = energy.operations(fitted(shape, artifact.network, artifact.steps), shape, spikes)
    report: Report = {
        "latency": {
            "cycles": measured.cycles, "events": measured.events, "mean_cycles": measured.mean,
            "load_cycles": measured.loading,
        },
        "operations": [asdict(operation) for operation in operations],
    }  # fmt: skip
    if shows_activity:
        progress(f"activity of registers, {spikes.shape[1]} samples")
        report["activity"] = [asdict(block) for block in activity(artifact, shape, spikes)]
    return report


def _write(report: Report, shape: CoreShape, folder: Path) -> None:
    files.write_bytes(folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())
    write_report(folder / "report.md", *_blocks(report))
    title = f"{report['board']} ({report['part']})"
    if report["resources"]:
        plots.save(plots.resources(report["resources"], report["available"], title), folder / "resources.png")
    if "latency" in report:
        most = max(s.lanes for s in shape.layers)
        lanes = f"{most} lane{'s' if most != 1 else ''}"
        latency = report["latency"]
        figure = plots.work(latency["events"], {lanes: latency["cycles"]}, f"the core in simulation, {lanes}")
        plots.save(figure, folder / "work.png")


def _blocks(report: Report) -> Iterator[str | Table]:
    """The blocks of report.md."""
    note = report["note"]
    yield f"# The core on {report['board']}"
    yield f"{note[0].upper()}{note[1:]}."
    for name, section in (
        ("resources", _resources),
        ("reached", _routed),
        ("latency", _latency),
        ("operations", _energy),
        ("activity", _activity),
    ):
        if report.get(name):
            yield from section(report)


def _resources(report: Report) -> Iterator[str | Table]:
    """What the core uses of the device."""
    pairs = [(name, used, report["available"][name]) for name, used in report["resources"].items()]
    rows = [(name, f"{used:,g}", f"{there:,}", f"{used / there:.1%}") for name, used, there in pairs]
    yield Table(("resource", "used", "available", "share"), rows, right=(1, 2, 3))
    source = "yosys' synth_xilinx, before placement"
    if "reached" in report:
        source = next(f"nextpnr ({x}), routed" for name, x in report["tools"].items() if name.startswith("nextpnr"))
    yield f"By {source}. ![shares](resources.png)"
    if "levels" in report:
        yield (
            f"Levels of logic between registers: {report['levels']} at most; a chain of carries counts as one, and"
            " multiplexers behind look-up tables count."
        )


def _routed(report: Report) -> Iterator[str | Table]:
    """The clock that the routed design reaches, and its critical path."""
    synthesis, route = report["seconds"]
    rows, at = [], 0.0
    for kind, start, end, delay in report["path"]:
        at += delay
        rows.append((kind, start if start == end else f"{start} → {end}", f"{delay:.2f}", f"{at:.2f}"))
    yield (
        f"Clock: {report['reached']:.1f} MHz, wanted {report['megahertz']}. Synthesis took {synthesis:,.0f} s, place"
        f" and route {route:,.0f} s. The critical path:"
    )
    yield Table(("", "where", "ns", "so far"), rows, right=(2, 3))


def _latency(report: Report) -> Iterator[str | Table]:
    latency, megahertz = report["latency"], report["megahertz"]
    cycles, mean, is_met = latency["cycles"], latency["mean_cycles"], report.get("reached", 0) >= megahertz
    yield (
        f"Cycles of an inference in simulation, over {len(cycles)} test samples: {mean:,.0f} on average,"
        f" {min(cycles):,} to {max(cycles):,}, with {np.mean(latency['events']):,.0f} input spikes on average; at"
        f" {megahertz} MHz, {'which nextpnr confirms' if is_met else 'a clock rate that has not been measured'}, that"
        f" would be {mean / megahertz:,.0f} µs. Loading the network takes {latency['load_cycles']:,} cycles."
    )
    yield "![cycles of each sample against its input spikes](work.png)"


def _energy(report: Report) -> Iterator[str | Table]:
    operations = report["operations"]
    rows = [
        (one["block"], one["what"], f"{one['count']:,.0f}", f"{one['picojoules'] / 1000:,.1f}") for one in operations
    ]
    total, (least, most) = sum(one["picojoules"] for one in operations), energy.FPGA
    yield "## Energy of a sample: an estimate"
    yield Table(("", "what", "how often", "nJ at 45 nm"), rows, right=(2, 3))
    yield (
        f"{total / 1000:,.0f} nJ in an integrated circuit of 45 nm, from published energies of additions, products and"
        f" accesses to memories (Horowitz, ISSCC 2014), and {total * least / 1e6:,.1f} to {total * most / 1e6:,.1f} µJ"
        f" in an FPGA of that process, which takes {least:g} to {most:g} times as much (Kuon and Rose, IEEE TCAD 2007)."
        " The clock, leakage, pins and a processor beside it are not counted: an estimate to compare cores with, no"
        " measurement."
    )


def _activity(report: Report) -> Iterator[str | Table]:
    rows = [
        (one["block"], f"{one['bits']:,}", f"{one['changes']:,.0f}", f"{one['rate']:.2%}") for one in report["activity"]
    ]
    yield "## Switching activity"
    yield Table(("block", "bits of registers", "of them change in a sample", "in a cycle"), rows, right=(1, 2, 3))
    yield (
        "From simulation, without glitches. Dynamic power is ½·V²·f·Σ C·α, with the share α of cycles in which a bit of"
        " capacitance C changes: tools that know C, such as Vivado's `report_power`, take α as a toggle rate."
    )
