"""Trained networks in many formats: accuracy against memory, by each method of quantisation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

from lightning_fabric import Fabric
from torch import Tensor

from izhi.data import Dataset
from izhi.errors import SettingError, unknown
from izhi.experiments import build, plots, rows, run as run_of
from izhi.experiments.comparison import percent
from izhi.experiments.run import Result, RunListener
from izhi.experiments.run_folder import RunFolder, accuracy_of, load
from izhi.experiments.settings import Experiment
from izhi.experiments.settings.choices import QUANTIZATION_METHODS
from izhi.experiments.settings.kinds import kind
from izhi.experiments.tables import markdown

#: Bits of what is left as it is, in float.
FLOAT = 32
#: Of a network that is trained further: its epochs and learning rate as shares of the float run's.
LESS_EPOCHS, SLOWER = 0.5, 0.2

#: For each point a method, and of each run the experiment in that format.
Plan: TypeAlias = list[tuple[str, list[Experiment]]]


@dataclass(frozen=True)
class FloatRun:
    """A trained float network.

    Attributes:
        path: of its checkpoint.
        experiment: its settings.
        weights: its state.
        accuracy: on the test samples, after its last epoch.
    """

    path: Path
    experiment: Experiment
    weights: Mapping[str, Tensor]
    accuracy: float

    @classmethod
    def load(cls, path: Path) -> FloatRun:
        """The run of a folder or checkpoint.

        Raises:
            SettingError: if its weights or states are quantised already.
        """
        saved = load(path)
        e, progress = saved.experiment, saved.progress
        if e.quantization.is_quantized:
            raise SettingError(f"{path} is quantised already, expected the float run it came from")
        return cls(saved.path, e, progress.network, accuracy_of(saved.path, progress.history))

    def rounded(self, bits: int, states: int, method: str, changes: Mapping[str, object]) -> Experiment:
        """The experiment of this network in a format; FLOAT bits leave weights or states as they are."""
        if method not in QUANTIZATION_METHODS:
            raise unknown("method", method, QUANTIZATION_METHODS)
        if bits == states == FLOAT:
            raise SettingError(
                f"weights and states are both {FLOAT}, which leaves the network as it is; choose fewer bits"
            )
        e = self.experiment
        named = {"weight_bits": bits, "state_bits": states}
        settings: dict[str, object] = {k: None if n == FLOAT else n for k, n in named.items()}
        if method == "qat-after-ptq":
            settings["epochs"] = max(1, round(LESS_EPOCHS * e.training.epochs))
            settings["learning_rate"] = SLOWER * e.training.learning_rate
        return e.replace(**{**settings, **changes})


def quantize(
    fabric: Fabric,
    run: FloatRun,
    e: Experiment,
    method: str,
    dataset: Dataset,
    folder: RunFolder,
    listener: RunListener,
    label: str = "",
) -> Result:
    """Quantise a run by a method, in a folder that is open."""
    if method == "ptq":
        return run_of.quantize(fabric, e, dataset, folder, run.weights)
    start = run.weights if method == "qat-after-ptq" else None
    return run_of.train(fabric, e, dataset, folder, listener, start=start, label=label)


def load_runs(paths: Sequence[Path]) -> list[FloatRun]:
    """Runs of one experiment, of different seeds.

    Raises:
        SettingError: if their settings differ in more than the seed, or a seed is there twice.
    """
    runs = [FloatRun.load(path) for path in paths]
    first = runs[0].experiment.flat()
    for run in runs[1:]:
        for name, value in run.experiment.flat().items():
            if name != "seed" and value != first[name]:
                raise SettingError(f"{run.path} has {name} = {value!r}, expected {first[name]!r} as in {runs[0].path}")
    seeds = [run.experiment.training.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise SettingError(f"the runs have seeds {seeds}, expected a different one for each")
    return runs


@dataclass(frozen=True)
class Point:
    """Networks in a format.

    Attributes:
        method: by which they were quantised.
        weight_bits, state_bits: their format.
        bits: of memory for weights and states of one network.
        accuracies: on the test samples, one of each run.
    """

    method: str
    weight_bits: int
    state_bits: int
    bits: int
    accuracies: tuple[float, ...]


def widths_of(e: Experiment) -> tuple[int, int]:
    """Bits of a weight and of a state."""
    return e.quantization.weight_bits or FLOAT, e.quantization.state_bits or FLOAT


def memory(e: Experiment, features: tuple[int, ...], classes: int) -> int:
    """Bits of memory of a network: its weights, and the states of all neurons; 32 each where float."""
    weight, state = widths_of(e)
    planned, bits = rows.plan(e, features, classes), 0
    for row in planned:
        if row.layer.has_neurons:
            bits += row.weights * (row.layer.weight_bits or weight)
            bits += math.prod(row.found) * state * kind(row.neurons.neuron).states
    if e.network.readout != "spikes":
        bits += rows.outputs(planned, features) * classes * weight
    return bits


def sweep(
    runs: Sequence[FloatRun],
    planned: Plan,
    dataset: Dataset,
    folder: Path,
    listener: RunListener,
    *,
    resume: bool = False,
    command: str = "",
) -> list[Point]:
    """Quantise runs in several formats and ways, and write the table and the figure.

    Args:
        runs: float networks, see ``load_runs``.
        planned: for each point a method, and of each run the experiment in that format, see ``plan``.
        dataset: of the runs.
        folder: for a run of each point and seed, sweep.json, sweep.md and pareto.png.
        listener: told of every epoch.
        resume: whether finished points are read back.
        command: for the record.
    """
    fabric = build.fabric(runs[0].experiment)
    size = build.encoder(runs[0].experiment, dataset).grid, len(dataset.classes)
    points = []
    for method, experiments in planned:
        accuracies = []
        weights, states = widths_of(experiments[0])
        for run, e in zip(runs, experiments, strict=True):
            place = RunFolder(folder / f"{method}-w{weights}-s{states}" / f"seed-{e.training.seed}")
            place.open(e, resume=resume, command=command)
            label = f"{method}, weights {weights}, states {states}, seed {e.training.seed}"
            result = quantize(fabric, run, e, method, dataset, place, listener, label)
            accuracies.append(result.test_accuracy)
        bits = memory(experiments[0], *size)
        points.append(Point(method, weights, states, bits, tuple(accuracies)))
    write(runs, points, memory(runs[0].experiment, *size), folder, command)
    return points


def plan(
    runs: Sequence[FloatRun],
    methods: Sequence[str],
    weights: Sequence[int],
    states: Sequence[int],
    changes: Mapping[str, object],
) -> Plan:
    """Each method in each format, of every run; checked before anything is written."""
    return [
        (method, [run.rounded(w, s, method, changes) for run in runs])
        for method in methods
        for w in weights
        for s in states
    ]


def headings() -> tuple[str, ...]:
    """Columns of the table."""
    return (
        "method",
        "weights (bits)",
        "states (bits)",
        "memory (kB)",
        "test accuracy (%)",
        "against float",
    )


def cells(point: Point, runs: Sequence[FloatRun]) -> tuple[str, ...]:
    """A row of the table."""
    change = fmean(a - run.accuracy for a, run in zip(point.accuracies, runs, strict=True))
    return (
        point.method, str(point.weight_bits), str(point.state_bits), f"{point.bits / 8000:,.1f}",
        percent(point.accuracies), f"{100 * change:+.2f}",
    )  # fmt: skip


def write(runs: Sequence[FloatRun], points: Sequence[Point], bits: int, folder: Path, command: str) -> None:
    """sweep.json, sweep.md and pareto.png."""
    out = RunFolder(folder)
    table = markdown(headings(), [cells(p, runs) for p in points])
    e, accuracies = runs[0].experiment, [run.accuracy for run in runs]
    lines = [
        f"# Quantised: {e.data.dataset}, {e.neurons.neuron}",
        "",
        *([f"    {command}", ""] if command else []),
    ]
    seeds = ", ".join(str(run.experiment.training.seed) for run in runs)
    lines += [
        f"Float: {percent(accuracies)} %, {bits / 8000:,.1f} kB. Seeds: {seeds}.", "", table, "",
        "![accuracy against memory](pareto.png)", "",
    ]  # fmt: skip
    out.write("sweep.md", "\n".join(lines))
    out.write("sweep.json", json.dumps(summary(runs, points), indent=2) + "\n")
    series = {
        method: [
            (p.bits / 8000, fmean(p.accuracies), f"{p.weight_bits}/{p.state_bits}")
            for p in points
            if p.method == method
        ]
        for method in dict.fromkeys(p.method for p in points)
    }
    plots.save(
        plots.pareto(series, (bits / 8000, fmean(accuracies)), f"{e.data.dataset}, {e.neurons.neuron}"),
        folder / "pareto.png",
    )


def summary(runs: Sequence[FloatRun], points: Sequence[Point]) -> dict[str, object]:
    """A sweep as plain values, for --json."""
    return {
        "float_accuracies": [run.accuracy for run in runs],
        "seeds": [run.experiment.training.seed for run in runs],
        "config": runs[0].experiment.flat(plain=True),
        "points": [vars(p) for p in points],
    }
