"""Learning on a device: a deployed network under drift; evolution, also of a network without gradients."""

from __future__ import annotations

import argparse
import math
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from izhi.cli.common import command_line, hold, make_folder, report_line, settings, write_json
from izhi.cli.deployed import at_least, layers_of, open_device, open_folder
from izhi.cli.progress import report_epochs
from izhi.cli.runs import settings_of_run, train_experiment
from izhi.errors import SettingError, unknown
from izhi.experiments import adaptation, samples, trained
from izhi.experiments.adaptation import Adaptation, Drift, DriftTask
from izhi.experiments.planned import Row, extend_history
from izhi.experiments.results.devices import AdaptationResult, EvolutionResult
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.searches import SEARCHES
from izhi.experiments.settings import Experiment, Mark, experiment, marked
from izhi.experiments.settings.choices import USUAL_ADAPTATION, USUAL_EVOLUTION
from izhi.experiments.targets import artifact_of
from izhi.experiments.trained import Trained
from izhi.hardware import artifact, devices, networks
from izhi.hardware.devices import Device
from izhi.hardware.devices.evaluation import evaluate as evaluate_device
from izhi.hardware.devices.evolution import DeviceEvolution, drawn
from izhi.hardware.networks import HardwareNetwork
from izhi.training import ProgressEvent, checkpoint

#: The options that decide the numbers of an adaptation; one that resumes must have the same.
_DECIDES = ("drift", *USUAL_ADAPTATION)
#: Settings of an evolution on a device; an artifact decides the others.
_ON_DEVICE = marked(Mark.ON_DEVICE)


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
    folder.write("adaptation.csv", adaptation.table(state.history))
    summary = {**asdict(levels), "regained": levels.regained, "kept": levels.kept,
            "history": state.history, "settings": chosen, "versions": versions()}  # fmt: skip
    about = {"command": command_line(), "dataset": run.experiment.data.dataset, "device": name}
    AdaptationResult.keep(folder.path, {**about, **summary})
    _print_levels(levels, len(task.stream))
    _save(a, new, folder.path, "adaptation.png", summary)


def _print_levels(levels: adaptation.Accuracies, streamed: int) -> None:
    for name, before, after in (("new", levels.new, levels.adapted_new), ("old task", levels.old, levels.adapted_old)):
        print(f"{name}: {100 * before:.2f} % as deployed, {100 * after:.2f} % after the stream")
    print(
        f"regained {100 * levels.regained:.1f} % of the accuracy lost within {streamed:,} samples,"
        f" kept {100 * levels.kept:.1f} % of the old task"
    )


def _save(
    a: argparse.Namespace, learned: artifact.Artifact[HardwareNetwork], folder: Path, figure: str, summary: object
) -> None:
    """Save the learned network, and write the result for scripts."""
    artifact.save(learned, folder / "network.izhi")
    print(f"figure: {folder / figure}\nartifact: {folder / 'network.izhi'}")
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
        evolution = {"search": SEARCHES[a.optimizer], "members": a.members, "step_size": a.step_size}
        return adaptation.Evolving(run, deployed, device, task, **evolution, **shared)
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


def evolve(a: argparse.Namespace) -> None:
    if a.artifact is not None:
        _evolve_artifact(a)
        return
    for name in ("device", "evolving", "fresh", "samples", "folder"):
        if getattr(a, name):
            name = "layers" if name == "evolving" else name
            raise SettingError(f"{name} is given, which is for an artifact; name a file (.izhi)")
    values = {"optimizer": "snes", **settings_of_run(a)}
    e = experiment(values)
    if not e.training.evolves:
        raise SettingError(f"optimizer is {e.training.optimizer!r}, expected snes, cma-es or ga to evolve")
    train_experiment(a, values, "evolve")


def _evolve_artifact(a: argparse.Namespace) -> None:
    e, name = _settings_on_device(a)
    source = artifact.load(a.artifact)
    if a.fresh:
        source = source.with_network(drawn(source.network, e.training.seed))
    if a.samples is not None:
        at_least("samples", a.samples, 1)
    layers = layers_of(a.evolving, len(source.network.projections))
    dataset = samples.dataset_of(source, report_line)
    inputs, labels = samples.training_inputs(source, dataset, a.samples or len(dataset.train))
    chosen = {"artifact": Path(a.artifact).name, "optimizer": name, "layers": a.evolving, "fresh": a.fresh,
              "samples": a.samples, "device": a.device or source.device,
              **{k: e.get(k) for k in _ON_DEVICE if k not in ("optimizer", "epochs")}}  # fmt: skip
    with ExitStack() as stack:
        device = stack.enter_context(open_device(a, chosen["device"], source))
        search = DeviceEvolution(
            device, inputs, labels, search=SEARCHES[name], members=e.evolution.members, step_size=e.evolution.step_size,
            batch_size=e.training.batch_size, layers=layers, seed=e.training.seed,
        )  # fmt: skip
        folder = RunFolder(make_folder(a, "evolve"))
        stack.enter_context(hold(folder.path))
        history = _run_generations(a, e, search, folder, chosen)
        new = source.with_network(search.found, evolution=chosen, command=command_line())
        result = evaluate_device(device, samples.batches(new, dataset))
    summary = {"test_accuracy": result.accuracy, "history": history, "settings": chosen, "versions": versions()}
    EvolutionResult.keep(folder.path, {"command": command_line(), **summary})
    print(f"test accuracy: {100 * result.accuracy:.2f} % of {len(dataset.test):,}")
    _save(a, new, folder.path, "evolution.png", summary)


def _settings_on_device(a: argparse.Namespace) -> tuple[Experiment, str]:
    """The settings of an evolution on a device, and the name of its search."""
    chosen = settings(a)
    for name in chosen:
        if name not in _ON_DEVICE:
            raise SettingError(f"{name} is given, but the artifact decides it; leave it out")
    name = str(chosen.pop("optimizer", USUAL_EVOLUTION["optimizer"]))
    if name not in SEARCHES:
        raise unknown("optimizer", name, SEARCHES)
    return experiment({**{x: USUAL_EVOLUTION[x] for x in ("optimizer", "batch_size", "epochs")}, **chosen}), name


def _run_generations(
    a: argparse.Namespace, e: Experiment, search: DeviceEvolution[HardwareNetwork], folder: RunFolder,
    chosen: dict[str, Any],
) -> list[Row]:  # fmt: skip
    """Run the generations that the folder's checkpoint does not hold yet; the metrics of all."""
    saved = open_folder(folder, chosen, {"losses": checkpoint.LOSSES}, resume=a.resume)
    history: list[Row] = saved["history"] if saved else []
    if saved:
        search.resume([x.numpy() for x in saved["losses"]], len(history))

    def save() -> None:
        losses = [torch.from_numpy(x) for x in search.state]
        content = {"settings": chosen, "history": history, "losses": losses}
        checkpoint.save(folder.path / checkpoint.NAME, content)

    listener = report_epochs(partial(_describe_generation, a))
    extend_history(history, e.training.epochs, search.generation, save, listener)
    return history


def _describe_generation(a: argparse.Namespace, event: ProgressEvent, left: float) -> str:
    """A line about a generation, fifty in all; empty for none."""
    often = 1 if a.verbose else max(1, event.epochs // 50)
    if a.quiet or (event.epoch % often and event.epoch != event.epochs):
        return ""
    return (
        f"generation {event.epoch:,}/{event.epochs:,}, loss {event.metrics['loss']:.4f},"
        f" accuracy {100 * event.metrics['accuracy']:.1f} %, {left:,.0f} s left"
    )
