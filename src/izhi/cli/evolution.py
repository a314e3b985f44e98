"""Evolution: a network trained without gradients, or the weights of an artifact on a device."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from izhi.cli.common import command_line, hold, make_folder, report_line, settings, write_json
from izhi.cli.deployed import at_least, layers_of, open_device, open_folder
from izhi.cli.progress import report_epochs
from izhi.cli.runs import settings_of_run, train_experiment
from izhi.errors import SettingError, unknown
from izhi.experiments import plots, samples
from izhi.experiments.planned import Row, extend_history
from izhi.experiments.results.evolution import EvolutionResult
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.searches import SEARCHES
from izhi.experiments.settings import Experiment, Mark, experiment, marked
from izhi.experiments.settings.choices import USUAL_EVOLUTION
from izhi.hardware import artifact
from izhi.hardware.devices.evaluation import evaluate as evaluate_device
from izhi.hardware.devices.evolution import DeviceEvolution, drawn
from izhi.hardware.networks import HardwareNetwork
from izhi.training import ProgressEvent, checkpoint

#: Settings of an evolution on a device; an artifact decides the others.
_ON_DEVICE = marked(Mark.ON_DEVICE)


def evolve(a: argparse.Namespace) -> None:
    if a.artifact is not None:
        _evolve_artifact(a)
        return
    for name in ("device", "evolving", "fresh", "samples", "folder"):
        if getattr(a, name):
            name = "layers" if name == "evolving" else name
            raise SettingError(f"{name} is given, which is for an artifact; name a file (.izhi)")
    e = experiment({"optimizer": "snes", **settings_of_run(a)})
    if not e.training.evolves:
        raise SettingError(f"optimizer is {e.training.optimizer!r}, expected snes, cma-es or ga to evolve")
    train_experiment(a, e, "evolve")


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
        artifact.save(new, folder.path / "network.izhi")
        result = evaluate_device(device, samples.batches(new, dataset))
        summary = {"test_accuracy": result.accuracy, "history": history, "settings": chosen, "versions": versions()}
        evolved = EvolutionResult.keep(folder.path, {"command": command_line(), **summary})
        plots.save(evolved.drawn(evolved.title), folder.path / "evolution.png")
    print(f"test accuracy: {100 * result.accuracy:.2f} % of {len(dataset.test):,}")
    print(f"figure: {folder.path / 'evolution.png'}\nartifact: {folder.path / 'network.izhi'}")
    write_json(a.json, summary)


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
    a: argparse.Namespace,
    e: Experiment,
    search: DeviceEvolution[HardwareNetwork],
    folder: RunFolder,
    chosen: dict[str, Any],
) -> list[Row]:
    """Run the generations that the folder's checkpoint does not hold yet; the metrics of all."""
    saved = open_folder(folder, chosen, {"losses": checkpoint.LOSSES}, resume=a.resume)
    history: list[Row] = saved["history"] if saved else []
    if saved:
        search.resume([x.numpy() for x in saved["losses"]], len(history))

    def save() -> None:
        losses = [torch.from_numpy(x) for x in search.state]
        content = {"settings": chosen, "history": history, "losses": losses}
        checkpoint.save(folder.path / checkpoint.NAME, content)

    extend_history(history, e.training.epochs, search.generation, save, report_epochs(partial(_describe, a)))
    return history


def _describe(a: argparse.Namespace, event: ProgressEvent, left: float) -> str:
    """A line about a generation, fifty in all; empty for none."""
    often = 1 if a.verbose else max(1, event.epochs // 50)
    if a.quiet or (event.epoch % often and event.epoch != event.epochs):
        return ""
    return (
        f"generation {event.epoch:,}/{event.epochs:,}, loss {event.metrics['loss']:.4f},"
        f" accuracy {100 * event.metrics['accuracy']:.1f} %, {left:,.0f} s left"
    )
