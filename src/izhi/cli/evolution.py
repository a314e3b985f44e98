"""Commands of evolution, and of continual learning after deployment."""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from izhi.cli.common import (
    Commands,
    add_settings,
    command_line,
    make_folder,
    report_line,
    run_options,
    settings,
    whole_numbers,
    write_json,
)
from izhi.cli.runs import train_experiment
from izhi.errors import SettingError, unknown
from izhi.experiments import adaptation, plots, samples, trained
from izhi.experiments.adaptation import Adaptation, Drift, Row
from izhi.experiments.run_folder import RunFolder, already_holds_a_run, versions
from izhi.experiments.settings import Experiment, Mark, experiment, marked
from izhi.experiments.targets import artifact_of
from izhi.hardware import artifact
from izhi.hardware import devices as board
from izhi.hardware.devices import Device
from izhi.hardware.devices.evaluation import evaluate as evaluate_device
from izhi.hardware.devices.evolution import NUMPY_SEARCH, SEARCHES, DeviceEvolution, drawn
from izhi.training import checkpoint

#: Settings that evolution on a device takes; an artifact decides the others.
_ON_DEVICE = marked(Mark.ON_DEVICE)


def evolve(a: argparse.Namespace) -> None:
    if a.artifact is not None:
        _evolve_artifact(a)
        return
    for name in ("device", "layers", "fresh", "samples", "folder"):
        if getattr(a, name):
            raise SettingError(f"{name} is given, which is for an artifact; name a file (.izhi)")
    e = experiment({"optimizer": "snes", **settings(a)})
    if not e.training.evolves:
        raise SettingError(
            f"optimizer is {e.training.optimizer!r}, expected snes, cma-es or ga to evolve"
        )
    train_experiment(a, e)


def _evolve_artifact(a: argparse.Namespace) -> None:
    given = settings(a)
    for name in given:
        if name not in _ON_DEVICE:
            raise SettingError(f"{name} is given, but the artifact decides it; leave it out")
    name = str(given.pop("optimizer", "snes"))
    if name not in SEARCHES:
        raise unknown("optimizer", name, SEARCHES)
    found = artifact.load(a.artifact)
    e = experiment({"optimizer": "snes", "batch_size": 500, "epochs": 100, **given})
    if a.fresh:
        found = found.with_network(drawn(found.network, e.training.seed))
    if a.samples is not None:
        _at_least("samples", a.samples, 1)
    layers = _layers(a.layers, len(found.network.parts))
    dataset = samples.dataset_of(found, report_line)
    inputs, labels = samples.training_inputs(found, dataset, a.samples or len(dataset.train))
    folder = RunFolder(make_folder(a, "evolve"))
    chosen = {"artifact": Path(a.artifact).name, "optimizer": name, "layers": a.layers, "fresh": a.fresh,
              "samples": a.samples, "device": a.device or found.device,
              **{k: e.get(k) for k in _ON_DEVICE if k not in ("optimizer", "epochs")}}  # fmt: skip
    with _device(a, chosen["device"], found) as device:
        search = DeviceEvolution(
            device, inputs, labels, search=name, members=e.evolution.members, step_size=e.evolution.step_size,
            batch_size=e.training.batch_size, layers=layers, seed=e.training.seed,
        )  # fmt: skip
        saved = _open(folder, chosen, resume=a.resume)
        history: list[dict[str, float]] = saved["history"] if saved else []
        if saved:
            search.go_on([x.numpy() for x in saved["losses"]], len(history))
        _generations(a, e, search, folder, chosen, history)
        new = found.with_network(search.found, evolution=chosen, command=command_line())
        artifact.save(new, folder.path / "network.izhi")
        result = evaluate_device(device, samples.batches(new, dataset))
    print(f"test accuracy: {100 * result.accuracy:.2f} % of {len(dataset.test):,}")
    print(f"artifact: {folder.path / 'network.izhi'}")
    write_json(a.json, {"test_accuracy": result.accuracy, "history": history, "settings": chosen,
                        "versions": versions()})  # fmt: skip


def _device(a: argparse.Namespace, name: str, found: artifact.Artifact[Any]) -> Device[Any]:
    options = {"folder": a.folder} if a.folder else {}
    if name == "simulator" and not a.folder:
        options["spare"] = True
    return board.open(name, found, **options)


def _layers(text: str | None, count: int) -> list[int] | None:
    """Layers as people number them, from 1, as numbers from 0; None for all."""
    if text is None:
        return None
    numbers = whole_numbers("layers", text, "1,2")
    for number in numbers:
        if not 1 <= number <= count:
            raise SettingError(f"layers names {number}, expected 1 to {count}")
    return [number - 1 for number in numbers]


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise SettingError(f"{name} is {value}, expected at least {least}")


def _open(folder: RunFolder, chosen: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to resume from; None, and the folder is made, if there is none yet."""
    path = folder.path / checkpoint.NAME
    if path.exists():
        if not resume:
            raise already_holds_a_run(folder.path)
        return checkpoint.load_with(path, chosen)
    folder.write("settings.json", json.dumps({**chosen, "versions": versions()}, indent=2) + "\n")
    return None


def _generations(
    a: argparse.Namespace, e: Experiment, search: DeviceEvolution[Any], folder: RunFolder,
    chosen: dict[str, Any], history: list[dict[str, float]],
) -> None:  # fmt: skip
    import torch

    began, first = time.perf_counter(), len(history)
    while len(history) < e.training.epochs:
        start = time.perf_counter()
        row = search.generation()
        row["seconds"] = time.perf_counter() - start
        history.append(row)
        losses = [torch.from_numpy(x) for x in search.state]
        checkpoint.save(
            folder.path / checkpoint.NAME,
            {"settings": chosen, "history": history, "losses": losses},
        )
        done = len(history)
        if not a.quiet and (
            done % max(1, e.training.epochs // 50) == 0 or done == e.training.epochs
        ):
            left = (time.perf_counter() - began) / (done - first) * (e.training.epochs - done)
            report_line(
                f"generation {done:,}/{e.training.epochs:,}, loss {row['loss']:.4f},"
                f" accuracy {100 * row['accuracy']:.1f} %, {left:,.0f} s left"
            )


def adapt(a: argparse.Namespace) -> None:
    drift = Drift.parse(a.drift)
    if a.method not in adaptation.METHODS:
        raise unknown("method", a.method, adaptation.METHODS)
    for name in ("samples", "batch", "every", "tested", "steps", "batch_size"):
        _at_least(name, getattr(a, name), 1)
    if a.replay < 0:
        raise SettingError(f"replay is {a.replay}, expected 0 or more")
    for name in ("learning_rate", "step_size"):
        if not (math.isfinite(getattr(a, name)) and getattr(a, name) > 0):
            raise SettingError(f"{name} is {getattr(a, name)}, expected a number above 0")
    run = trained.load(Path(a.run_folder), {"precision": "32-true"}, report_line)
    found = artifact_of(run)
    task = adaptation.task(
        run.dataset, run.experiment, drift, samples=a.samples, memory=a.replay, seed=a.seed
    )
    folder = RunFolder(make_folder(a, f"adapt-{drift.kind}"))
    path = folder.path / checkpoint.NAME
    name = a.device or found.device
    chosen = {k: getattr(a, k) for k in ("drift", "method", "samples", "batch", "every", "tested", "replay",
                                         "steps", "batch_size", "layers", "learning_rate", "optimizer",
                                         "members", "step_size", "seed")}  # fmt: skip
    frozen = board.open(found.device, found)
    with _device(a, name, found) as device:
        learner: adaptation.Learner = adaptation.Nothing()
        shared: dict[str, Any] = {
            "layers": a.layers, "steps": a.steps, "batch_size": a.batch_size, "latest": 5 * a.batch,
            "seed": a.seed,
        }  # fmt: skip
        if a.method == "backprop":
            learner = adaptation.Backpropagation(
                run, found, device, task, learning_rate=a.learning_rate, **shared
            )
        elif a.method == "evolution":
            learner = adaptation.Evolving(
                run, found, device, task, search=a.optimizer, members=a.members,
                step_size=a.step_size, **shared,
            )  # fmt: skip
        state = Adaptation(
            run.encoder, found, device, frozen, task, learner, batch=a.batch, every=a.every,
            tested=a.tested, seed=a.seed,
        )  # fmt: skip
        if saved := _open(folder, chosen, resume=a.resume):
            state.go_on(saved)

        def progress(row: Row, left: float) -> None:
            if "old" in row and not a.quiet:
                report_line(
                    f"{row['samples']:,.0f} samples: new {100 * row['new']:.1f} %, old task"
                    f" {100 * row['old']:.1f} %, {left:,.0f} s left"
                )

        levels = adaptation.run(
            state, lambda: checkpoint.save(path, {"settings": chosen, **state.content()}), progress
        )
        network = device.network
    new = found.with_network(network, adaptation=chosen, command=command_line())
    artifact.save(new, folder.path / "network.izhi")
    folder.write("adaptation.csv", adaptation.table(state.history))
    title = f"{run.experiment.data.dataset}, {a.drift}: {a.method} on the device {name}"
    plots.save(plots.adaptation(state.history, title), folder.path / "adaptation.png")
    for what, before, after in (
        ("new", levels.new, levels.adapted_new), ("old task", levels.old, levels.adapted_old)
    ):  # fmt: skip
        print(f"{what}: {100 * before:.2f} % as deployed, {100 * after:.2f} % after the stream")
    print(
        f"regained {100 * levels.regained:.1f} % of the accuracy lost within {len(task.stream):,} samples,"
        f" kept {100 * levels.kept:.1f} % of the old task"
    )
    print(f"figure: {folder.path / 'adaptation.png'}\nartifact: {folder.path / 'network.izhi'}")
    write_json(a.json, {**asdict(levels), "regained": levels.regained, "kept": levels.kept,
                        "history": state.history, "settings": chosen, "versions": versions()})  # fmt: skip


def add(commands: Commands) -> None:
    """Their options."""
    sub = commands.add(
        "evolve",
        evolve,
        "train by evolution: a network, or the weights of an artifact on a device",
    )
    sub.add_argument("artifact", metavar="FILE", nargs="?",
                     help="an artifact (.izhi) whose weights evolve on a device [train a network from scratch]")  # fmt: skip
    sub.add_argument("--device", metavar="NAME",
                     help=f"of an artifact: {', '.join(board.DEVICES)} [emulator, or hls-ip for its artifacts]")  # fmt: skip
    sub.add_argument("--folder", metavar="FOLDER", help="of an artifact: see izhi run")
    sub.add_argument(
        "--layers", metavar="LIST", help="of an artifact: which evolve, 1 for the first [all]"
    )
    sub.add_argument(
        "--fresh", action="store_true", help="of an artifact: draw its weights anew first"
    )
    sub.add_argument(
        "--samples", type=int, metavar="N", help="of an artifact: training samples [all]"
    )
    run_options(sub)
    add_settings(sub)
    sub = commands.add("adapt", adapt, "continual learning of a deployed network under drift")
    sub.add_argument(
        "run_folder", metavar="RUN", help="run folder of a quantised network, or of one of the IP"
    )
    sub.add_argument("--drift", required=True, metavar="KIND=AMOUNT",
                     help="rotate=DEGREES, permute=SHARE, classes=NAME+NAME, speaker=NUMBER")  # fmt: skip
    sub.add_argument("--method", default="backprop", metavar="NAME",
                     help=", ".join(adaptation.METHODS) + " [%(default)s]")  # fmt: skip
    sub.add_argument("--device", metavar="NAME",
                     help=f"{', '.join(board.DEVICES)} [emulator, or hls-ip for its networks]")  # fmt: skip
    sub.add_argument("--folder", metavar="FOLDER", help="see izhi run")
    sub.add_argument("--layers", type=int, default=0, metavar="N",
                     help="how many of the last layers learn, the readout counted as one; 0 for all [0]")  # fmt: skip
    for name, kind, default, about in (
        ("samples", int, 6000, "most samples of the stream"),
        ("batch", int, 100, "samples of the stream that arrive between two updates"),
        ("replay", int, 1000, "samples of the old task kept for rehearsal"),
        ("steps", int, 10, "gradient steps, or generations, of each update"),
        ("batch-size", int, 128, "samples of a step, or of a generation"),
        ("learning-rate", float, 1e-3, "of backpropagation, by Adam"),
        ("members", int, 32, "population size of evolution"),
        ("step-size", float, 0.1, "initial spread of the population of evolution"),
        ("every", int, 5, "evaluate every N batches"),
        ("tested", int, 1000, "most test samples of each task in an evaluation"),
        ("seed", int, 0, "of stream, rehearsal memory and learning"),
    ):
        sub.add_argument(f"--{name}", type=kind, default=default, help=f"{about} [%(default)s]")
    sub.add_argument("--optimizer", default=NUMPY_SEARCH, metavar="NAME",
                     help=f"search of evolution: {', '.join(SEARCHES)} [%(default)s]")  # fmt: skip
    run_options(sub)
