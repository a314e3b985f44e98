"""Commands that train, compare and tune networks, and do studies."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from izhi import files
from izhi.cli import quieten
from izhi.cli.common import (
    agreed_plan,
    command_line,
    hold,
    is_first_process,
    make_folder,
    print_table,
    report_line,
    settings,
    whole_numbers,
    write_json,
)
from izhi.cli.progress import TerminalListener, report_epochs
from izhi.errors import RunFolderError, SettingError
from izhi.experiments import build, comparison, comparison_report, jobs, ranking, report, suited, tuning, variants
from izhi.experiments.planned import Resources, Runner, SerialRunner, keep_plan
from izhi.experiments.run import train as train_run
from izhi.experiments.run_folder import RunFolder, load as load_run, versions
from izhi.experiments.saved import CONFIG, PLAN
from izhi.experiments.settings import Experiment, experiment, read, typed
from izhi.experiments.settings.choices import USUAL_NEURONS, USUAL_SEARCH
from izhi.experiments.settings.fields import comma_separated
from izhi.experiments.settings.groups import DataSettings
from izhi.experiments.study import protocol, report as study_report
from izhi.experiments.study.run import Study
from izhi.experiments.variants import Variant, parse_search
from izhi.training import ProgressEvent, ignore_progress
from izhi.trust import trust


def _plan(
    a: argparse.Namespace, may_change: str, resources: Resources, **options: object
) -> tuple[dict[str, Any], dict[str, Any], list[Variant], str]:
    """The plan of several runs, its values without command and variants, its variants, and what the data chose.

    Args:
        a: the command line.
        may_change: the option that may differ when the runs resume.
        resources: that load the data set, which settings follow.
        options: of the command, besides settings and variants; None for those that it leaves out.
    """
    values, about = settings(a), ""
    tables, chosen = values.pop("variants", None), None
    if tables is not None and a.neurons is None:
        chosen = variants.named_variants(tables, a.connections)
    elif a.neurons is not None or a.connections is not None:
        chosen = variants.parse_variants(a.neurons or USUAL_NEURONS, a.connections or "linear")
    given = {**typed(values), "variants": [asdict(x) for x in chosen] if chosen else None, **options}
    names_some = not a.resume or any(value is not None for value in given.values())  # else there is nothing to begin
    if names_some and _follows_data(a) and not any("optimizer" in variant.settings for variant in chosen or ()):
        of_data = {name: value for name, value in given.items() if name in DataSettings.model_fields}
        dataset = resources.dataset(experiment(of_data))
        found = suited.suited(given, dataset, neuron=False)
        about = suited.in_words(found, given, dataset)
        given = {**typed(found), **given}
    agreed: dict[str, Any] = {"command": command_line(), **agreed_plan(a, given, may_change)}
    rest = {name: value for name, value in agreed.items() if name not in ("stage", "command", "variants")}
    planned = agreed.get("variants")
    usual = variants.parse_variants(USUAL_NEURONS, "linear")
    return agreed, rest, [Variant(**x) for x in planned] if planned else usual, about


def _follows_data(a: argparse.Namespace) -> bool:
    """Whether settings that are not given follow the data: a file, and what was begun before, are complete without."""
    began = a.resume and a.out and any((Path(a.out) / name).exists() for name in (PLAN, CONFIG))
    return not (began or a.config or getattr(a, "start", None))


def _prepare(*trusted: str | None) -> None:
    quieten()
    trust(*trusted)


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
    prepare = partial(_prepare, *(getattr(a, name, None) for name in ("dataset", "neuron", "neurons")))
    return jobs.ParallelRunner(a.jobs, a.ray, listener.report, prepare, listener, resources)


def compare(a: argparse.Namespace) -> None:
    seeds = whole_numbers("seeds", a.seeds, "0,1,2") if a.seeds else None
    resources = Resources()
    agreed, values, chosen, about = _plan(
        a, "reference", resources, seeds=seeds, folds=a.folds or None, reference=a.reference
    )
    command = agreed["command"]
    seeds, folds = values.pop("seeds", [0]), values.pop("folds", False)
    reference = values.pop("reference", None)
    variants.check_reference(chosen, reference)
    planned = comparison.plan(chosen, seeds, values, folds=folds)
    counts = _lines(comparison.check(planned, resources), about)
    runs = sum(len(experiments) for _, experiments in planned)
    listener = TerminalListener(runs, quiet=a.quiet or not is_first_process(), verbose=a.verbose, about=counts)
    first = planned[0][1][0]
    runner = make_runner(a, listener, first, runs, resources)
    folder = make_folder(a, f"compare-{first.data.dataset}")
    with hold(folder), listener:
        if is_first_process():
            keep_plan(folder, agreed)
        rows = comparison.compare(planned, folder, runner, resume=a.resume, command=command)
        if not is_first_process():
            return
        kept = comparison_report.write(rows, folder, command, reference, resources)
    print_table(comparison_report.table(rows), f"{first.data.dataset}: test accuracy after the last epoch", left=3)
    for table in kept.differences_table():
        print_table(table, left=1)
    print(f"figures: {folder / 'accuracy.png'}, outcomes.png\nreport: {folder / 'report.md'}")
    write_json(a.json, comparison_report.summary(rows, reference))


def tune(a: argparse.Namespace) -> None:
    resources = Resources()
    agreed, values, chosen, about = _plan(
        a, "trials", resources, search=a.search, trials=a.trials, every_speaker=a.every_speaker or None
    )
    command = agreed["command"]
    search, trials = values.pop("search", USUAL_SEARCH), values.pop("trials", 20)
    every_speaker = values.pop("every_speaker", False)
    ranges = parse_search(search)
    planned = tuning.check(chosen, ranges, values, trials, every_speaker=every_speaker)
    dataset = resources.dataset(planned[0])
    held_out = tuning.speakers(dataset) if every_speaker else []
    for e in planned:
        counts = build.check(e.replace(validation_speaker=held_out[0]) if held_out else e, dataset)
    runs = len(chosen) * trials * (len(held_out) or 1)
    listener = TerminalListener(runs, quiet=a.quiet, verbose=a.verbose, about=_lines(counts, about))
    runner = make_runner(a, listener, planned[0], len(chosen), resources)
    folder = make_folder(a, f"tune-{planned[0].data.dataset}")
    storage = a.storage or str(folder / "studies.log")
    with hold(folder), listener:
        keep_plan(folder, agreed)
        rows = tuning.tune(
            chosen, ranges, values, trials=trials, storage=storage, runner=runner, every_speaker=every_speaker
        )
    result = tuning.write(rows, folder, command)
    tuned = folder / "tuned.toml"
    files.write_bytes(tuned, tuning.to_toml(values, chosen, result, command).encode())
    print_table(result.best_table(), result.title, left=3)
    for line in result.warnings():
        report_line(f"warning: {line}")
    print(f"studies: {storage}\nevery trial: {folder / 'report.md'}, trials.png")
    print(f"compare them on the test samples: izhi compare --config {tuned}")
    write_json(a.json, [
        {"label": row.label, "validation_accuracy": row.accuracy, "found": row.found, "trials": len(row.trials),
         "warnings": row.warnings}
        for row in result.variants
    ])  # fmt: skip


def train(a: argparse.Namespace) -> None:
    train_experiment(a, settings_of_run(a), "train")


def _lines(*lines: str) -> str:
    return "\n".join(filter(None, lines))


def settings_of_run(a: argparse.Namespace) -> dict[str, object]:
    """Settings of a run, overridden by those of the command line: of its folder, or of the run that it starts from."""
    values = settings(a)
    if not a.resume:
        if not getattr(a, "start", None):
            return values
        e = load_run(Path(a.start)).experiment
        if e.quantization.is_quantized:
            raise SettingError(f"{a.start} is quantised, expected a float run to start from")
        return {**e.flat(), **values}
    config = RunFolder(Path(a.out)).config
    if config.exists():
        return {**read(config), **values}
    if not values:
        raise RunFolderError(f"{a.out} holds no run to resume; check the folder, or begin one without --resume")
    return values


def train_experiment(a: argparse.Namespace, values: Mapping[str, object], command: str) -> None:
    """Train in the folder that the arguments name, with progress, report and JSON.

    Args:
        a: the command line.
        values: settings by name; those of a new run that are not given follow the data.
        command: its name.
    """
    e = experiment(values)
    dataset = build.dataset(e.data, report_line)
    values = typed(values)
    found = suited.suited(values, dataset) if _follows_data(a) else {}
    e = experiment({**found, **values})
    counts = _lines(build.check(e, dataset), suited.in_words(found, values, dataset))
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
    of_steps = " of steps" if "test_steps" in result.history[-1] else ""
    print(f"test accuracy after epoch {len(result.history)}: {100 * result.test_accuracy:.2f} %{of_steps}")
    if folder.best.exists():
        print(f"{report.best(result.history)}: {folder.best}")
    print(f"run: {folder.path}")
    write_json(a.json, {
        "config": e.flat(plain=True), "versions": versions(), "history": result.history,
        "test_accuracy": result.test_accuracy, "warnings": result.warnings, "folder": str(folder.path),
    })  # fmt: skip


def study(a: argparse.Namespace) -> None:
    names = comma_separated(a.tasks or "")
    protocol_of = protocol.read(protocol.find(a.protocol), names)
    if a.search and not a.neurons:
        raise SettingError("search is for further neurons; name them by --neurons, or search in the protocol")
    if a.neurons:
        protocol_of = protocol_of.with_neurons(a.neurons, a.search or "", names)
    folder = Path(a.out)
    runner: Runner = SerialRunner()
    if a.ray is not None or a.jobs not in (None, 1):
        for task in protocol_of.chosen(names):
            jobs.check(protocol_of.of_run(task, protocol_of.variants[0], {}, 0))
        runner = jobs.ParallelRunner(a.jobs, a.ray, report_line, quieten)
    with hold(folder):
        rows = Study(protocol_of, folder, ignore_progress if a.quiet else report_epochs(_describe), runner)
        if not a.report:
            rows.run_pending(names)
        words = ["izhi", "study", a.protocol, "--out", a.out]
        words += ["--neurons", a.neurons] if a.neurons else []
        words += ["--search", a.search] if a.search else []
        findings = study_report.write(rows, shlex.join(words))
    if findings.is_enough:
        print_table(ranking.table(findings.ranking), f"ranks over {len(findings.tasks)} tasks", left=1)
        if findings.contrasts:
            print_table(findings.contrasts_table(), left=1)
    print(f"tasks finished: {len(findings.tasks)} of {len(protocol_of.tasks)}\nreport: {folder / study_report.REPORT}")
    write_json(a.json, findings.summary())


def _describe(event: ProgressEvent, left: float) -> str:
    part = "test" if "test_accuracy" in event.metrics else "validation"
    accuracy = 100 * event.metrics[f"{part}_accuracy"]
    warnings = "".join(f"warning: {line}\n" for line in event.warnings)
    return (
        f"{warnings}[{event.epoch}/{event.epochs}] {event.label}: {part} {accuracy:.2f} %,"
        f" {event.metrics['seconds']:.1f} s; {timedelta(seconds=round(left))} left"
    )
