"""Planned runs: the engine under comparisons, searches, sweeps and studies.

A command plans its runs, a runner executes those that are not finished, and the command reports their results. A run
resumes from what its folder holds, and the plan of several runs is kept in their folder, which alone suffices to resume
them. ``SerialRunner`` executes runs one after another in this process, ``izhi.experiments.jobs.ParallelRunner`` several
at once; both give the same numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import torch
from lightning_fabric import Fabric

from izhi import files
from izhi.data import Dataset
from izhi.errors import RunFolderError, shown
from izhi.experiments import build
from izhi.experiments.run_folder import already_holds_a_run
from izhi.experiments.saved import PLAN
from izhi.experiments.settings import RENAMED, Experiment
from izhi.training import Listener, ProgressEvent, ignore_progress

Outcome = TypeVar("Outcome")
Row = dict[str, float]


class Resources:
    """The data set and the fabric of the last run of a process, which the next run uses if it needs the same."""

    def __init__(self, report: Callable[[str], None] = lambda line: None) -> None:
        self._report = report
        self._dataset: tuple[object, Dataset] | None = None
        self._fabric: tuple[object, Fabric] | None = None

    def dataset(self, e: Experiment) -> Dataset:
        """The data set of an experiment."""
        key = e.data.dataset, e.data.fold, e.data.best_inputs, e.data.over_time
        if self._dataset is None or self._dataset[0] != key:
            self._dataset = key, build.dataset(e.data, self._report)
        return self._dataset[1]

    def fabric(self, e: Experiment) -> Fabric:
        """The fabric of an experiment, launched; of several processes, that of their first experiment."""
        key = None if e.machine.devices * e.machine.nodes > 1 else (e.machine, build.precision(e))
        if self._fabric is None or self._fabric[0] != key:
            self._fabric = key, build.fabric(e)
        return self._fabric[1]

    @property
    def is_first_process(self) -> bool:
        """Whether this is the process that writes the results of all."""
        return self._fabric is None or self._fabric[1].is_global_zero

    def hold(self, folder: Path) -> AbstractContextManager[None]:
        """Within it no other command writes the folder; further processes of this one do not hold it."""
        return files.holding(folder) if self.is_first_process else nullcontext()


def without_test_samples(dataset: Dataset) -> Dataset:
    """The data set for runs that must not see the test samples; it has no test samples, and touches none."""
    nothing = torch.zeros(len(dataset.train), dtype=torch.bool)
    return replace(dataset, test=dataset.train.subset(nothing), groups={})


@dataclass(frozen=True)
class PlannedRun(Generic[Outcome]):
    """A run, or several that depend on each other."""

    name: str  #: names it in errors, such as its folder
    #: executes it with a process's resources and a listener; it must be picklable, such as a ``partial`` of a module's
    #: function
    execute: Callable[[Resources, Listener], Outcome]


class Runner(Protocol):
    """Executes planned runs.

    Attributes:
        resources: resources of this process, for what is computed before and after the runs.
    """

    @property
    def resources(self) -> Resources: ...

    def run(
        self, planned: Sequence[PlannedRun[Outcome]], keep: Callable[[Outcome], object] = lambda outcome: None
    ) -> list[Outcome]:
        """Execute runs: their outcomes in order. ``keep`` receives each outcome as soon as its run ends."""


@dataclass(frozen=True)
class SerialRunner:
    """Executes planned runs one after another in this process."""

    listener: Listener = ignore_progress  #: receives the progress of every run
    resources: Resources = field(default_factory=Resources)  #: resources of this process

    def run(
        self, planned: Sequence[PlannedRun[Outcome]], keep: Callable[[Outcome], object] = lambda outcome: None
    ) -> list[Outcome]:
        """See ``Runner``; the first error ends all."""
        outcomes = []
        for run in planned:
            outcomes.append(run.execute(self.resources, self.listener))
            keep(outcomes[-1])
        return outcomes


def extend_history(
    history: list[Row], epochs: int, run_epoch: Callable[[], Row], save: Callable[[], object], listener: Listener
) -> None:
    """Run epochs until the history has as many rows, and save after each.

    Args:
        history: a row of metrics for each finished epoch, to which further rows are appended.
        run_epoch: runs the next epoch; its metrics. ``seconds`` are added if missing.
        save: saves the history, so that a later call resumes it.
    """
    listener(ProgressEvent("start", epochs, len(history)))
    try:
        while len(history) < epochs:
            began = time.perf_counter()
            row = run_epoch()
            row.setdefault("seconds", time.perf_counter() - began)
            history.append(row)
            save()
            listener(ProgressEvent("epoch", epochs, len(history), metrics=row))
    finally:
        listener(ProgressEvent("end", epochs, len(history)))


Plan = dict[str, object]


def agree(
    folder: Path, stage: str, given: Mapping[str, object], *, resume: bool, may_change: Collection[str] = ()
) -> Plan:
    """The plan of a folder: the values of the command and, to resume, those that the folder holds.

    Args:
        given: values of the command; None for those that it leaves out.
        may_change: names whose values may differ from those of the folder.

    Raises:
        RunFolderError: if the folder holds runs and ``resume`` is False, or if they have another command, another
            plan, or no readable plan.
    """
    # A round trip through JSON gives the values that the folder will hold.
    now: Plan = json.loads(json.dumps({name: value for name, value in given.items() if value is not None}))
    if not files.is_in_use(folder):
        if resume and not now:
            raise RunFolderError(f"{folder} holds no runs to resume; check the folder, or leave --resume out")
        return {"stage": stage, **now}
    if not resume:
        raise already_holds_a_run(folder)
    before = _read(folder)
    if before.get("stage") != stage:
        raise RunFolderError(
            f"{folder} holds no runs of izhi {stage}; resume the runs that it holds, or choose another --out"
        )
    for name, value in now.items():
        if name not in may_change and before.get(name) != value:
            raise RunFolderError(
                f"{folder} holds runs with {name} = {shown(before.get(name))}, not {shown(value)};"
                " leave it out to resume them, or choose another --out"
            )
    return {**before, **now}


def keep_plan(folder: Path, plan: Plan) -> None:
    """Write the plan into its folder."""
    files.write_bytes(folder / PLAN, (json.dumps(plan, indent=2) + "\n").encode())


def _read(folder: Path) -> Plan:
    path = folder / PLAN
    if not path.exists():
        raise RunFolderError(f"{folder} holds no {PLAN}, without which its runs cannot resume; choose another --out")
    try:
        with files.reading(path):
            plan = json.loads(path.read_bytes(), parse_constant=lambda text: str(float(text)))  # as settings say it
    except (ValueError, RecursionError):
        plan = None
    plan = {RENAMED.get(name, name): value for name, value in plan.items()} if isinstance(plan, dict) else None
    if plan is None:
        raise RunFolderError(f"{path} is damaged, expected the plan of its runs; choose another --out")
    return plan
