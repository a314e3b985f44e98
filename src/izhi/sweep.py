"""One trained network in many formats: accuracy against memory, by each method of quantisation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from izhi import plots, training
from izhi.config import Experiment, experiment
from izhi.data import Dataset
from izhi.errors import SettingError, unknown
from izhi.training import Listener, Result, RunFolder, checkpoint

#: Rounded after training; trained with rounding from the beginning; rounded, then trained further.
METHODS = ("ptq", "qat", "qat-after-ptq")
#: Of a network that is trained further: its epochs and learning rate as shares of the float run's.
LESS_EPOCHS, SLOWER = 0.5, 0.2


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
    weights: Mapping[str, Any]
    accuracy: float

    @classmethod
    def load(cls, path: Path) -> FloatRun:
        """The run of a folder or checkpoint.

        Raises:
            SettingError: if its weights or states are quantised already.
        """
        path = path / checkpoint.NAME if path.is_dir() else path
        saved = checkpoint.load(path)
        e = experiment(saved["config"])
        if e.is_quantized:
            raise SettingError(f"{path} is quantised already, expected the float run it came from")
        return cls(path, e, saved["model"], saved["history"][-1]["test_accuracy"])

    def rounded(
        self, bits: int, states: int, method: str, changes: Mapping[str, Any]
    ) -> Experiment:
        """The experiment of this network in a format."""
        if method not in METHODS:
            raise unknown("method", method, METHODS)
        e = self.experiment
        settings: dict[str, Any] = {"weight_bits": bits, "state_bits": states}
        if method == "qat-after-ptq":
            settings["epochs"] = max(1, round(LESS_EPOCHS * e.epochs))
            settings["learning_rate"] = SLOWER * e.learning_rate
        return experiment({**e.model_dump(), **settings, **changes})

    def planned(
        self,
        methods: Sequence[str],
        weights: Sequence[int],
        states: Sequence[int],
        changes: Mapping[str, Any],
    ) -> list[tuple[str, Experiment]]:
        """Each method in each format; checked before anything is written."""
        return [
            (method, self.rounded(w, s, method, changes))
            for method in methods
            for w in weights
            for s in states
        ]


def quantize(
    fabric: Fabric,
    run: FloatRun,
    e: Experiment,
    method: str,
    dataset: Dataset,
    folder: RunFolder,
    listener: Listener,
) -> Result:
    """Quantise a run by a method, in a folder that is open."""
    if method == "ptq":
        return training.quantize(fabric, e, dataset, folder, run.weights)
    start = run.weights if method == "qat-after-ptq" else None
    return training.train(fabric, e, dataset, folder, listener, start=start)


@dataclass(frozen=True)
class Point:
    """A network in a format.

    Attributes:
        method: by which it was quantised.
        weight_bits, state_bits: its format.
        bits: of memory for weights, biases and states.
        accuracy: on the test samples.
    """

    method: str
    weight_bits: int
    state_bits: int
    bits: int
    accuracy: float


def memory(e: Experiment, inputs: int, classes: int) -> int:
    """Bits of memory of a network: its weights, and the states of all neurons; 32 each where float."""
    weight, state = e.weight_bits or 32, e.state_bits or 32
    widths = [*e.hidden, classes] if e.readout == "spikes" else list(e.hidden)
    before, weights = inputs, 0
    for width in widths:
        weights += before * width + (width * width if e.connection == "recurrent" else 0)
        before = width
    if e.readout != "spikes":
        weights += before * classes
    return weights * weight + sum(widths) * state * (1 if e.neuron == "lif" else 2)


def sweep(
    run: FloatRun,
    planned: Sequence[tuple[str, Experiment]],
    dataset: Dataset,
    folder: Path,
    listener: Listener,
    *,
    resume: bool = False,
    command: str = "",
) -> list[Point]:
    """Quantise a run in several formats and ways, and write the table and the figure.

    Args:
        run: the float network.
        planned: a method and the experiment of a format for each point, see ``FloatRun.planned``.
        dataset: of the run.
        folder: for a run of each point, sweep.json, sweep.md and pareto.png.
        listener: told of every epoch.
        resume: whether finished points are read back.
        command: for the record.
    """
    fabric = training.start_fabric(run.experiment)
    size = training.inputs(run.experiment, dataset), len(dataset.classes)
    points = []
    for method, e in planned:
        place = RunFolder(folder / f"{method}-w{e.weight_bits}-s{e.state_bits}")
        place.open(e, resume=resume, command=command)
        result = quantize(fabric, run, e, method, dataset, place, listener)
        assert e.weight_bits is not None
        assert e.state_bits is not None
        points.append(
            Point(method, e.weight_bits, e.state_bits, memory(e, *size), result.test_accuracy)
        )
    write(run, points, memory(run.experiment, *size), folder, command)
    return points


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


def cells(point: Point, accuracy: float) -> tuple[str, ...]:
    """A row of the table; accuracy is the float network's."""
    return (
        point.method, str(point.weight_bits), str(point.state_bits), f"{point.bits / 8000:,.1f}",
        f"{100 * point.accuracy:.2f}", f"{100 * (point.accuracy - accuracy):+.2f}",
    )  # fmt: skip


def write(run: FloatRun, points: Sequence[Point], bits: int, folder: Path, command: str) -> None:
    """sweep.json, sweep.md and pareto.png."""
    out = RunFolder(folder)
    table = ["| " + " | ".join(headings()) + " |", "|" + "---|" * len(headings())]
    table += ["| " + " | ".join(cells(p, run.accuracy)) + " |" for p in points]
    e = run.experiment
    lines = [
        f"# Quantised: {e.dataset}, {e.neuron}",
        "",
        *([f"    {command}", ""] if command else []),
    ]
    lines += [f"Float: {100 * run.accuracy:.2f} %, {bits / 8000:,.1f} kB.", "", *table, ""]
    out.write("sweep.md", "\n".join([*lines, "![accuracy against memory](pareto.png)", ""]))
    out.write("sweep.json", json.dumps(summary(run, points), indent=2) + "\n")
    series = {
        method: [
            (p.bits / 8000, p.accuracy, f"{p.weight_bits}/{p.state_bits}")
            for p in points
            if p.method == method
        ]
        for method in dict.fromkeys(p.method for p in points)
    }
    plots.save(
        plots.pareto(series, (bits / 8000, run.accuracy), f"{e.dataset}, {e.neuron}"),
        folder / "pareto.png",
    )


def summary(run: FloatRun, points: Sequence[Point]) -> dict[str, Any]:
    """A sweep as plain values, for --json."""
    return {
        "float_accuracy": run.accuracy,
        "config": run.experiment.model_dump(mode="json"),
        "points": [vars(p) for p in points],
    }
