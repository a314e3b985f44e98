"""Comparisons: variants of one experiment, several seeds each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev

from izhi.data.catalogue import FOLDS
from izhi.errors import SettingError
from izhi.experiments import build
from izhi.experiments.planned import PlannedRun, Resources, Runner, SerialRunner
from izhi.experiments.run import Result, train
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import Experiment, Mark, experiment, marked, typed
from izhi.experiments.variants import Variant
from izhi.training import Listener


@dataclass
class VariantResult:
    """The results of a variant over its seeds."""

    variant: Variant
    experiment: Experiment
    results: list[Result]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each seed after the last epoch."""
        return [result.test_accuracy for result in self.results]

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds; None for one seed."""
        return stdev(self.accuracies) if len(self.results) > 1 else None

    @property
    def spikes(self) -> float:
        """Spikes that a test sample causes in all layers, mean over seeds."""
        return mean(result.spikes for result in self.results)

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        return self.results[0].parameters

    def groups(self) -> dict[str, list[float]]:
        """Test accuracy of each seed for every reported group of test samples."""
        start = "test_accuracy_"
        names = [k.removeprefix(start) for k in self.results[0].history[-1] if k.startswith(start)]
        return {name: [r.history[-1][start + name] for r in self.results] for name in names}

    @property
    def seconds(self) -> float:
        """Training time of an epoch: the median over all epochs."""
        times = sorted(row["train_seconds"] for r in self.results for row in r.history)
        return times[len(times) // 2]


def plan(
    variants: Sequence[Variant], seeds: Sequence[int], settings: Mapping[str, object], *, folds: bool = False
) -> list[tuple[Variant, list[Experiment]]]:
    """Every experiment, checked before the first starts; with ``folds``, each seed five times, with other test data."""
    typed(settings)  # also what every variant replaces
    planned = []
    runs: list[dict[str, object]] = [{"seed": s} for s in seeds]
    if folds:
        runs = [{"seed": s, "fold": f} for s in seeds for f in range(FOLDS)]
    for variant in variants:
        for key in marked(Mark.SAME_IN_VARIANTS):
            if key in variant.settings:
                raise SettingError(f"{key} cannot differ between variants; give --{key}")
        planned.append((variant, [experiment({**settings, **variant.settings, **run}) for run in runs]))
    return planned


def check(planned: Sequence[tuple[Variant, list[Experiment]]], resources: Resources) -> str:
    """Raise the errors that a run of the comparison would raise, before anything is written.

    Returns:
        The numbers of samples, for people.
    """
    counts = ""
    for _, (first, *_) in planned:  # seeds and folds change no structure
        counts = build.check(first, resources.dataset(first))
    return counts


def _name(variant: Variant, e: Experiment, between: str) -> list[str]:
    fold = [] if e.data.fold is None else [f"fold{between}{e.data.fold}"]
    return [variant.label, f"seed{between}{e.training.seed}", *fold]


def folder_of(folder: Path, variant: Variant, e: Experiment) -> Path:
    """The folder of a run below that of the comparison."""
    label, *rest = _name(variant, e, "-")
    return folder / "".join(c if c.isalnum() or c in "._=-" else "-" for c in label).strip("-") / "-".join(rest)


def _train(
    e: Experiment, path: Path, label: str, resume: bool, command: str, resources: Resources, listener: Listener
) -> Result:
    """Train a run of the comparison in its folder, or read it back if it is finished."""
    fabric, folder = resources.fabric(e), RunFolder(path)
    with resources.hold(path):
        if fabric.is_global_zero:
            folder.open(e, resume=resume, command=command)
        fabric.barrier()
        return train(fabric, e, resources.dataset(e), folder, listener, label=label)


def compare(
    planned: Sequence[tuple[Variant, list[Experiment]]], folder: Path, runner: Runner | None = None, *,
    resume: bool = False, command: str = "",
) -> list[VariantResult]:  # fmt: skip
    """Run every experiment in a folder of its own under ``folder``; finished runs are read back.

    Args:
        runner: executes the runs; None for one after another.

    Raises:
        FileError: if the folder cannot be written.
        RunFolderError: if it holds runs and ``resume`` is False, or runs of other settings.
    """
    runs = []
    for variant, experiments in planned:
        for e in experiments:
            path, label = folder_of(folder, variant, e), ", ".join(_name(variant, e, " "))
            runs.append(PlannedRun(str(path), partial(_train, e, path, label, resume, command)))
    results = iter((runner or SerialRunner()).run(runs))
    return [VariantResult(variant, own[0], [next(results) for _ in own]) for variant, own in planned]
