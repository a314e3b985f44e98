"""Commands that train, compare, tune and evaluate networks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from izhi import files, training
from izhi.cli import quieten
from izhi.cli.common import (
    agreed_plan,
    command_line,
    hold,
    is_first_process,
    is_quiet,
    make_folder,
    print_table,
    report_line,
    settings,
    whole_numbers,
    write_json,
)
from izhi.cli.deployed import test_samples
from izhi.cli.progress import TerminalListener
from izhi.data import functions
from izhi.errors import ArtifactError, FileError, RunFolderError, SettingError
from izhi.experiments import (
    build,
    comparison,
    comparison_report,
    energy,
    jobs,
    plan,
    plots,
    report,
    sample_trace,
    trained,
    tuning,
    variants,
)
from izhi.experiments.agreement import agreement
from izhi.experiments.planned import Resources, Runner, SerialRunner
from izhi.experiments.results.comparison import DIFFERENCE_HEADINGS, ENERGY_HEADINGS
from izhi.experiments.run import train as train_run
from izhi.experiments.run_folder import RunFolder, load as load_run, versions
from izhi.experiments.search_space import parse_search
from izhi.experiments.settings import Experiment, Mark, experiment, marked, read, typed
from izhi.experiments.settings.choices import USUAL_NEURONS, USUAL_SEARCH
from izhi.experiments.variants import Variant
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices.evaluation import evaluate as evaluate_device


def _plan_options(a: argparse.Namespace) -> dict[str, object]:
    """The settings and variants of the command line, for a plan; None for those that it leaves out."""
    values = settings(a)
    tables = values.pop("variants", None)
    chosen = None
    if tables is not None and a.neurons is None:
        chosen = variants.named_variants(tables, a.connections)
    elif a.neurons is not None or a.connections is not None:
        chosen = variants.parse_variants(a.neurons or USUAL_NEURONS, a.connections or "linear")
    return {**typed(values), "variants": [asdict(x) for x in chosen] if chosen else None}


def _variants(planned: dict[str, Any]) -> list[Variant]:
    """The variants, removed from a plan; the default ones if it has none."""
    tables = planned.pop("variants", None)
    return [Variant(**x) for x in tables] if tables else variants.parse_variants(USUAL_NEURONS, "linear")


def _prepare(dataset: str | None) -> None:
    """Prepare a further process of a command."""
    quieten()
    if dataset:
        functions.trust(dataset)


def make_runner(
    a: argparse.Namespace, listener: TerminalListener, e: Experiment, count: int, resources: Resources
) -> Runner:
    """The runner that --jobs and --ray choose for so many planned runs."""
    if a.ray is None and a.jobs in (None, 1):
        return SerialRunner(listener, resources)
    jobs.check(e)
    if a.ray is None and a.jobs > 1:
        at_once = min(a.jobs, count)
        at_once_line = f"{at_once} at once, threads of each: {jobs.threads(at_once)}"
        listener.about = "; ".join(filter(None, (listener.about, at_once_line)))
    listener.parallel = True
    prepare = partial(_prepare, getattr(a, "dataset", None))
    return jobs.ParallelRunner(a.jobs, a.ray, listener.report, prepare, listener, resources)


def compare(a: argparse.Namespace) -> None:
    seeds = whole_numbers("seeds", a.seeds, "0,1,2") if a.seeds else None
    options = {**_plan_options(a), "seeds": seeds, "folds": a.folds or None, "reference": a.reference}
    agreed: dict[str, Any] = {"command": command_line(), **agreed_plan(a, options, "reference")}
    values = {name: value for name, value in agreed.items() if name != "stage"}
    command, chosen = values.pop("command"), _variants(values)
    seeds, folds = values.pop("seeds", [0]), values.pop("folds", False)
    reference = values.pop("reference", None)
    variants.check_reference(chosen, reference)
    planned = comparison.plan(chosen, seeds, values, folds=folds)
    resources = Resources()
    counts = comparison.check(planned, resources)
    runs = sum(len(experiments) for _, experiments in planned)
    listener = TerminalListener(runs, quiet=is_quiet(a), verbose=a.verbose, about=counts)
    first = planned[0][1][0]
    runner = make_runner(a, listener, first, runs, resources)
    folder = make_folder(a, f"compare-{first.data.dataset}")
    with hold(folder), listener:
        if is_first_process():
            plan.keep(folder, agreed)
        rows = comparison.compare(planned, folder, runner, resume=a.resume, command=command)
        if not is_first_process():
            return
        comparison_report.write(rows, folder, command, reference, resources)
    title = f"{first.data.dataset}: test accuracy after the last epoch"
    print_table(title, comparison_report.headings(rows), map(comparison_report.cells, rows), left=3)
    if differences := comparison_report.differences(rows, reference):
        title = f"against {rows[0].variant.label if reference is None else reference}, paired over seeds"
        print_table(title, DIFFERENCE_HEADINGS, map(comparison_report.difference_cells, differences), left=1)
    print(f"figures: {folder / 'accuracy.png'}, outcomes.png\nreport: {folder / 'report.md'}")
    write_json(a.json, comparison_report.summary(rows, reference))


def tune(a: argparse.Namespace) -> None:
    options = {**_plan_options(a), "search": a.search, "trials": a.trials, "every_speaker": a.every_speaker or None}
    agreed: dict[str, Any] = {"command": command_line(), **agreed_plan(a, options, "trials")}
    values = {name: value for name, value in agreed.items() if name != "stage"}
    command, chosen = values.pop("command"), _variants(values)
    search, trials = values.pop("search", USUAL_SEARCH), values.pop("trials", 20)
    every_speaker = values.pop("every_speaker", False)
    ranges = parse_search(search)
    planned = tuning.check(chosen, ranges, values, trials, every_speaker=every_speaker)
    resources = Resources()
    dataset = resources.dataset(planned[0])
    held_out = tuning.speakers(dataset) if every_speaker else []
    for e in planned:
        counts = build.check(e.replace(validation_speaker=held_out[0]) if held_out else e, dataset)
    runs = len(chosen) * trials * (len(held_out) or 1)
    listener = TerminalListener(runs, quiet=a.quiet, verbose=a.verbose, about=counts)
    runner = make_runner(a, listener, planned[0], len(chosen), resources)
    folder = make_folder(a, f"tune-{planned[0].data.dataset}")
    storage = a.storage or str(folder / "studies.log")
    with hold(folder), listener:
        plan.keep(folder, agreed)
        rows = tuning.tune(
            chosen, ranges, values, trials=trials, storage=storage, runner=runner, every_speaker=every_speaker
        )
    result = tuning.write(rows, folder, command)
    tuned = folder / "tuned.toml"
    files.write_bytes(tuned, tuning.to_toml(values, chosen, result, command).encode())
    table = result.best_table()
    print_table(result.title, table.headings, table.rows, left=3)
    print(f"studies: {storage}\nevery trial: {folder / 'report.md'}, trials.png")
    print(f"compare them on the test samples: izhi compare --config {tuned}")
    write_json(a.json, [
        {"label": row.label, "validation_accuracy": row.accuracy, "found": row.found, "trials": len(row.trials)}
        for row in result.variants
    ])  # fmt: skip


def train(a: argparse.Namespace) -> None:
    train_experiment(a, experiment(settings_of_run(a)), "train")


def settings_of_run(a: argparse.Namespace) -> dict[str, object]:
    """Settings of a run: those of its folder if it resumes, overridden by those of the command line."""
    values = settings(a)
    if not a.resume:
        return {**_of_start(a), **values}
    config = RunFolder(Path(a.out)).config
    if config.exists():
        return {**read(config), **values}
    if not values:
        raise RunFolderError(f"{a.out} holds no run to resume; check the folder, or begin one without --resume")
    return values


def _of_start(a: argparse.Namespace) -> dict[str, object]:
    """Settings of the run that another one begins with, if there is one."""
    if not getattr(a, "start", None):
        return {}
    e = load_run(Path(a.start)).experiment
    if e.quantization.is_quantized:
        raise SettingError(f"{a.start} is quantised, expected a float run to start from")
    return dict(e.flat())


def train_experiment(a: argparse.Namespace, e: Experiment, command: str) -> None:
    """Train in the folder that the arguments name, with progress, report and JSON."""
    dataset = build.dataset(e.data, report_line)
    counts = build.check(e, dataset)
    folder = RunFolder(make_folder(a, f"{command}-{e.data.dataset}-{e.neurons.neuron.replace(' ', '-')}"))
    with hold(folder.path):
        fabric = build.fabric(e)
        if fabric.is_global_zero:
            folder.open(e, resume=a.resume, command=command_line())
            if getattr(a, "start", None):
                files.write_bytes(folder.start, load_run(Path(a.start)).path.read_bytes())
        fabric.barrier()
        start = load_run(folder.start).progress.network if folder.start.exists() else None
        quiet = a.quiet or not fabric.is_global_zero
        with TerminalListener(quiet=quiet, verbose=a.verbose, about=counts) as listener:
            result = train_run(fabric, e, dataset, folder, listener, start=start)
        if not fabric.is_global_zero:
            return
        report.write(result, folder, command_line())
    print(f"test accuracy after epoch {len(result.history)}: {100 * result.test_accuracy:.2f} %")
    if folder.best.exists():
        print(f"{report.best(result.history)}: {folder.best}")
    print(f"run: {folder.path}")
    write_json(
        a.json,
        {
            "config": e.flat(plain=True), "versions": versions(), "history": result.history,
            "test_accuracy": result.test_accuracy, "warnings": result.warnings,
            "folder": str(folder.path),
        },
    )  # fmt: skip


def _accuracies(name: str, count: int, accuracy: float, groups: Mapping[str, float], beside: str) -> dict[str, float]:
    """Print the accuracy on all test samples and on groups of them, and return them for scripts."""
    print(f"{name} test accuracy: {100 * accuracy:.2f} % of {count:,}, {beside}")
    for group, share in groups.items():
        print(f"{group.replace('_', ' ')}: {100 * share:.2f} %")
    return {"test_accuracy": accuracy, **{f"test_accuracy_{k}": v for k, v in groups.items()}}


def _evaluate_artifact(a: argparse.Namespace) -> None:
    deployed = artifact.load(a.folder)
    if a.against is not None:
        _compare_with_run(a, deployed)
        return
    batches, dataset = test_samples(a, deployed)
    whole = dataset is not None and a.samples is None
    groups = {name: mask.numpy() for name, mask in dataset.groups.items()} if dataset and whole else {}
    with devices.open(deployed.device, deployed) as device:
        result = evaluate_device(device, batches, wants_rates=True, groups=groups)
    speed = f"in {deployed.numbers}, {result.samples / result.seconds:,.0f} samples/s"
    name = dataset.name if dataset else a.samples or "own test vectors,"
    accuracies = _accuracies(name, result.samples, result.accuracy, result.groups, speed)
    for number, rate in enumerate(result.rates, start=1):
        print(f"layer {number}: {rate:.4f} spikes per neuron and step")
    confusion = result.confusion(len(deployed.classes)).tolist()
    for line in report.per_class(confusion, deployed.classes):
        print(line)
    write_json(a.json, {**accuracies, "rates": result.rates, "seconds": result.seconds,
                        "classes": list(deployed.classes), "confusion": confusion,
                        "provenance": dict(deployed.provenance), "versions": versions()})  # fmt: skip


def _compare_with_run(a: argparse.Namespace, deployed: artifact.Artifact[networks.HardwareNetwork]) -> None:
    run = trained.load(Path(a.against), {"precision": "32-true"}, report_line)
    result = agreement(deployed, run)
    for number, (spikes, different) in enumerate(zip(result.spikes, result.different, strict=True), start=1):
        print(f"layer {number}: {spikes:,} spikes, {different:,} different")
    print(f"classes: {result.samples:,} samples, {result.classes:,} different")
    write_json(a.json, result.summary())
    if not result.is_exact:
        raise ArtifactError(f"{a.folder} and {a.against} differ, expected the run of the artifact; export it again")


def evaluate(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    if a.against is not None and path.suffix != ".izhi":
        raise SettingError(f"--against compares an artifact with its run, but {path} is no .izhi file")
    if path.suffix == ".izhi":
        if a.energy:
            raise SettingError(f"energy is set, which is counted of a run, but {path} is an artifact; name its run")
        _evaluate_artifact(a)
        return
    for name in ("dataset", "samples"):
        if getattr(a, name) is not None:
            raise SettingError(f"{name} is given, which is for an artifact (.izhi), but {path} is a run; leave it out")
    changes = {n: v for n, v in settings(a).items() if n in marked(Mark.OF_EVALUATION)}
    run = trained.load(path, {**changes, "devices": 1, "nodes": 1}, report_line)
    e, dataset = run.experiment, run.dataset
    fabric = build.fabric(e)
    evaluation = training.evaluate(
        fabric, fabric.setup(run.classifier), dataset.test, training.LOSSES[e.training.loss],
        seed=e.training.seed, groups=dataset.groups,
    )  # fmt: skip
    activity = evaluation.activity
    loss = f"loss {evaluation.loss:.4f}"
    accuracies = _accuracies(dataset.name, len(dataset.test), evaluation.accuracy, evaluation.groups, loss)
    for number, layer in enumerate(activity.layers, start=1):
        print(f"layer {number}: {layer.rate:.4f} spikes per neuron and step, {layer.silent:.1%} silent")
    for warning in activity.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    for line in report.per_class(evaluation.confusion.tolist(), dataset.classes):
        print(line)
    rates = [layer.rate for layer in activity.layers]
    counted = _energy(path, changes) if a.energy else {}
    write_json(a.json, {**accuracies, **counted, "test_loss": evaluation.loss, "rates": rates,
                        "classes": list(dataset.classes), "confusion": evaluation.confusion.tolist(),
                        "config": e.flat(plain=True), "versions": versions()})  # fmt: skip
    _save_confusion(run, evaluation, (path if path.is_dir() else path.parent) / "confusion.png")


def _save_confusion(run: trained.Trained, evaluation: training.Evaluation, figure: Path) -> None:
    """Draw the confusion matrix, with a warning if the folder is not writable."""
    dataset, share = run.dataset, f"{100 * evaluation.accuracy:.2f} %"
    title = f"{dataset.name}, {run.experiment.neurons.neuron}: {share} of {len(dataset.test):,} test samples"
    try:
        plots.save(plots.confusion(evaluation.confusion.numpy(), dataset.classes, title), figure)
    except FileError as error:
        print(f"warning: no figure, {error}", file=sys.stderr)
    else:
        print(f"confusion matrix: {figure}")


def _energy(path: Path, changes: Mapping[str, object]) -> dict[str, object]:
    """Print the operations and the energy of a sample in a run's network, and return them for scripts."""
    exact = {**changes, "precision": "32-true", "accelerator": "cpu", "devices": 1, "nodes": 1}
    counts = energy.count(trained.load(path, exact, report_line))
    title = f"operations of a sample, mean of {counts.samples:,} test samples"
    print_table(title, energy.LAYER_HEADINGS, energy.layer_cells(counts), left=1)
    print_table("energy of a sample: an estimate", ENERGY_HEADINGS, energy.energy_cells(counts), left=1)
    print(
        f"footprint {counts.footprint:,} bytes, connection sparsity {counts.connection_sparsity:.3f},"
        f" activation sparsity {counts.activation_sparsity:.3f}\n{energy.CAVEAT}"
    )
    return {"energy": counts.summary()}


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


def show(a: argparse.Namespace) -> None:
    path = Path(a.folder)
    out = Path(a.out or (path if path.is_dir() else path.parent) / f"sample-{a.sample}.png")
    plots.check_ending(out)
    neurons = whole_numbers("neurons", a.neurons, "0,7") if a.neurons else None
    run = trained.load(path, {"precision": "32-true", "devices": 1, "nodes": 1}, report_line)
    trace = sample_trace.trace_sample(run, a.sample)
    plots.save(sample_trace.draw(trace, run, a.layer, neurons), out)
    classes = trace.classes
    print(f"sample {a.sample}: answer {classes[trace.answer]}, label {classes[trace.label]}")
    for layer in trace.layers:
        print(f"{layer.name}: {layer.spikes.sum():,.0f} spikes, {layer.spikes.mean():.4f} per neuron and step")
    print(f"figure: {out}")
    write_json(a.json, {
        "sample": a.sample, "label": classes[trace.label], "answer": classes[trace.answer],
        "scores": trace.scores.tolist(), "spikes": [int(layer.spikes.sum()) for layer in trace.layers],
    })  # fmt: skip
