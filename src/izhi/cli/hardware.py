"""Commands from a trained network to hardware: quantise, export, run on a device."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from izhi import data
from izhi.cli.common import (
    agreed_plan,
    command_line,
    hold,
    make_folder,
    print_table,
    report_line,
    whole_numbers,
    write_json,
)
from izhi.cli.deployed import at_least, test_samples
from izhi.cli.progress import TerminalListener, report_samples
from izhi.cli.runs import make_runner
from izhi.errors import SettingError, of_extra
from izhi.experiments import build, export, export_ip, report, run as run_of, samples, sweep
from izhi.experiments.planned import Resources, keep_plan
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.settings import Experiment, Mark, marked
from izhi.experiments.settings.choices import QUANTIZATION_METHODS
from izhi.experiments.tables import percent
from izhi.hardware import artifact, c, devices as board, networks
from izhi.hardware.c import webassembly
from izhi.hardware.core import larger
from izhi.hardware.devices.evaluation import Labels, evaluate, save_samples
from izhi.hardware.networks import Inputs

_CHANGES = marked(Mark.OF_QUANTIZING)
#: Test samples of a simulated core, unless a number is given.
_SIMULATED = 20
#: Who writes the program of an artifact into a folder, by target.
_WRITERS = {"c": c.write, "wasm": webassembly.write}


def quantize(a: argparse.Namespace) -> None:
    if a.only_checks:
        _check(a)
        return
    agreed, runs, planned = _planned(a)
    many: bool = agreed.get("sweep", False)
    method, (e, *_) = planned[0]
    resources = Resources(report_line)
    dataset = resources.dataset(e)
    build.check(e, dataset)
    # The network is the same for all bits.
    if (whole := next((e for _, (e, *_) in planned if e.quantization.is_whole), None)) is not None:
        export.expect_integers(Path("the network"), whole)
        run_of.require_core(whole, dataset, runs[0].weights)
    rounded = None if many or method == "qat" else run_of.rounded(e, dataset, runs[0].weights)
    if rounded is not None and e.quantization.is_whole:
        export.require_hardware(e, dataset, rounded.network)
    listener = TerminalListener(len(planned) * len(runs), quiet=a.quiet, verbose=a.verbose)
    runner = make_runner(a, listener, runs[0].experiment, listener.runs, resources)
    folder = make_folder(a, f"{'sweep' if many else 'quantize'}-{e.data.dataset}")
    with hold(folder):
        keep_plan(folder, agreed)
        if not many:
            _quantize_one(a, runs[0], e, method, dataset, RunFolder(folder), listener, rounded)
            return
        with listener:
            swept = sweep.sweep(runs, planned, folder, runner, resume=a.resume, command=agreed["command"])
    print_table(swept.table(), f"{dataset.name}: float {percent(swept.float_accuracies)} %")
    print(f"figure: {folder / 'pareto.png'}\ntable: {folder / 'sweep.md'}")
    write_json(a.json, swept.model_dump(mode="json"))


def _check(a: argparse.Namespace) -> None:
    """Print whether a run, or the network of a file of settings, can be quantised, exported and run on a core."""
    if len(a.folders) != 1:
        raise SettingError(f"{len(a.folders)} runs are named, expected one run, or a TOML file of settings")
    run, checked = sweep.FloatRun.of(Path(a.folders[0])), []
    changes = {name: getattr(a, name) for name in _CHANGES if getattr(a, name) is not None}
    for weights in whole_numbers("weights", str(a.weights or 4), "8,4,2"):
        for states in whole_numbers("states", str(a.states or 16), "16,12"):
            e = run.rounded(weights, states, a.method or "ptq", changes)
            dataset = build.dataset(e.data, report_line)
            build.check(e, dataset)
            weights_of = run.weights or build.float_weights(e, dataset)
            export.require_hardware(e, dataset, run_of.rounded(e, dataset, weights_of).network)
            checked.append({"weight_bits": weights, "state_bits": states})
            print(f"weights of {weights} bits, states of {states}: can be quantised, exported and run on a core")
    write_json(a.json, checked)


def _planned(a: argparse.Namespace) -> tuple[dict[str, Any], list[sweep.FloatRun], sweep.Plan]:
    """The plan of the folder, its float runs, and the experiments of each point."""
    bits = {name: whole_numbers(name, getattr(a, name), "8,4,2") for name in ("weights", "states") if getattr(a, name)}
    options = {"runs": [str(Path(x).absolute()) for x in a.folders] or None, "method": a.method,
               "sweep": a.sweep or None, **bits, **{name: getattr(a, name) for name in _CHANGES}}  # fmt: skip
    agreed: dict[str, Any] = {"command": command_line(), **agreed_plan(a, options)}
    if "runs" not in agreed:
        raise SettingError("no run is named, expected the folder of a float network; give it: izhi quantize RUN")
    runs = sweep.load_runs([Path(folder) for folder in agreed["runs"]])
    many = agreed.get("sweep", False)
    methods = [agreed["method"]] if "method" in agreed else QUANTIZATION_METHODS if many else ("qat-after-ptq",)
    weights, states = ([8, 4, 3, 2], [16, 12, 8]) if many else ([4], [16])
    changes = {name: agreed[name] for name in _CHANGES if name in agreed}
    planned = sweep.plan(runs, methods, agreed.get("weights", weights), agreed.get("states", states), changes)
    if len(planned) > 1 and not many:
        raise SettingError(f"weights and states name {len(planned)} formats; add --sweep")
    if len(runs) > 1 and not many:
        raise SettingError(f"{len(runs)} runs are named, expected one; add --sweep for their mean")
    if not many and (a.ray is not None or a.jobs not in (None, 1)):
        raise SettingError("jobs and ray are for several runs, but one is quantised; add --sweep, or leave them out")
    return agreed, runs, planned


def _quantize_one(
    a: argparse.Namespace, run: sweep.FloatRun, e: Experiment, method: str, dataset: data.Dataset, folder: RunFolder,
    listener: TerminalListener, rounded: run_of.Rounded | None,
) -> None:  # fmt: skip
    folder.open(e, resume=a.resume, command=command_line())
    fabric = build.fabric(e)
    accuracies = {"float_accuracy": run.accuracy}
    if method == "qat-after-ptq" and rounded is not None:
        encoder = build.encoder(e, dataset)
        ptq = run_of.evaluate(fabric, e, encoder, rounded.network, dataset.test, dataset.groups).accuracy
        accuracies["ptq_accuracy"] = ptq
        if not a.quiet:
            report_line(f"rounded by PTQ: {100 * ptq:.2f} % (float {100 * run.accuracy:.2f} %), training follows")
    with listener:
        result = sweep.quantize(fabric, run, e, method, dataset, folder, listener, rounded=rounded)
    report.write(result, folder, command_line(), before=accuracies)
    accuracies["test_accuracy"] = result.test_accuracy
    before = f", rounded by PTQ {100 * accuracies['ptq_accuracy']:.2f} %" if "ptq_accuracy" in accuracies else ""
    print(f"test accuracy: {100 * result.test_accuracy:.2f} %, float {100 * run.accuracy:.2f} %{before}")
    print(f"report: {folder.path / 'report.md'}\nrun: {folder.path}")
    write_json(a.json, {**accuracies, "config": e.flat(plain=True), "folder": str(folder.path)})


def export_run(a: argparse.Namespace) -> None:
    at_least("samples", a.samples, 0)
    path = Path(a.folder)
    if a.target in _WRITERS:
        _export_program(a, path)
        return
    made: artifact.Artifact[networks.HardwareNetwork]
    if a.target == "hls-ip":
        made = export_ip.artifact(path, a.dataset, a.build)
        network = made.network
        sizes = "-".join(map(str, (network.inputs, *network.sizes)))
        about = f"{sizes} in float32 for the FPGA IP, build {network.build}, T = {made.steps}"
    else:
        _refuse_options_of_ip(a)
        made = export.artifact(path)
        about = f"{len(made.network.layers)} layers, T = {made.steps}"
    out = Path(a.out or (path.parent if path.is_file() else path) / "network.izhi")
    artifact.save(made, out)
    artifact.load(out)
    if a.samples:
        file = out.with_name("samples.npz")
        inputs, labels = samples.joined(_batches(made, a.samples))
        save_samples(file, inputs, labels)
        print(f"{file}: {len(labels):,} test samples")
    size = out.stat().st_size
    print(f"{out}: {size:,} bytes, {about}")
    write_json(a.json, {"artifact": str(out), "bytes": size, "classes": list(made.classes)})


def _export_program(a: argparse.Namespace, path: Path) -> None:
    _refuse_options_of_ip(a)
    if a.samples:
        raise SettingError("--samples is of artifacts; the program has the artifact's golden samples, leave it out")
    made = artifact.load_integers(path) if path.is_file() else export.artifact(path)
    out = Path(a.out or (path.with_suffix("") if path.is_file() else path) / a.target)
    written = _WRITERS[a.target](made, out)
    if a.target == "c":
        print((out / "README.md").read_text())
        print(f"files: {out}; check them: make -C {out}")
    else:
        size = (out / "network.wasm").stat().st_size
        print(f"{out / 'network.wasm'}: {size:,} bytes; look at it: python -m http.server -d {out}")
    write_json(a.json, {"folder": str(out), "files": [file.name for file in written], "classes": list(made.classes)})


def _refuse_options_of_ip(a: argparse.Namespace) -> None:
    for name in ("dataset", "build"):
        if getattr(a, name) is not None:
            raise SettingError(f"--{name} is of --target hls-ip only; leave it out")


def _batches(made: artifact.Artifact[networks.HardwareNetwork], count: int) -> Iterator[tuple[Inputs, Labels]]:
    return samples.batches(made, samples.dataset_of(made, report_line), count)


def run(a: argparse.Namespace) -> None:
    made = artifact.load(a.artifact)
    is_slow, processors = a.device == "simulator", os.cpu_count() or 1
    batches, dataset = test_samples(a, made, usual=_SIMULATED if is_slow else None)
    if is_slow:
        batches = samples.few_at_once(batches, processors)
    total = None
    if dataset is not None:
        total = min(len(dataset.test), int(a.samples or (_SIMULATED if is_slow else len(dataset.test))))
    values = {name: getattr(a, name) for name in ("folder", "lanes", "units", "spikes", "port", "baud")}
    values["copies"] = processors if is_slow else None
    options = {name: value for name, value in values.items() if value is not None}
    with board.open(a.device, made, **options) as device:
        if is_slow and dataset is not None and a.samples is None and len(dataset.test) > _SIMULATED:
            report_line(f"{_SIMULATED} of {len(dataset.test):,} test samples, since simulation is slow (--samples)")
        result = evaluate(device, batches, compares=a.compare, progress=report_samples(total, report_line))
    print("\n".join(result.lines()))
    write_json(a.json, {**result.summary(), "device": a.device,
                        "provenance": dict(made.provenance), "versions": versions()})  # fmt: skip
    result.require_exact(device)


def rtl(a: argparse.Namespace) -> None:
    with of_extra("amaranth or yosys", "hardware"):
        from izhi.experiments import core_report
        from izhi.hardware.core import boards
    at_least("samples", a.samples, 0)
    boards.checked_clock(a.board, a.clock)
    made = artifact.load_integers(a.artifact)
    shape = board.shape_for(made, a.lanes, a.units, a.spikes)
    if a.sizes is not None:
        shape = larger(shape, whole_numbers("sizes", a.sizes, "784,1024,10"))
    out = Path(a.out or Path(a.artifact).with_suffix("") / a.board)
    spikes = next(_batches(made, a.samples))[0].astype(np.uint8) if a.samples else None
    simulated = report_samples(None if spikes is None else spikes.shape[1], report_line)
    result = core_report.build(
        made,
        shape,
        a.board,
        out,
        spikes,
        report_line,
        simulated=simulated,
        megahertz=a.clock,
        baud=a.baud,
        shows_activity=a.activity,
    )
    print((out / "report.md").read_text())
    print(f"files: {out}")
    write_json(a.json, result)
