"""The protocol of a study, written before its runs: tasks, variants, search, seeds and contrasts.

One TOML file, which ``read`` takes:

    trials = 6
    seeds = [0, 1, 2, 3, 4]
    search = "learning_rate=1e-3..1e-2,qif.gain=0.5..2"

    [settings]                       # settings of every run
    [variants."QIF"]                 # settings in which a variant differs
    [tasks.rows]                     # settings in which a task differs
    dataset = "mnist"
    held_out = [{split_seed = 0}]    # parts of the training samples that judge trials, each by a network of its own
    trials = 3                       # in place of the number above
    seeds = [0, 1]                   # likewise; [] for a task of which there is a search alone
    [tasks.rows-recurrent]
    like = "rows"                    # it uses the best settings of that task
    [contrasts."learning helps"]     # two variants to compare; the first contrast is the main hypothesis
    of = "QIF, learned"
    against = "QIF"
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import dist
from pathlib import Path
from typing import Any

import numpy as np

from izhi.errors import SettingError, shown, unknown
from izhi.experiments.settings import Experiment, experiment, read as read_settings
from izhi.experiments.variants import Range, Variant, named_variants, parse_search, parse_variants
from izhi.seeds import Purpose, derive_seed

#: Number of Latin hypercubes of which the one that spreads best is used.
_DRAWS = 200
#: What a file may hold, and of that what it must.
_KEYS = ("trials", "seeds", "search", "settings", "variants", "tasks", "contrasts")
_NAME = re.compile(r"[\w-]+")
#: Protocols that Izhi brings, by the names that commands take.
BROUGHT = {"benchmark": Path(__file__).with_name("benchmark.toml")}


@dataclass(frozen=True)
class Task:
    """A task of a study."""

    name: str  #: name of the task and of the file of its rows
    settings: Mapping[str, object]  #: the settings in which it differs from the others
    #: settings that hold out validation samples; each trial trains a network for each, and their mean accuracy judges
    #: it
    held_out: Sequence[Mapping[str, object]] = ({},)
    like: str | None = None  #: the task whose search it uses; None for a search of its own
    trials: int | None = None  #: number of trials of every variant; None for that of the other tasks
    #: seeds of its runs, none for a search alone; None for those of the other tasks
    seeds: Sequence[int] | None = None


@dataclass(frozen=True)
class Contrast:
    """Two variants that are compared over all tasks, and the name of that comparison."""

    name: str
    of: str
    against: str


@dataclass(frozen=True)
class Protocol:
    """A study before its runs."""

    settings: Mapping[str, object]  #: settings of every run
    variants: Sequence[Variant]  #: the variants of every task
    tasks: Sequence[Task]  #: the tasks, in order
    ranges: Sequence[Range]  #: the values that are searched
    trials: int  #: number of trials of every variant on a task
    seeds: Sequence[int]  #: seeds of the runs with the best settings
    contrasts: Sequence[Contrast] = field(default=())  #: the main hypothesis, then what else is compared

    def task(self, name: str) -> Task:
        """The task of that name; SettingError if there is none."""
        tasks = {task.name: task for task in self.tasks}
        if name not in tasks:
            raise unknown("task", name, tasks)
        return tasks[name]

    def chosen(self, names: Sequence[str]) -> Sequence[Task]:
        """The tasks of those names, all if there are none; SettingError for a name that no task has."""
        return [self.task(name) for name in names] or self.tasks

    def seeds_of(self, task: Task) -> Sequence[int]:
        """The seeds of a task's runs with the best settings."""
        return self.seeds if task.seeds is None else task.seeds

    def with_neurons(self, neurons: str, search: str = "", tasks: Sequence[str] = ()) -> Protocol:
        """The same study with further neurons, each of which is compared with the first variant.

        Args:
            neurons: comma-separated ``neuron[:setting=value]…`` or ``module:name[:setting=value]…``.
            search: ranges beside those of the file, such as ``module:name.gain=0.25..4``; "" for none.
            tasks: names of those whose runs are checked; none for all.

        Raises:
            SettingError: for what is not of that form, for the name of a variant, and for an impossible run.
        """
        known = {variant.label for variant in self.variants}
        added = [replace(x, named=True) for x in parse_variants(neurons, None)]
        for variant in added:
            if variant.label in known:
                raise SettingError(f"neurons has {variant.label!r}, which is a variant of the study; leave it out")
        first = self.variants[0].label
        contrasts = [Contrast(f"{x.label} against {first}", x.label, first) for x in added]
        ranges = [*self.ranges, *(parse_search(search) if search else ())]
        _check(replace(self, variants=added, ranges=ranges), tasks)
        return replace(
            self, variants=[*self.variants, *added], ranges=ranges, contrasts=[*self.contrasts, *contrasts]
        )  # fmt: skip

    def tried(self, task: Task, variant: Variant) -> list[dict[str, object]]:
        """The settings of each trial of a variant on a task; trial k has one point in the ranges for all variants."""
        neuron = str(variant.settings.get("neuron", self.settings.get("neuron", "")))
        mine = [r for r in self.ranges if r.concerns(neuron)]
        return [
            {r.name: r.at(share) for r, share in zip(mine, point, strict=True)}
            for point in places(task.trials or self.trials, len(mine))
        ]

    def of_trial(self, task: Task, variant: Variant, chosen: Mapping[str, object]) -> list[Experiment]:
        """The experiments of a trial, one for each part that is held out."""
        return [self._experiment(task, variant, chosen, held) for held in task.held_out]

    def of_run(self, task: Task, variant: Variant, chosen: Mapping[str, object], seed: int) -> Experiment:
        """The experiment of a seed, which trains on training and validation samples."""
        return self._experiment(task, variant, chosen, {"validation": 0.0, "seed": seed})

    def digest(self, task: Task, variant: Variant) -> str:
        """A hash of everything that a variant's rows on a task depend on, in twelve letters."""
        content = [
            self.settings,
            task.settings,
            variant.settings,
            list(task.held_out),
            task.like,
            self.tried(task, variant),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def _experiment(
        self, task: Task, variant: Variant, chosen: Mapping[str, object], last: Mapping[str, object]
    ) -> Experiment:
        return experiment({**self.settings, **task.settings, **variant.settings, **chosen, **last})


def places(trials: int, dimensions: int) -> list[tuple[float, ...]]:
    """Trials as points in the unit cube: of many Latin hypercubes the one whose two nearest points are farthest apart.

    Every dimension has as many equal intervals as trials, and each interval holds the middle of one trial.
    """
    draws = np.random.default_rng(derive_seed(0, Purpose.TRIAL, trials, dimensions))
    best: list[tuple[float, ...]] = []
    for _ in range(_DRAWS):
        columns = [(draws.permutation(trials) + 0.5) / trials for _ in range(dimensions)]
        points = [tuple(float(x) for x in row) for row in zip(*columns, strict=True)]
        if not best or _nearest(points) > _nearest(best) + 1e-9:
            best = points
    return best


def _nearest(points: Sequence[tuple[float, ...]]) -> float:
    return min((dist(a, b) for a, b in combinations(points, 2)), default=0.0)


def find(name: str) -> Path:
    """The file of a protocol: one that Izhi brings, by its name, or that of a path."""
    return BROUGHT.get(name, Path(name))


def read(path: Path, tasks: Sequence[str] = ()) -> Protocol:
    """The protocol in a TOML file, its experiments checked.

    Args:
        path: of the file.
        tasks: names of those whose experiments are checked, such as those whose data are at hand; none for all.

    Raises:
        SettingError: if the file has other contents, or plans an impossible run.
    """
    values = read_settings(path)
    for key in values:
        if key not in _KEYS:
            raise unknown(f"key of {path.name}", key, _KEYS)
    variants = named_variants(values.get("variants"))
    tables = values.get("tasks")
    if not isinstance(tables, Mapping) or not tables:
        raise SettingError("tasks is no table, expected one or more [tasks.NAME]")
    protocol = Protocol(
        _table("settings", values.get("settings", {})), variants,
        [_task(name, _table(f"tasks.{name}", table)) for name, table in tables.items()],
        parse_search(str(values.get("search", ""))), _whole("trials", values.get("trials")),
        _seeds("seeds", _list("seeds", values.get("seeds"))),
        [_contrast(name, _table(f"contrasts.{name}", table), variants)
         for name, table in _table("contrasts", values.get("contrasts", {})).items()],
    )  # fmt: skip
    _check(protocol, tasks)
    return protocol


def _check(protocol: Protocol, names: Sequence[str]) -> None:
    """Raise SettingError for the first impossible run of the tasks named, or of all."""
    wanted = protocol.chosen(names)
    for number, task in enumerate(protocol.tasks):
        if task not in wanted:
            continue
        before = [one.name for one in protocol.tasks[:number] if one.like is None]
        if task.like is not None and task.like not in before:
            raise unknown(f"task that {task.name} is like", task.like, before)
        for variant in protocol.variants:
            for chosen in protocol.tried(task, variant):
                for seed in protocol.seeds_of(task)[:1]:
                    protocol.of_run(task, variant, chosen, seed)
                for e in protocol.of_trial(task, variant, chosen):
                    if not e.data.validation and e.data.validation_speaker is None:
                        raise SettingError(f"validation of {task.name} is 0, but trials are judged by it")


def _task(name: str, table: Mapping[str, Any]) -> Task:
    if not _NAME.fullmatch(name):
        raise SettingError(f"a task is named {shown(name)}, expected letters, digits, _ and -: it names a file")
    settings = {key: value for key, value in table.items() if key not in ("held_out", "like", "trials", "seeds")}
    held = [_table("held_out", one) for one in _list("held_out", table.get("held_out", [{}]))]
    like, trials, seeds = table.get("like"), table.get("trials"), table.get("seeds")
    if like is not None and seeds == []:
        raise SettingError(f"seeds of {name} are none, and it has no search of its own either; give seeds")
    return Task(
        name, settings, held, None if like is None else str(like),
        None if trials is None else _whole(f"trials of {name}", trials),
        None if seeds is None else _seeds(f"seeds of {name}", seeds),
    )  # fmt: skip


def _contrast(name: str, table: Mapping[str, Any], variants: Sequence[Variant]) -> Contrast:
    labels = [variant.label for variant in variants]
    for key in ("of", "against"):
        if table.get(key) not in labels:
            raise unknown(f"variant of the contrast {name!r}", str(table.get(key)), labels, separator="; ")
    return Contrast(name, str(table["of"]), str(table["against"]))


def _table(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"{name} is {shown(value)}, expected a table")
    return value


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise SettingError(f"{name} is {shown(value)}, expected a list of one or more")
    return value


def _seeds(name: str, value: object) -> list[int]:
    return [_whole(name, seed, 0) for seed in (_list(name, value) if value != [] else [])]


def _whole(name: str, value: object, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingError(f"{name} is {shown(value)}, expected a whole number from {least}")
    return value
