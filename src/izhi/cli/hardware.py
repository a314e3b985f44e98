"""Commands from a trained network to hardware: quantise, export, run on a device."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from izhi import data, files
from izhi.cli.common import (
    Commands,
    command_line,
    make_folder,
    report_line,
    whole_numbers,
    write_json,
)
from izhi.cli.progress import TerminalListener
from izhi.errors import SettingError, unknown
from izhi.experiments import build, export, export_ip, inside, plots, samples, sweep
from izhi.experiments.comparison import percent
from izhi.experiments.run_folder import RunFolder, already_holds_a_run, versions
from izhi.experiments.settings import FIELDS, Experiment, Mark, marked
from izhi.experiments.sweep import METHODS
from izhi.experiments.targets import TARGETS
from izhi.hardware import artifact, networks
from izhi.hardware import devices as board
from izhi.hardware.core import larger
from izhi.hardware.devices.evaluation import Inputs, Labels, evaluate, save_samples

_CHANGES = marked(Mark.OF_QUANTIZING)


def quantize(a: argparse.Namespace) -> None:
    runs = sweep.load_runs([Path(folder) for folder in a.folders])
    weights = whole_numbers("weights", a.weights or ("8,4,3,2" if a.sweep else "4"), "8,4,2")
    states = whole_numbers("states", a.states or ("16,12,8" if a.sweep else "16"), "16,12,8")
    methods = METHODS if a.method is None and a.sweep else (a.method or "qat-after-ptq",)
    changes = {name: getattr(a, name) for name in _CHANGES if getattr(a, name) is not None}
    planned = sweep.plan(runs, methods, weights, states, changes)
    if len(planned) > 1 and not a.sweep:
        raise SettingError(f"weights and states name {len(planned)} formats; add --sweep")
    if len(runs) > 1 and not a.sweep:
        raise SettingError(f"{len(runs)} runs are named, expected one; add --sweep for their mean")
    method, (e, *_) = planned[0]
    dataset = build.dataset(e.data, report_line)
    # What hardware does not have is said before a folder is made.
    build.network(e, build.encoder(e, dataset).features, len(dataset.classes))
    if a.sweep:
        _sweep(a, runs, planned, dataset)
    else:
        _quantize_one(a, runs[0], e, method, dataset)


def _sweep(a: argparse.Namespace, runs: list[sweep.FloatRun], planned: sweep.Plan, dataset: data.Dataset) -> None:
    folder = make_folder(a, f"sweep-{dataset.name}")
    if folder.is_dir() and any(folder.iterdir()) and not a.resume:
        raise already_holds_a_run(folder)
    with TerminalListener(len(planned) * len(runs), quiet=a.quiet) as listener:
        points = sweep.sweep(runs, planned, dataset, folder, listener, resume=a.resume, command=command_line())
    whole = percent([run.accuracy for run in runs])
    table = Table(title=f"{dataset.name}: float {whole} %")
    for heading in sweep.headings():
        table.add_column(heading, justify="right")
    for point in points:
        table.add_row(*sweep.cells(point, runs))
    Console().print(table)
    print(f"figure: {folder / 'pareto.png'}\ntable: {folder / 'sweep.md'}")
    write_json(a.json, sweep.summary(runs, points))


def _quantize_one(
    a: argparse.Namespace, run: sweep.FloatRun, e: Experiment, method: str, dataset: data.Dataset
) -> None:
    folder_of_run = RunFolder(make_folder(a, f"quantize-{e.data.dataset}"))
    folder_of_run.open(e, resume=a.resume, command=command_line())
    fabric = build.fabric(e)
    with TerminalListener(quiet=a.quiet) as listener:
        result = sweep.quantize(fabric, run, e, method, dataset, folder_of_run, listener)
    print(
        f"test accuracy: {100 * result.test_accuracy:.2f} %, float {100 * run.accuracy:.2f} %"
        f"\nrun: {folder_of_run.path}"
    )
    write_json(a.json, {"test_accuracy": result.test_accuracy, "float_accuracy": run.accuracy,
                        "config": e.flat(plain=True), "folder": str(folder_of_run.path)})  # fmt: skip


def export_run(a: argparse.Namespace) -> None:
    _check_samples(a.samples, 0)
    path = Path(a.folder)
    if a.target not in TARGETS:
        raise unknown("target", a.target, TARGETS)
    found: artifact.Artifact[networks.Network]
    if a.target == "hls-ip":
        found = export_ip.artifact(path, a.dataset, a.build)
        network = found.network
        sizes = "-".join(map(str, (network.inputs, *network.sizes)))
        about = f"{sizes} in float32 for the FPGA IP, build {network.build}, T = {found.steps}"
    else:
        for name in ("dataset", "build"):
            if getattr(a, name) is not None:
                raise SettingError(f"--{name} is of --target hls-ip only; leave it out")
        found = export.artifact(path)
        about = f"{len(found.network.layers)} layers, T = {found.steps}"
    out = Path(a.out or (path.parent if path.is_file() else path) / "network.izhi")
    artifact.save(found, out)
    artifact.load(out)
    if a.samples:
        file = out.with_name("samples.npz")
        inputs, labels = samples.joined(_batches(found, a.samples))
        save_samples(file, inputs, labels)
        print(f"{file}: {len(labels):,} test samples")
    size = out.stat().st_size
    print(f"{out}: {size:,} bytes, {about}")
    write_json(a.json, {"artifact": str(out), "bytes": size, "classes": list(found.classes)})


def _check_samples(count: int, least: int) -> None:
    if count < least:
        raise SettingError(f"samples is {count}, expected at least {least}")


def _batches(
    found: artifact.Artifact[networks.Network], count: int | None, name: str | None = None
) -> Iterator[tuple[Inputs, Labels]]:
    """The first test samples, all where count is None, of a data set, the artifact's where name is None."""
    dataset = data.load(name, report_line) if name else samples.dataset_of(found, report_line)
    return samples.batches(found, dataset, count)


def run(a: argparse.Namespace) -> None:
    if a.samples is not None:
        _check_samples(a.samples, 1)
    found = artifact.load(a.artifact)
    given = {"folder": a.folder, "lanes": a.lanes, "units": a.units}
    options = {name: value for name, value in given.items() if value is not None}
    with board.open(a.device, found, **options) as device:
        result = evaluate(
            device, _batches(found, a.samples, a.dataset), compares=a.compare,
            progress=lambda done: report_line(f"{done:,} samples"),
        )  # fmt: skip
    print("\n".join(result.lines()))
    write_json(a.json, {**result.summary(), "device": a.device,
                        "provenance": dict(found.provenance), "versions": versions()})  # fmt: skip
    result.require_exact(device)


def trace(a: argparse.Namespace) -> None:
    found = artifact.load_integers(a.artifact)
    layers = found.network.layers
    if not 1 <= a.layer <= len(layers):
        raise SettingError(f"layer is {a.layer}, expected 1 to {len(layers)}")
    layer = layers[a.layer - 1]
    neurons = whole_numbers("neurons", a.neurons, "0,7")
    for neuron in neurons:
        if not 0 <= neuron < layer.outputs:
            raise SettingError(f"neuron is {neuron}, expected 0 to {layer.outputs - 1}")
    dataset = samples.dataset_of(found, report_line)
    seen = inside.trace(found, dataset, a.sample).trace
    assert seen is not None
    names = ("accumulator", "current", "v", "u", "spikes")
    values = [getattr(seen, name)[a.layer - 1][:, 0] for name in names]
    lines = ["step,neuron," + ",".join(names)]
    lines += [
        f"{t},{neuron}," + ",".join(str(x[t, neuron]) for x in values) for neuron in neurons for t in range(found.steps)
    ]
    out = Path(a.out or f"trace-{a.sample}-{a.layer}.csv")
    files.write_bytes(out, ("\n".join(lines) + "\n").encode())
    print(f"integers: {out}")
    for neuron in neurons:
        picture = out.with_name(f"{out.stem}-{neuron}.png")
        title = f"sample {a.sample}, layer {a.layer}, neuron {neuron}, in integers"
        drawn = inside.values(found.network, seen, a.layer - 1, neuron)
        plots.save(plots.trace(drawn, title), picture)
        print(f"figure: {picture}")
    write_json(a.json, {name: x[:, neurons].tolist() for name, x in zip(names, values, strict=True)})


def rtl(a: argparse.Namespace) -> None:
    try:
        from izhi.experiments import core_report
        from izhi.hardware.core import boards
    except ImportError:
        raise SettingError("amaranth or yosys is not installed; pip install 'izhi[hardware]'") from None
    _check_samples(a.samples, 0)
    boards.checked_clock(a.board, a.clock)
    found = artifact.load_integers(a.artifact)
    shape = board.shape_for(found, a.lanes, a.units)
    if a.sizes is not None:
        shape = larger(shape, whole_numbers("sizes", a.sizes, "784,1024,10"))
    out = Path(a.out or Path(a.artifact).with_suffix("") / a.board)
    spikes = next(_batches(found, a.samples))[0].astype(np.uint8) if a.samples else None
    result = core_report.build(found, shape, a.board, out, spikes, report_line, a.clock)
    print((out / "report.md").read_text())
    print(f"files: {out}")
    write_json(a.json, result)


def _add_quantize(commands: Commands) -> None:
    sub = commands.add("quantize", quantize, "quantise a trained network's weights and states")
    sub.add_argument("folders", metavar="RUN", nargs="+",
                     help="run folder or checkpoint of a float network; with --sweep one or several seeds")  # fmt: skip
    sub.add_argument(
        "--weights",
        metavar="BITS",
        help="2 to 8 bits, or 32 for float [4]; a list for a sweep [8,4,3,2]",
    )
    sub.add_argument(
        "--states",
        metavar="BITS",
        help="4 to 24 bits, or 32 for float [16]; a list for a sweep [16,12,8]",
    )
    sub.add_argument(
        "--method",
        metavar="NAME",
        help=", ".join(METHODS) + " [qat-after-ptq: PTQ, then fine-tuning; for a sweep all]",
    )
    sub.add_argument("--sweep", action="store_true", help="every format by every method: table and figure")
    for name in _CHANGES:
        sub.add_argument(
            f"--{name.replace('_', '-')}", metavar="VALUE",
            help=f"{FIELDS[name].description} [by method and run]",
        )  # fmt: skip
    sub.add_argument("--out", metavar="FOLDER", help="run folder [runs/TIME-NAME]")
    sub.add_argument("--resume", action="store_true", help="continue the runs in --out")
    sub.add_argument("--quiet", action="store_true", help="show no progress")


def _add_export(commands: Commands) -> None:
    sub = commands.add("export", export_run, "write a run's artifact for hardware")
    sub.add_argument(
        "folder",
        metavar="RUN",
        help="run folder of a quantised network; for hls-ip of a float one, or a state_dict (.pt)",
    )
    sub.add_argument("--target", default="core", metavar="NAME",
                     help="core: Izhi's own, in integers; hls-ip: the FPGA IP, in float32 [%(default)s]")  # fmt: skip
    sub.add_argument("--dataset", metavar="NAME",
                     help="of a state_dict: the data set it was trained on [none]")  # fmt: skip
    sub.add_argument("--build", metavar="NAME",
                     help="of a state_dict: the neuron, izhi or lif [izhi]")  # fmt: skip
    sub.add_argument("--out", metavar="FILE", help="the artifact [RUN/network.izhi]")
    sub.add_argument("--samples", type=int, default=0, metavar="N",
                     help="also write N encoded test samples for boards: samples.npz [0]")  # fmt: skip


def _add_run(commands: Commands) -> None:
    sub = commands.add("run", run, "run test samples on a device: emulator, simulated core, board, FPGA IP")
    sub.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    sub.add_argument("--device", default="emulator", metavar="NAME",
                     help=", ".join(board.DEVICES) + " [%(default)s]")  # fmt: skip
    sub.add_argument("--dataset", metavar="NAME", help="another data set of the same inputs and classes")
    sub.add_argument("--samples", type=int, metavar="N", help="only the first N test samples [all]")
    sub.add_argument(
        "--compare",
        action="store_true",
        help="compare every spike of every layer with the integer model's, or the IP's arithmetic",
    )
    sub.add_argument("--folder", metavar="FOLDER",
                     help="what izhi rtl wrote, with izhi.bit for a board [a core made for the artifact];"
                     " of hls-ip the bitstream and .hwh [emulated]")  # fmt: skip
    for name, about in (
        ("lanes", "of the simulated core [32]"),
        ("units", "of the simulated core [2]"),
    ):
        sub.add_argument(f"--{name}", type=int, help=about)


def _add_trace(commands: Commands) -> None:
    sub = commands.add("trace", trace, "states and spikes of an artifact's neurons for one test sample")
    sub.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    for name, default, about in (
        ("sample", 0, "number of a test sample"),
        ("layer", 1, "1 for the first"),
    ):
        sub.add_argument(f"--{name}", type=int, default=default, help=f"{about} [{default}]")
    sub.add_argument("--neurons", default="0", metavar="LIST", help="comma-separated [%(default)s]")
    sub.add_argument(
        "--out",
        metavar="FILE",
        help="table of integers (.csv), with a figure of each neuron beside it",
    )


def _add_rtl(commands: Commands) -> None:
    sub = commands.add("rtl", rtl, "Verilog and Vivado script of the core for a board, with a report")
    sub.add_argument("artifact", metavar="FILE", help="the artifact (.izhi)")
    sub.add_argument("--board", default="ultra96v2", metavar="NAME",
                     help="ultra96v2, pynq-z2 or zcu104 [%(default)s]")  # fmt: skip
    sub.add_argument("--sizes", metavar="LIST",
                     help="a larger core, which other networks fit as well: inputs, neurons of each layer,"
                     " classes of a readout [the artifact's]")  # fmt: skip
    sub.add_argument("--clock", type=int, metavar="MHZ", help="of the core; the build fails if it is missed [100]")
    for name, default, about in (
        ("lanes", 32, "neurons that an input spike reaches in a cycle"),
        ("units", 2, "neurons that are updated in a cycle"),
        ("samples", 20, "test samples simulated for the latency; 0 for none"),
    ):
        sub.add_argument(f"--{name}", type=int, default=default, help=f"{about} [{default}]")
    sub.add_argument("--out", metavar="FOLDER", help="for the files [a folder beside the artifact]")


def add(commands: Commands) -> None:
    """Their options."""
    _add_quantize(commands)
    _add_export(commands)
    _add_run(commands)
    _add_trace(commands)
    _add_rtl(commands)
