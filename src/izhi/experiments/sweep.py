"""Trained networks in many formats: accuracy against memory, by each method of quantisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from lightning_fabric import Fabric
from torch import Tensor

from izhi.data import Dataset
from izhi.errors import SettingError, unknown
from izhi.experiments import build, run as run_of
from izhi.experiments.planned import PlannedRun, Resources, Runner, SerialRunner
from izhi.experiments.results.searches import SweepResult
from izhi.experiments.run import Result, Rounded
from izhi.experiments.run_folder import RunFolder, accuracy_of, load, versions
from izhi.experiments.settings import Experiment, experiment, read
from izhi.experiments.settings.choices import QUANTIZATION_METHODS
from izhi.experiments.settings.description import describe
from izhi.experiments.tables import percent, write_report
from izhi.training import Listener, ignore_progress

#: Bits of what is left as it is, in float.
FLOAT = 32
#: Of a network that is trained further: its epochs and learning rate as shares of the float run's.
LESS_EPOCHS, SLOWER = 0.5, 0.2

#: For each point a method, and of each run the experiment in that format.
Plan: TypeAlias = list[tuple[str, list[Experiment]]]


@dataclass(frozen=True)
class FloatRun:
    """A trained float network."""

    path: Path  #: path of its checkpoint
    experiment: Experiment  #: its settings
    weights: Mapping[str, Tensor]  #: its state
    accuracy: float  #: test accuracy after its last epoch

    @classmethod
    def load(cls, path: Path) -> FloatRun:
        """The run of a folder or checkpoint; SettingError if its weights or states are quantised already."""
        saved = load(path)
        e, progress = saved.experiment, saved.progress
        if e.quantization.is_quantized:
            raise SettingError(f"{path} is quantised already, expected the float run it came from")
        return cls(saved.path, e, progress.network, accuracy_of(saved.path, progress.history))

    @classmethod
    def of(cls, path: Path) -> FloatRun:
        """The run of a folder or checkpoint; or one without weights, of a TOML file of settings."""
        return cls(path, experiment(read(path)), {}, 0.0) if path.suffix == ".toml" else cls.load(path)

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
        settings["online"] = None  # rounded weights learn by backpropagation
        if method == "qat-after-ptq":
            settings["epochs"] = max(1, round(LESS_EPOCHS * e.training.epochs))
            settings["learning_rate"] = SLOWER * e.training.learning_rate
        return e.replace(**{**settings, **changes})


def quantize(
    fabric: Fabric, run: FloatRun, e: Experiment, method: str, dataset: Dataset, folder: RunFolder,
    listener: Listener = ignore_progress, label: str = "", rounded: Rounded | None = None,
) -> Result:  # fmt: skip
    """Quantise a run by a method, in a folder that is open; ``rounded`` is the result of PTQ if there is one."""
    if method == "ptq":
        return run_of.quantize(fabric, e, dataset, folder, run.weights, rounded)
    start = run.weights if method == "qat-after-ptq" else None
    formats = None if rounded is None else rounded.formats
    return run_of.train(fabric, e, dataset, folder, listener, start=start, formats=formats, label=label)


def load_runs(paths: Sequence[Path]) -> list[FloatRun]:
    """Runs of one experiment, of different seeds.

    Raises:
        SettingError: if their settings differ in more than the seed, or two have the same seed.
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


def widths_of(e: Experiment) -> tuple[int, int]:
    """Bits of a weight and of a state."""
    return e.quantization.weight_bits or FLOAT, e.quantization.state_bits or FLOAT


def memory(e: Experiment, features: tuple[int, ...], classes: int) -> int:
    """Bits of memory of a network: its weights, and the states of all neurons; 32 each where float."""
    return describe(e, features, classes).memory(*widths_of(e))


def sweep(
    runs: Sequence[FloatRun], planned: Plan, folder: Path, runner: Runner | None = None, *, resume: bool = False,
    command: str = "",
) -> SweepResult:  # fmt: skip
    """Quantise runs in several formats and by several methods, and write the table and the figure.

    Args:
        planned: for each point a method, and the experiment of each run in that format, see ``plan``.
        runner: executes the runs; None for one after another.
    """
    runner = runner or SerialRunner()
    pending = []
    for method, experiments in planned:
        weights, states = widths_of(experiments[0])
        for run, e in zip(runs, experiments, strict=True):
            path = folder / f"{method}-w{weights}-s{states}" / f"seed-{e.training.seed}"
            label = f"{method}, weights {weights}, states {states}, seed {e.training.seed}"
            execute = partial(_quantize, run, e, method, path, label, resume, command)
            pending.append(PlannedRun(str(path), execute))
    results = iter(runner.run(pending))
    dataset = runner.resources.dataset(runs[0].experiment)
    size = build.encoder(runs[0].experiment, dataset).grid, len(dataset.classes)
    points = []
    for method, experiments in planned:
        weights, states = widths_of(experiments[0])
        accuracies = [next(results).test_accuracy for _ in experiments]
        points.append({"method": method, "weight_bits": weights, "state_bits": states,
                       "bits": memory(experiments[0], *size), "accuracies": accuracies})  # fmt: skip
    result = SweepResult.keep(folder, {
        "command": command, "versions": versions(), "float_accuracies": [run.accuracy for run in runs],
        "float_bits": memory(runs[0].experiment, *size), "seeds": [run.experiment.training.seed for run in runs],
        "config": runs[0].experiment.flat(plain=True), "points": points,
    })  # fmt: skip
    seeds = ", ".join(map(str, result.seeds))
    write_report(
        folder / "sweep.md", f"# {result.title}", f"    {command}",
        f"Float: {percent(result.float_accuracies)} %, {result.whole[0]:,.1f} kB. Seeds: {seeds}.", result.table(),
        "![accuracy against memory](pareto.png)",
    )  # fmt: skip
    return result


def _quantize(
    run: FloatRun, e: Experiment, method: str, path: Path, label: str, resume: bool, command: str, resources: Resources,
    listener: Listener,
) -> Result:  # fmt: skip
    """Quantise a run in its folder, or read it back if it is finished."""
    folder = RunFolder(path)
    with resources.hold(path):
        folder.open(e, resume=resume, command=command)
        return quantize(resources.fabric(e), run, e, method, resources.dataset(e), folder, listener, label)


def plan(
    runs: Sequence[FloatRun], methods: Sequence[str], weights: Sequence[int], states: Sequence[int],
    changes: Mapping[str, object],
) -> Plan:  # fmt: skip
    """Each method in each format, of every run; checked before anything is written."""
    return [
        (method, [run.rounded(w, s, method, changes) for run in runs])
        for method in methods
        for w in weights
        for s in states
    ]
