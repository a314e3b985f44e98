"""Everything that runs a network in integers, on the same samples: what differs, and what a sample costs.

    python benchmarks/executors.py NETWORK [NETWORK …] [--samples 32] [--on-core 5] [--golden 2]
        [--machines Cortex-M4,Cortex-M0,RV32] [--json executors.json]

A NETWORK is an artifact (network.izhi), or the folder of a quantised run that holds one: then the spikes of the torch
network are compared too (``izhi evaluate ARTIFACT --against RUN``). The first table has the spikes and scores that
differ from those of the integer model, step by step in numpy:

- compiled: the compiled integer model;
- C: compiled for this machine;
- WebAssembly: by clang for wasm32, run by wasmtime;
- core: simulated, the first samples alone; beside it the Verilog of ``izhi rtl`` in Verilator, by its test bench;
- microcontrollers that QEMU emulates: the golden samples in C, whose scores alone are compared.

The second has the bytes of the C (README.md of ``izhi export --target c``), instructions of a sample on each of these
machines, milliseconds on this one, and clock cycles of the core. Needs QEMU, its compilers and Verilator; what is not
installed is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from izhi import board, cli
from izhi.errors import IzhiError
from izhi.hardware import artifact, c, fixed
from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.c import webassembly
from izhi.hardware.core.bundle import bench, emit
from izhi.hardware.devices import shape_for
from izhi.hardware.fixed import Outcome

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "hardware" / "c"))

emulated = import_module("emulated")

#: Runs of which the time in C is the median.
TIMES = 5


def different(found: Outcome, expected: Outcome) -> int:
    """Spikes and scores that differ."""
    pairs = [(found.scores, expected.scores), *zip(found.spikes, expected.spikes, strict=True)]
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs)


def in_torch(network: Path) -> int | None:
    """Spikes that differ from those of the torch network of a run's folder."""
    if not network.is_dir():
        return None
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        cli.main(["evaluate", str(network / "network.izhi"), "--against", str(network)])
    found = re.findall(r"layer \d+: [\d,]+ spikes, ([\d,]+) different", out.getvalue())
    if not found:
        raise SystemExit(f"{network} cannot be compared with its artifact, see the line before")
    return sum(int(x.replace(",", "")) for x in found)


def in_web(made: IntegerArtifact, expected: Outcome, samples: int) -> int | None:
    """Spikes and scores of some samples that differ in WebAssembly."""
    if not webassembly.compiler():
        return None
    network = c.CNetwork(made.network, made.steps)
    module, found = emulated.Module(webassembly.compiled(network)), 0
    for k in range(samples):
        scores, spikes, _ = module.run(made.network, network.score_bits, made.test_inputs[:, k], shows_states=False)
        of_sample = expected.scores[k, -1] if expected.scores.ndim == 3 else expected.scores[k]
        found += different(Outcome(scores, spikes), Outcome(of_sample, [x[:, k] for x in expected.spikes]))
    return found


def in_verilog(made: IntegerArtifact) -> str | None:
    """What the test bench of ``izhi rtl`` says in Verilator."""
    if shutil.which("verilator") is None:
        return None
    shape = shape_for(made)
    with tempfile.TemporaryDirectory() as folder:
        for file, text in {"izhi.v": emit(shape), **bench(made, shape)}.items():
            Path(folder, file).write_text(text)
        command = ["verilator", "--binary", "--timing", "izhi_tb.v", "izhi.v"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        said = subprocess.run(["obj_dir/Vizhi_tb"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return "0" if "PASS" in said else "FAIL"


def on_machine(made: IntegerArtifact, machine: str) -> tuple[int, int] | str | None:
    """Wrong scores, and instructions of a sample, of the golden samples; or why not."""
    if emulated.missing(machine):
        return None
    with tempfile.TemporaryDirectory() as folder:
        c.write(made, Path(folder))
        try:
            wrong, instructions = emulated.run(Path(folder), machine, seconds=600)
        except emulated.TooLargeError:
            return "too large"
    return wrong, instructions // made.test_inputs.shape[1]


def measured(network: Path, samples: int, on_core: int, golden: int, machines: Sequence[str]) -> dict[str, Any]:
    """A row of both tables."""
    try:
        whole = artifact.load(network / "network.izhi" if network.is_dir() else network)
    except IzhiError as error:
        raise SystemExit(str(error)) from None
    if not isinstance(whole, IntegerArtifact):
        raise SystemExit(f"{network} is no network in integers; export one by izhi export")
    made = replace(whole, test_inputs=whole.test_inputs[:, :samples], test_scores=whole.test_scores[:samples])
    few = replace(made, test_inputs=made.test_inputs[:, :golden], test_scores=made.test_scores[:golden])
    spikes = made.test_inputs
    expected = fixed.run(made.network, spikes)
    row: dict[str, Any] = {
        "network": str(network), "samples": spikes.shape[1], "spikes": int(sum(x.sum() for x in expected.spikes)),
        "torch": in_torch(network),
        "compiled": different(fixed.run_compiled(made.network, spikes), expected),
        "WebAssembly": in_web(made, expected, min(samples, on_core)),
    }  # fmt: skip
    with board.open("c", made) as device:
        row["C"] = different(device.run(spikes, sends_spikes=True), expected)
        seconds = []
        for _ in range(TIMES):
            began = time.perf_counter()
            device.run(spikes)
            seconds.append(time.perf_counter() - began)
        row["milliseconds"] = 1e3 * statistics.median(seconds) / spikes.shape[1]
    first = spikes[:, :on_core]
    with board.open("simulator", made) as device:
        row["core"] = different(device.run(first, sends_spikes=True), fixed.run(made.network, first))
        row["cycles"] = (device.counters.cycles or 0) // first.shape[1]
    row["Verilog"] = in_verilog(few)
    compiled = c.CNetwork(made.network, made.steps, None)
    row |= {"flash": compiled.flash, "ram": compiled.ram}
    row["machines"] = {machine: on_machine(few, machine) for machine in machines}
    return row


def tables(rows: Sequence[dict[str, Any]], machines: Sequence[str]) -> str:
    """Both tables."""
    names = ["torch", "compiled", "C", "WebAssembly", "core", "Verilog"]

    def shown(value: object) -> str:
        return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)

    def of_machine(row: dict[str, Any], machine: str, place: int) -> str:
        found = row["machines"][machine]
        return shown(found[place] if isinstance(found, (tuple, list)) else found)

    lines = ["| network | samples | spikes | " + " | ".join([*names, *machines]) + " |"]
    lines.append("|---" * (3 + len(names) + len(machines)) + "|")
    for row in rows:
        cells = [row["network"], *(shown(row[x]) for x in ("samples", "spikes", *names))]
        lines.append("| " + " | ".join([*cells, *(of_machine(row, x, 0) for x in machines)]) + " |")
    lines += ["", "| network | flash | RAM | " + " | ".join(machines) + " | ms | cycles |"]
    lines.append("|---" * (5 + len(machines)) + "|")
    for row in rows:
        cells = [row["network"], shown(row["flash"]), shown(row["ram"])]
        cells += [of_machine(row, x, 1) for x in machines]
        lines.append("| " + " | ".join([*cells, f"{row['milliseconds']:.3g}", shown(row["cycles"])]) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", type=Path)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--on-core", type=int, default=5, help="samples of the core and of WebAssembly")
    parser.add_argument("--golden", type=int, default=2, help="samples of microcontrollers and of Verilog")
    parser.add_argument("--machines", default=",".join(emulated.MACHINES))
    parser.add_argument("--json", type=Path)
    a = parser.parse_args(arguments)
    machines, rows = a.machines.split(","), []
    if unknown := [x for x in machines if x not in emulated.MACHINES]:
        parser.error(f"--machines: {unknown[0]!r} is none of {', '.join(emulated.MACHINES)}")
    for network in a.networks:
        rows.append(measured(network, a.samples, a.on_core, a.golden, machines))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n")
    print(tables(rows, machines))


if __name__ == "__main__":
    main()
