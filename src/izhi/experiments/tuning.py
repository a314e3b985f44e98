"""Hyperparameter search on validation samples, with Optuna: the same budget for every model.

Each variant of a comparison is a study of its own in one storage: a file that several processes and
machines may share, or a database. A trial trains one network on the training samples and is judged by
its accuracy on the validation samples; it never sees the test samples.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any

import tomli_w
import torch

from izhi import files
from izhi.data import Dataset
from izhi.errors import DivergenceError, SettingError, unknown
from izhi.experiments import build, plots
from izhi.experiments.comparison import Variant
from izhi.experiments.jobs import Job, Together
from izhi.experiments.results.tuning import Tried, Tuning
from izhi.experiments.run import RunListener, train
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.settings import FIELDS, Experiment, Mark, experiment, marked, typed
from izhi.experiments.settings.choices import USUAL_SEARCH
from izhi.experiments.tables import markdown
from izhi.seeds import Purpose, derive_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

_LOGARITHMIC = 10.0


@dataclass(frozen=True)
class Range:
    """Values that a setting may take: from low to high, or one of some choices.

    Attributes:
        neuron: the only neuron whose variants it concerns; None for all.
        name: of the setting.
        low, high: limits, both included; high is ten times low or more: searched by its logarithm.
        choices: given in place of limits.
    """

    neuron: str | None
    name: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether the setting takes whole numbers only."""
        return FIELDS[self.name].annotation is int

    def concerns(self, neuron: str) -> bool:
        """Whether variants of that neuron are searched over it."""
        return self.neuron in (None, neuron)

    def holds(self, value: object) -> bool:
        """Whether a value is one that the setting may take."""
        if self.choices:
            return str(value) in self.choices
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    @property
    def is_logarithmic(self) -> bool:
        """Whether equal ratios count alike, and not equal differences."""
        return self.low > 0 and self.high >= _LOGARITHMIC * self.low

    def suggest(self, trial: Trial) -> object:
        """A value for a trial."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.is_whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.is_logarithmic)
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_logarithmic)

    def at(self, share: float) -> object:
        """The value at a share of the way from low to high, 0 to below 1; of choices the one that lies there."""
        if self.choices:
            return self.choices[
                int(share * len(self.choices) + 1e-9)
            ]  # a border counts as passed, whatever its last bits
        if self.is_logarithmic:
            value = self.low * (self.high / self.low) ** share
        else:
            value = self.low + share * (self.high - self.low)
        return round(value) if self.is_whole else float(f"{value:.4g}")


def parse_search(text: str) -> list[Range]:
    """Ranges from ``[neuron.]setting=low..high`` or ``=one|another``, comma-separated.

    Raises:
        SettingError: for what is not of that form, an unknown setting, or one that must not differ
            between trials.
    """
    ranges = []
    for item in (part.strip() for part in text.split(",") if part.strip()):
        left, equals, values = item.partition("=")
        neuron, dot, name = left.strip().rpartition(".")
        name = name.replace("-", "_")
        if not equals or not values:
            raise SettingError(f"search has {item!r}, expected setting=low..high or setting=a|b")
        if name not in FIELDS:
            raise unknown("setting", name, FIELDS)
        if name in marked(Mark.SAME_IN_TRIALS):
            raise SettingError(f"search names {name}, which is the same in all trials; leave it out")
        only = neuron if dot else None
        if ".." not in values:
            ranges.append(Range(only, name, choices=tuple(v.strip() for v in values.split("|"))))
            continue
        try:
            low, high = (float(v) for v in values.split(".."))
        except ValueError:
            raise SettingError(f"search has {item!r}, expected numbers low..high") from None
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SettingError(f"search has {item!r}, expected low below high")
        ranges.append(Range(only, name, low, high))
    if not ranges:
        raise SettingError("search names no setting, expected some such as " + USUAL_SEARCH)
    return ranges


@dataclass(frozen=True)
class Best:
    """The best trial of a variant.

    Attributes:
        variant: what was tuned.
        experiment: of the variant, before it was.
        found: the settings that were found.
        accuracy: on the validation samples.
        trials: all that ended, those that were stopped early included.
    """

    variant: Variant
    experiment: Experiment
    found: Mapping[str, object]
    accuracy: float
    trials: Sequence[Tried]


def write(best: Sequence[Best], folder: Path, command: str) -> Tuning:
    """trials.json and report.md with every trial, and trials.png; what trials.json holds."""
    rows = [
        {
            "label": row.variant.label, "config": row.experiment.flat(plain=True), "found": dict(row.found),
            "accuracy": row.accuracy, "trials": [trial.model_dump() for trial in row.trials],
        }
        for row in best
    ]  # fmt: skip
    found = Tuning.keep(folder, {"command": command, "versions": versions(), "variants": rows})
    table, trials = found.best_table(), found.trials_table()
    lines = [
        f"# {found.title}", "", f"    {command}", "", markdown(table.headings, table.rows), "",
        "![validation accuracy of each trial](trials.png)", "", "## Every trial", "",
        markdown(trials.headings, trials.rows), "",
    ]  # fmt: skip
    files.write_bytes(folder / "report.md", "\n".join(lines).encode())
    plots.save(found.drawn(found.title), folder / "trials.png")
    return found


def to_toml(settings: Mapping[str, object], best: Sequence[Best], header: str = "") -> str:
    """The common settings, and each variant with what was found, as a file for ``izhi compare``."""

    tables = {row.variant.label: typed({**row.variant.settings, **row.found}) for row in best}
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + str(tomli_w.dumps({**typed(settings), "variants": tables}))


class _Pruning:
    """Tells Optuna of each epoch, and stops a trial that lags behind."""

    def __init__(self, listener: RunListener, trial: Trial, pruned: type[Exception]) -> None:
        self.listener, self.trial, self.pruned = listener, trial, pruned

    def announce(self, e: Experiment, label: str = "") -> None:
        self.listener.announce(e, label)

    def begin(self, steps: int, finished: int) -> None:
        self.listener.begin(steps, finished)

    def step(self, loss: float) -> None:
        self.listener.step(loss)

    def epoch(self, row: dict[str, float], warnings: Sequence[str]) -> None:
        self.listener.epoch(row, warnings)
        self.trial.report(row["validation_accuracy"], int(row["epoch"]))
        if self.trial.should_prune():
            raise self.pruned


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise SettingError("optuna is not installed; pip install 'izhi[tune]'") from None
    optuna.logging.set_verbosity(logging.ERROR)
    found: ModuleType = optuna
    return found


def _storage(optuna: ModuleType, storage: str) -> BaseStorage | str:
    if "://" in storage:
        return storage
    backend = optuna.storages.journal.JournalFileBackend(storage)
    return optuna.storages.JournalStorage(backend)


def check(
    variants: Sequence[Variant],
    ranges: Sequence[Range],
    settings: Mapping[str, object],
    trials: int,
    *,
    every_speaker: bool = False,
) -> list[Experiment]:
    """The experiment of each variant, all checked before the first trial starts.

    Raises:
        SettingError: for anything that a trial could stumble over.
    """
    if trials < 1:
        raise SettingError(f"trials is {trials!r}, expected at least 1")
    typed(settings)  # also what every variant replaces, since the file of what is found holds it
    planned = [experiment({**settings, **variant.settings}) for variant in variants]
    neurons = {e.neurons.neuron for e in planned}
    for r in ranges:
        if r.neuron is not None and r.neuron not in neurons:
            raise unknown("neuron in search", r.neuron, sorted(neurons))
    for e, variant in zip(planned, variants, strict=True):
        if every_speaker and e.data.validation_speaker is not None:
            raise SettingError(
                f"validation_speaker is {e.data.validation_speaker}, but every speaker is held out; leave it out"
            )
        if not e.data.validation and e.data.validation_speaker is None and not every_speaker:
            raise SettingError("validation is 0, but trials are judged by validation samples")
        mine = [r for r in ranges if r.concerns(e.neurons.neuron)]
        for edge in ("low", "high"):
            limits = [(r, getattr(r, edge)) for r in mine if not r.choices]
            values = {r.name: int(v) if r.is_whole else v for r, v in limits}
            experiment({**settings, **variant.settings, **values})
        for r in mine:
            for choice in r.choices:
                experiment({**settings, **variant.settings, r.name: choice})
    return planned


def speakers(dataset: Dataset) -> list[int]:
    """Who spoke the training samples.

    Raises:
        SettingError: where that is not known.
    """
    if dataset.speakers is None:
        raise SettingError(f"every_speaker is set, but {dataset.name} does not say who spoke; leave it out")
    return sorted(set(dataset.speakers.tolist()))


def tune(
    variants: Sequence[Variant],
    ranges: Sequence[Range],
    settings: Mapping[str, object],
    *,
    trials: int,
    storage: str,
    listener: RunListener,
    every_speaker: bool = False,
    dataset: Dataset | None = None,
    at_once: Together | None = None,
) -> list[Best]:
    """Run each variant's study up to its number of trials, and give its best one.

    The first trial has the variant's own settings, where they lie within the ranges.

    Args:
        variants: each a study, named by its label; the same number of trials for each.
        ranges: what is searched.
        settings: common to all.
        trials: of each variant, those that the storage already holds included.
        storage: a file that processes share, or the URL of a database.
        listener: told of every trial.
        every_speaker: whether each trial trains a network for each speaker, who is held out of its
            training samples, and is judged by their mean: one speaker says little about another.
        dataset: of all; loaded if it is None.
        at_once: where the studies of several variants are done at once; None for one after another, in this process.
            The trials of a study follow one another, since each is chosen by those before it.
    """
    _optuna()
    planned = check(variants, ranges, settings, trials, every_speaker=every_speaker)
    if at_once is not None:
        study = partial(
            _best_elsewhere, ranges=ranges, settings=settings, trials=trials, storage=storage,
            every_speaker=every_speaker,
        )  # fmt: skip
        return at_once.run([Job(variant.label, partial(study, variant)) for variant in variants])
    whole = dataset or build.dataset(planned[0].data)
    fabric = build.fabric(planned[0])
    return [
        _best_of(
            fabric, whole, variant, listener, ranges=ranges, settings=settings, trials=trials, storage=storage,
            every_speaker=every_speaker,
        )
        for variant in variants
    ]  # fmt: skip


def _best_elsewhere(
    variant: Variant, listener: RunListener, *, settings: Mapping[str, object], **others: Any
) -> Best:  # fmt: skip
    """The study of a variant in a process of its own."""
    e = experiment({**settings, **variant.settings})
    return _best_of(build.fabric(e), build.dataset(e.data), variant, listener, settings=settings, **others)


def _best_of(
    fabric: Fabric, dataset: Dataset, variant: Variant, listener: RunListener, *, ranges: Sequence[Range],
    settings: Mapping[str, object], trials: int, storage: str, every_speaker: bool,
) -> Best:  # fmt: skip
    """Run the study of a variant up to its number of trials."""
    optuna, e = _optuna(), experiment({**settings, **variant.settings})
    none_of_them = torch.zeros(len(dataset.test), dtype=torch.bool)
    unseen = replace(dataset, test=dataset.test.subset(none_of_them), groups={})
    folds: list[int | None] = [*speakers(dataset)] if every_speaker else [None]
    mine = [r for r in ranges if r.concerns(e.neurons.neuron)]
    study = _study(optuna, variant, e, mine, storage, prunes_at_once=every_speaker)
    objective = _Objective(optuna, fabric, unseen, variant, mine, settings, listener, folds, e.training.seed)
    return _best(optuna, study, objective, variant, e, trials)


def _study(
    optuna: ModuleType, variant: Variant, e: Experiment, ranges: Sequence[Range], storage: str,
    *, prunes_at_once: bool,
) -> Study:  # fmt: skip
    """The study of a variant, begun or gone on with."""
    # Not before a third of the epochs: strong dropout and small steps begin slowly, and end well.
    warmup = 1 if prunes_at_once else e.training.epochs // 3
    study: Study = optuna.create_study(
        study_name=variant.label, storage=_storage(optuna, storage), direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup),
    )  # fmt: skip
    state = optuna.trial.TrialState
    for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
        if _is_lost(trial):
            study.tell(trial.number, state=state.FAIL)
    if all(trial.state == state.FAIL for trial in study.get_trials(deepcopy=False)):
        # What the variant's own settings come to is the first thing to beat.
        own = {r.name: e.get(r.name) for r in ranges}
        study.enqueue_trial({r.name: own[r.name] for r in ranges if r.holds(own[r.name])})
    return study


def _best(
    optuna: ModuleType, study: Study, objective: _Objective, variant: Variant, e: Experiment, trials: int
) -> Best:
    """The best trial, after so many were run."""
    state = optuna.trial.TrialState
    # A trial that failed was interrupted, and is not counted.
    ended = (state.COMPLETE, state.PRUNED)
    while len(study.get_trials(deepcopy=False, states=ended)) < trials:
        # Seeded by what was tried before, a study that was interrupted goes on with the same trials, and a
        # further process does not draw the numbers of the first one.
        begun = len(study.get_trials(deepcopy=False, states=(*ended, state.RUNNING)))
        seed = derive_seed(objective.seed, Purpose.TRIAL, begun) % 2**32
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        study.optimize(objective, n_trials=1)
    finished = study.get_trials(deepcopy=False, states=ended)
    good = [t for t in finished if t.state == state.COMPLETE]
    if not good:
        raise SettingError(f"no trial of {variant.label} came to its end; search smaller learning rates")
    winner = max(good, key=lambda t: t.value or 0.0)
    tried = [
        Tried(number=number, settings=t.params, accuracy=t.value, is_whole=t.state == state.COMPLETE)
        for number, t in enumerate(finished, start=1)
    ]
    return Best(variant, e, dict(winner.params), float(winner.value or 0.0), tried)


def _is_lost(trial: FrozenTrial) -> bool:
    """Whether the process that ran a trial was on this machine and is no more."""
    host, _, process = str(trial.user_attrs.get("process", "")).rpartition(" ")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


@dataclass
class _Objective:
    """Trains the network of a trial; its accuracy on the validation samples."""

    optuna: ModuleType
    fabric: Fabric
    dataset: Dataset
    variant: Variant
    ranges: Sequence[Range]
    settings: Mapping[str, object]
    listener: RunListener
    folds: Sequence[int | None]
    seed: int

    def __call__(self, trial: Trial) -> float:
        trial.set_user_attr("process", f"{socket.gethostname()} {os.getpid()}")
        chosen = {r.name: r.suggest(trial) for r in self.ranges}
        found: list[float] = []
        for number, speaker in enumerate(self.folds):
            held = {} if speaker is None else {"validation_speaker": speaker}
            e = experiment({**self.settings, **self.variant.settings, **chosen, **held})
            watcher = self.listener
            if speaker is None:
                watcher = _Pruning(self.listener, trial, self.optuna.TrialPruned)
            label = f"{self.variant.label}, trial {trial.number + 1}"
            label += "" if speaker is None else f", without speaker {speaker}"
            found.append(self._accuracy(e, watcher, label))
            if speaker is not None:
                trial.report(fmean(found), number)
                if trial.should_prune():
                    raise self.optuna.TrialPruned
        return fmean(found)

    def _accuracy(self, e: Experiment, watcher: RunListener, label: str) -> float:
        """On the validation samples, after training in a folder that is then thrown away."""
        with tempfile.TemporaryDirectory(prefix="izhi-trial-") as folder:
            try:
                result = train(self.fabric, e, self.dataset, RunFolder(Path(folder)), watcher, label=label)
            except DivergenceError as error:
                raise self.optuna.TrialPruned(str(error)) from None
        return result.history[-1]["validation_accuracy"]


__all__ = [
    "Best",
    "Range",
    "check",
    "parse_search",
    "speakers",
    "to_toml",
    "tune",
    "write",
]
