"""Hyperparameter search on validation samples, with Optuna: the same budget for every model.

Each variant of a comparison is a study of its own in one storage: a file that several processes and
machines may share, or a database. A trial trains one network on the training samples and is judged by
its accuracy on the validation samples; it never sees the test samples.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING

import tomli_w

from izhi import files
from izhi.data import Dataset
from izhi.errors import DivergenceError, SettingError, unknown
from izhi.experiments import plots
from izhi.experiments.planned import PlannedRun, Resources, Runner, SerialRunner, without_test_samples
from izhi.experiments.results.tuning import TrialResult, TuningResult
from izhi.experiments.run import train
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.search_space import Range
from izhi.experiments.settings import Experiment, experiment, typed
from izhi.experiments.tables import markdown
from izhi.experiments.variants import Variant
from izhi.seeds import Purpose, derive_seed
from izhi.training import Listener, ProgressEvent

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


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
    trials: Sequence[TrialResult]


def write(best: Sequence[Best], folder: Path, command: str) -> TuningResult:
    """trials.json and report.md with every trial, and trials.png; what trials.json holds."""
    rows = [
        {
            "label": row.variant.label, "config": row.experiment.flat(plain=True), "found": dict(row.found),
            "accuracy": row.accuracy, "trials": [trial.model_dump() for trial in row.trials],
        }
        for row in best
    ]  # fmt: skip
    found = TuningResult.keep(folder, {"command": command, "versions": versions(), "variants": rows})
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


@dataclass(frozen=True)
class SearchPlan:
    """What the studies of all variants have in common.

    Attributes:
        ranges: the values that are searched.
        settings: the settings of all variants.
        trials: number of trials of each variant, including those in the storage.
        storage: a file that processes share, or the URL of a database.
        every_speaker: whether each trial trains a network for each speaker, who is held out of its training samples,
            and is judged by their mean accuracy: one speaker says little about another.
    """

    ranges: Sequence[Range]
    settings: Mapping[str, object]
    trials: int
    storage: str
    every_speaker: bool = False

    def run(self, variant: Variant, resources: Resources, listener: Listener) -> Best:
        """Run the study of a variant up to its number of trials."""
        optuna, e = _optuna(), experiment({**self.settings, **variant.settings})
        dataset = resources.dataset(e)
        ranges = [r for r in self.ranges if r.concerns(e.neurons.neuron)]
        study = _study(optuna, variant, e, ranges, self.storage, prunes_at_once=self.every_speaker)
        held_out: list[int | None] = [*speakers(dataset)] if self.every_speaker else [None]
        objective = _Objective(optuna, self.settings, variant, ranges, held_out, resources, listener)
        return _best(optuna, study, objective, variant, e, self.trials)


def tune(
    variants: Sequence[Variant], ranges: Sequence[Range], settings: Mapping[str, object], *, trials: int, storage: str,
    runner: Runner | None = None, every_speaker: bool = False,
) -> list[Best]:  # fmt: skip
    """Run each variant's study up to its number of trials, and give its best one.

    The first trial has the variant's own settings, where they lie within the ranges. The trials of a study follow one
    another, since each is chosen by those before it.

    Args:
        variants: each a study, named by its label; the same number of trials for each.
        runner: executes the studies; None for one after another.
        ranges, settings, trials, storage, every_speaker: see ``SearchPlan``.
    """
    _optuna()
    check(variants, ranges, settings, trials, every_speaker=every_speaker)
    search = SearchPlan(ranges, settings, trials, storage, every_speaker)
    return (runner or SerialRunner()).run([PlannedRun(x.label, partial(search.run, x)) for x in variants])


def _study(
    optuna: ModuleType, variant: Variant, e: Experiment, ranges: Sequence[Range], storage: str, *, prunes_at_once: bool
) -> Study:
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
        seed = derive_seed(e.training.seed, Purpose.TRIAL, begun) % 2**32
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        study.optimize(objective, n_trials=1)
    finished = study.get_trials(deepcopy=False, states=ended)
    good = [t for t in finished if t.state == state.COMPLETE]
    if not good:
        raise SettingError(f"no trial of {variant.label} came to its end; search smaller learning rates")
    winner = max(good, key=lambda t: t.value or 0.0)
    tried = [
        TrialResult(number=number, settings=t.params, accuracy=t.value, is_whole=t.state == state.COMPLETE)
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
    """Trains the networks of a trial; their mean accuracy on the validation samples."""

    optuna: ModuleType
    settings: Mapping[str, object]
    variant: Variant
    ranges: Sequence[Range]
    held_out: Sequence[int | None]
    resources: Resources
    listener: Listener

    def __call__(self, trial: Trial) -> float:
        trial.set_user_attr("process", f"{socket.gethostname()} {os.getpid()}")
        chosen = {r.name: r.suggest(trial) for r in self.ranges}
        accuracies: list[float] = []
        for number, speaker in enumerate(self.held_out):
            held = {} if speaker is None else {"validation_speaker": speaker}
            e = experiment({**self.settings, **self.variant.settings, **chosen, **held})
            listener = self._pruning(trial) if speaker is None else self.listener
            label = f"{self.variant.label}, trial {trial.number + 1}"
            label += "" if speaker is None else f", without speaker {speaker}"
            accuracies.append(self._accuracy(e, listener, label))
            if speaker is not None:
                self._report(trial, fmean(accuracies), number)
        return fmean(accuracies)

    def _pruning(self, trial: Trial) -> Listener:
        """A listener that reports each epoch to Optuna, and stops a trial that lags behind."""

        def listen(event: ProgressEvent) -> None:
            self.listener(event)
            if event.kind == "epoch":
                self._report(trial, event.metrics["validation_accuracy"], event.epoch)

        return listen

    def _report(self, trial: Trial, accuracy: float, step: int) -> None:
        trial.report(accuracy, step)
        if trial.should_prune():
            raise self.optuna.TrialPruned

    def _accuracy(self, e: Experiment, listener: Listener, label: str) -> float:
        """On the validation samples, after training in a temporary folder."""
        dataset = without_test_samples(self.resources.dataset(e))
        with tempfile.TemporaryDirectory(prefix="izhi-trial-") as path:
            try:
                result = train(self.resources.fabric(e), e, dataset, RunFolder(Path(path)), listener, label=label)
            except DivergenceError as error:
                raise self.optuna.TrialPruned(str(error)) from None
        return result.history[-1]["validation_accuracy"]


__all__ = ["Best", "check", "speakers", "to_toml", "tune", "write"]
