"""Continual learning: a deployed network under drift."""

from __future__ import annotations

import argparse
import math
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from izhi.cli.common import command_line, hold, make_folder, report_line, write_json
from izhi.cli.deployed import at_least, open_device, open_folder
from izhi.cli.progress import report_epochs
from izhi.errors import SettingError
from izhi.experiments import adaptation, plots, trained
from izhi.experiments.adaptation import Accuracies, Adaptation, Drift, DriftTask
from izhi.experiments.results.adaptation import AdaptationResult
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.searches import SEARCHES
from izhi.experiments.settings.choices import USUAL_ADAPTATION
from izhi.experiments.targets import artifact_of
from izhi.experiments.trained import Trained
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices import Device
from izhi.training import ProgressEvent, checkpoint

#: The options that decide the numbers of an adaptation; one that resumes must have the same.
_DECIDES = ("drift", *USUAL_ADAPTATION)


def adapt(a: argparse.Namespace) -> None:
    drift = _checked(a)
    run = trained.load(Path(a.run_folder), {"precision": "32-true"}, report_line)
    deployed = artifact_of(run)
    task = adaptation.task(run.dataset, run.experiment, drift, samples=a.samples, memory=a.replay, seed=a.seed)
    fewer = f", fewer than the {a.samples:,} asked for" if len(task.stream) < a.samples else ""
    if not a.quiet:
        report_line(
            f"the stream has {len(task.stream):,} samples{fewer}; {a.replay:,} of the old task are rehearsed at most"
        )
    chosen = {name: getattr(a, name) for name in _DECIDES}
    frozen = devices.open(deployed.device, deployed)
    name = a.device or deployed.device
    with ExitStack() as stack:
        device = stack.enter_context(open_device(a, name, deployed))
        learner = _learner(a, run, deployed, device, task)
        state = Adaptation(
            run.encoder, deployed, device, frozen, task, learner, batch=a.batch, every=a.every,
            tested=a.tested, seed=a.seed,
        )  # fmt: skip
        folder = RunFolder(make_folder(a, f"adapt-{drift.kind}"))
        stack.enter_context(hold(folder.path))
        if saved := open_folder(folder, chosen, {"learner": checkpoint.TABLE}, resume=a.resume):
            state.load_state_dict(saved)

        def save() -> None:
            content = {"settings": chosen, **state.state_dict()}
            checkpoint.save(folder.path / checkpoint.NAME, content)

        levels = adaptation.run(state, save, report_epochs(partial(_describe, a)))
        new = deployed.with_network(device.network, adaptation=chosen, command=command_line())
    artifact.save(new, folder.path / "network.izhi")
    folder.write("adaptation.csv", adaptation.table(state.history))
    summary = {**asdict(levels), "regained": levels.regained, "kept": levels.kept,
            "history": state.history, "settings": chosen, "versions": versions()}  # fmt: skip
    about = {"command": command_line(), "dataset": run.experiment.data.dataset, "device": name}
    drawn = AdaptationResult.keep(folder.path, {**about, **summary})
    plots.save(drawn.drawn(drawn.title), folder.path / "adaptation.png")
    _report(levels, len(task.stream), folder.path)
    write_json(a.json, summary)


def _checked(a: argparse.Namespace) -> Drift:
    """The drift, after every option was checked."""
    drift = Drift.parse(a.drift)
    for name in ("samples", "batch", "every", "tested", "steps", "batch_size"):
        at_least(name, getattr(a, name), 1)
    if a.replay < 0:
        raise SettingError(f"replay is {a.replay}, expected 0 or more")
    for name in ("learning_rate", "step_size"):
        if not (math.isfinite(getattr(a, name)) and getattr(a, name) > 0):
            raise SettingError(f"{name} is {getattr(a, name)}, expected a number above 0")
    return drift


def _learner(
    a: argparse.Namespace, run: Trained, deployed: artifact.Artifact[networks.HardwareNetwork],
    device: Device[networks.HardwareNetwork], task: DriftTask,
) -> adaptation.DeviceLearner:  # fmt: skip
    shared: dict[str, Any] = {
        "layers": a.layers, "steps": a.steps, "batch_size": a.batch_size, "latest": 5 * a.batch,
        "seed": a.seed,
    }  # fmt: skip
    if a.method == "backprop":
        return adaptation.Backpropagation(run, deployed, device, task, learning_rate=a.learning_rate, **shared)
    if a.method == "evolution":
        return adaptation.Evolving(
            run,
            deployed,
            device,
            task,
            search=SEARCHES[a.optimizer],
            members=a.members,
            step_size=a.step_size,
            **shared,
        )
    return adaptation.NoLearning()


def _describe(a: argparse.Namespace, event: ProgressEvent, left: float) -> str:
    """A line about a batch; empty for none."""
    row = event.metrics
    if "old" in row and not a.quiet:
        return (
            f"{row['samples']:,.0f} samples: new {100 * row['new']:.1f} %, old task"
            f" {100 * row['old']:.1f} %, {left:,.0f} s left"
        )
    return ", ".join(f"{name} {value:.6g}" for name, value in row.items()) if a.verbose else ""


def _report(levels: Accuracies, streamed: int, folder: Path) -> None:
    for name, before, after in (("new", levels.new, levels.adapted_new), ("old task", levels.old, levels.adapted_old)):
        print(f"{name}: {100 * before:.2f} % as deployed, {100 * after:.2f} % after the stream")
    print(
        f"regained {100 * levels.regained:.1f} % of the accuracy lost within {streamed:,} samples,"
        f" kept {100 * levels.kept:.1f} % of the old task"
    )
    print(f"figure: {folder / 'adaptation.png'}\nartifact: {folder / 'network.izhi'}")
