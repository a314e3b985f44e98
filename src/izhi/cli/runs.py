"""Commands that train, compare, tune and evaluate networks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from izhi import data, files, training
from izhi.cli.common import (
    Commands,
    add_settings,
    command_line,
    is_first_process,
    make_folder,
    report_line,
    run_options,
    settings,
    whole_numbers,
    write_json,
)
from izhi.cli.progress import TerminalListener
from izhi.errors import ArtifactError, SettingError
from izhi.experiments import build, comparison, report, samples, trained, tuning
from izhi.experiments.agreement import agreement
from izhi.experiments.run import train as train_run
from izhi.experiments.run_folder import RunFolder, already_holds_a_run, versions
from izhi.experiments.settings import FIELDS, Experiment, Mark, experiment, marked
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices.evaluation import evaluate as evaluate_device


def variants_of(a: argparse.Namespace, values: dict[str, object]) -> list[comparison.Variant]:
    """The variants of the file, taken out of its values; those of --neurons if it has none or both."""
    tables = values.pop("variants", None)
    if tables is None or a.neurons is not None:
        neurons = a.neurons or "lif,normalized,biological"
        return comparison.parse_variants(neurons, a.connections or "linear")
    return comparison.named_variants(tables, a.connections)


def compare(a: argparse.Namespace) -> None:
    values = settings(a)
    seeds = whole_numbers("seeds", a.seeds, "0,1,2")
    variants = variants_of(a, values)
    planned = comparison.plan(variants, seeds, values, folds=a.folds)
    folder = make_folder(a, f"compare-{planned[0][1][0].data.dataset}")
    with TerminalListener(sum(len(x) for _, x in planned), quiet=a.quiet or not is_first_process()) as listener:
        rows = comparison.compare(planned, folder, listener, resume=a.resume, command=command_line())
    if not is_first_process():
        return
    table = Table(title=f"{planned[0][1][0].data.dataset}: test accuracy after the last epoch")
    for number, heading in enumerate(comparison.headings(rows)):
        table.add_column(heading, justify="left" if number < 3 else "right")
    for row in rows:
        table.add_row(*comparison.cells(row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(f"figures: {folder / 'accuracy.png'}, outcomes.png\nreport: {folder / 'report.md'}")
    write_json(a.json, comparison.summary(rows))


def tune(a: argparse.Namespace) -> None:
    values = settings(a)
    variants = variants_of(a, values)
    ranges = tuning.parse_search(a.search)
    planned = tuning.check(variants, ranges, values, a.trials, every_speaker=a.every_speaker)
    folds = len(tuning.speakers(build.dataset(planned[0].data))) if a.every_speaker else 1
    folder = make_folder(a, f"tune-{planned[0].data.dataset}")
    storage = a.storage or str(folder / "studies.log")
    if not a.storage and Path(storage).exists() and not a.resume:
        raise already_holds_a_run(folder)
    files.make_folder(folder)
    with TerminalListener(len(variants) * a.trials * folds, quiet=a.quiet) as listener:
        best = tuning.tune(
            variants, ranges, values, trials=a.trials, storage=storage, listener=listener,
            every_speaker=a.every_speaker,
        )  # fmt: skip
    table = Table(title=f"{planned[0].data.dataset}: best of {a.trials} trials, validation accuracy")
    for heading in ("variant", "validation (%)", "settings found"):
        table.add_column(heading)
    for row in best:
        found = ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in row.found.items())
        table.add_row(row.variant.label, f"{100 * row.accuracy:.2f}", found)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    tuned = folder / "tuned.toml"
    files.write_bytes(tuned, tuning.to_toml(values, best, command_line()).encode())
    print(f"studies: {storage}\ncompare them on the test samples: izhi compare --config {tuned}")
    write_json(a.json, [
        {"label": row.variant.label, "validation_accuracy": row.accuracy, "found": dict(row.found),
         "trials": row.trials}
        for row in best
    ])  # fmt: skip


def train(a: argparse.Namespace) -> None:
    train_experiment(a, experiment(settings(a)))


def train_experiment(a: argparse.Namespace, e: Experiment) -> None:
    """Train in the folder that the arguments name, with progress, report and JSON."""
    dataset = build.dataset(e.data, report_line)
    folder = RunFolder(make_folder(a, f"train-{e.data.dataset}-{e.neurons.neuron.replace(' ', '-')}"))
    fabric = build.fabric(e)
    if fabric.is_global_zero:
        folder.open(e, resume=a.resume, command=command_line())
    fabric.barrier()
    with TerminalListener(quiet=a.quiet or not fabric.is_global_zero) as listener:
        result = train_run(fabric, e, dataset, folder, listener)
    if not fabric.is_global_zero:
        return
    report.write(result, folder, command_line())
    print(f"test accuracy after epoch {len(result.history)}: {100 * result.test_accuracy:.2f} %")
    print(f"run: {folder.path}")
    write_json(
        a.json,
        {
            "config": e.flat(plain=True), "versions": versions(), "history": result.history,
            "test_accuracy": result.test_accuracy, "warnings": result.warnings,
            "folder": str(folder.path),
        },
    )  # fmt: skip


def _accuracies(dataset: data.Dataset, accuracy: float, groups: Mapping[str, float], beside: str) -> dict[str, float]:
    """Print the accuracy on all test samples and on groups of them; the same for scripts."""
    print(f"{dataset.name} test accuracy: {100 * accuracy:.2f} % of {len(dataset.test):,}, {beside}")
    for group, share in groups.items():
        print(f"{group.replace('_', ' ')}: {100 * share:.2f} %")
    return {"test_accuracy": accuracy, **{f"test_accuracy_{k}": v for k, v in groups.items()}}


def _evaluate_artifact(a: argparse.Namespace) -> None:
    found = artifact.load(a.folder)
    if a.against is not None:
        _compare_with_run(a, found)
        return
    dataset = samples.dataset_of(found, report_line)
    with devices.open(found.device, found) as device:
        result = evaluate_device(
            device, samples.batches(found, dataset), wants_rates=True,
            groups={name: mask.numpy() for name, mask in dataset.groups.items()},
        )  # fmt: skip
    speed = f"in {found.numbers}, {len(dataset.test) / result.seconds:,.0f} samples/s"
    accuracies = _accuracies(dataset, result.accuracy, result.groups, speed)
    for number, rate in enumerate(result.rates, start=1):
        print(f"layer {number}: {rate:.4f} spikes per neuron and step")
    write_json(a.json, {**accuracies, "rates": result.rates, "seconds": result.seconds,
                        "provenance": dict(found.provenance), "versions": versions()})  # fmt: skip


def _compare_with_run(a: argparse.Namespace, found: artifact.Artifact[networks.Network]) -> None:
    run = trained.load(Path(a.against), {"precision": "32-true"}, report_line)
    result = agreement(found, run)
    for number, (spikes, different) in enumerate(zip(result.spikes, result.different, strict=True), start=1):
        print(f"layer {number}: {spikes:,} spikes, {different:,} different")
    print(f"classes: {result.samples:,} samples, {result.classes:,} different")
    write_json(a.json, result.summary())
    if not result.is_exact:
        raise ArtifactError(f"{a.folder} and {a.against} differ, expected the run it came from; export it again")


def evaluate(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    if a.against is not None and path.suffix != ".izhi":
        raise SettingError(f"--against compares an artifact with its run, but {path} is no .izhi file")
    if path.suffix == ".izhi":
        _evaluate_artifact(a)
        return
    changes = {n: v for n, v in settings(a).items() if n in marked(Mark.OF_EVALUATION)}
    run = trained.load(path, {**changes, "devices": 1, "nodes": 1}, report_line)
    e, dataset = run.experiment, run.dataset
    fabric = build.fabric(e)
    found = training.evaluate(
        fabric, fabric.setup(run.classifier), dataset.test, training.LOSSES[e.training.loss],
        seed=e.training.seed, groups=dataset.groups,
    )  # fmt: skip
    activity = found.activity
    loss = f"loss {found.loss:.4f}"
    accuracies = _accuracies(dataset, found.accuracy, found.groups, loss)
    for number, layer in enumerate(activity.layers, start=1):
        print(f"layer {number}: {layer.rate:.4f} spikes per neuron and step, {layer.silent:.1%} silent")
    for warning in activity.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    rates = [layer.rate for layer in activity.layers]
    write_json(a.json, {**accuracies, "test_loss": found.loss, "rates": rates,
                        "config": e.flat(plain=True), "versions": versions()})  # fmt: skip


def dynamics(a: argparse.Namespace) -> None:
    folder = RunFolder(Path(a.folder))
    before, after = report.dynamics(folder)
    print(report.dynamics_table(before, after))
    print(f"figure: {folder.path / 'dynamics.png'}")
    layers = [
        {
            "before": {name: x.tolist() for name, x in old.coefficients.items()},
            "after": {name: x.tolist() for name, x in new.coefficients.items()},
            "classes_before": old.classes,
            "classes_after": new.classes,
        }
        for old, new in zip(before, after, strict=True)
    ]
    write_json(a.json, layers)


def add(commands: Commands) -> None:
    """Their options."""
    sub = commands.add("compare", compare, "train several neurons or connections and compare them")
    sub.add_argument("--neurons", metavar="LIST",
                     help="neuron[:setting=value]…, comma-separated [the file's variants, or all three]")  # fmt: skip
    sub.add_argument("--connections", metavar="LIST",
                     help="kinds of connection, comma-separated [linear, or the file's]")  # fmt: skip
    sub.add_argument("--seeds", default="0", metavar="LIST", help="comma-separated [%(default)s]")
    sub.add_argument("--folds", action="store_true",
                     help="five-fold cross-validation of an embedded data set, for each seed")  # fmt: skip
    run_options(sub)
    add_settings(sub, without=("neuron", "connection", "seed", "fold"))
    sub = commands.add("tune", tune, "search hyperparameters on validation samples, by Optuna")
    sub.add_argument("--neurons", metavar="LIST",
                     help="variants as in compare, each with the same budget")  # fmt: skip
    sub.add_argument("--connections", metavar="LIST",
                     help="kinds of connection, comma-separated [linear, or the file's]")  # fmt: skip
    sub.add_argument("--search", default=tuning.USUAL, metavar="LIST",
                     help="[neuron.]setting=low..high or =a|b, comma-separated [%(default)s]")  # fmt: skip
    sub.add_argument("--every-speaker", action="store_true",
                     help="cross-validate over speakers: hold out each in turn, and judge by the mean")  # fmt: skip
    sub.add_argument("--trials", type=int, default=20, help="trials of each variant [%(default)s]")
    sub.add_argument("--storage", metavar="PLACE",
                     help="a file that processes share, or the URL of a database [studies.log in --out]")  # fmt: skip
    run_options(sub)
    add_settings(sub, without=("neuron", "connection"))
    sub = commands.add("train", train, "train one network")
    run_options(sub)
    add_settings(sub)
    sub = commands.add("evaluate", evaluate, "test accuracy of a trained network")
    sub.add_argument("folder", metavar="RUN", help="run folder, checkpoint or artifact (.izhi)")
    sub.add_argument("--against", metavar="RUN",
                     help="compare an artifact with the run it came from, on every spike")  # fmt: skip
    for name in marked(Mark.OF_EVALUATION):
        sub.add_argument(f"--{name}", metavar="VALUE", help=FIELDS[name].description)
    sub = commands.add("dynamics", dynamics, "neurons of a trained network: coefficients, firing classes")
    sub.add_argument("folder", metavar="RUN", help="run folder; dynamics.png is written into it")
