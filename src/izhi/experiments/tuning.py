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

from izhi.data import Dataset
from izhi.errors import DivergenceError, SettingError, of_extra, unknown
from izhi.experiments import build, chance
from izhi.experiments.planned import PlannedRun, Resources, Runner, SerialRunner, without_test_samples
from izhi.experiments.results.searches import TuningResult
from izhi.experiments.run import train
from izhi.experiments.run_folder import RunFolder, versions
from izhi.experiments.settings import Experiment, experiment, typed
from izhi.experiments.tables import write_report
from izhi.experiments.variants import Range, Variant
from izhi.seeds import Purpose, derive_seed
from izhi.training import Listener, ProgressEvent

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


#: The search of a variant as trials.json holds it, see ``VariantTrials``.
Row = dict[str, object]


def write(rows: Sequence[Row], folder: Path, command: str) -> TuningResult:
    """Write trials.json and report.md with every trial, and trials.png; what trials.json holds."""
    result = TuningResult.keep(folder, {"command": command, "versions": versions(), "variants": rows})
    write_report(
        folder / "report.md", f"# {result.title}", f"    {command}", result.best_table(),
        "\n".join(f"- {line}" for line in result.warnings()),
        "![validation accuracy of each trial](trials.png)", "## Every trial", result.trials_table(),
    )  # fmt: skip
    return result


def to_toml(settings: Mapping[str, object], variants: Sequence[Variant], result: TuningResult, header: str = "") -> str:
    """The common settings, and each variant with its best settings, as a file for ``izhi compare``."""
    tables = {
        variant.label: typed({**variant.settings, **row.found})
        for variant, row in zip(variants, result.variants, strict=True)
    }
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    return comment + str(tomli_w.dumps({**typed(settings), "variants": tables}))


def _optuna() -> ModuleType:
    with of_extra("optuna", "tune"):
        import optuna
    optuna.logging.set_verbosity(logging.ERROR)
    package: ModuleType = optuna
    return package


def _storage(optuna: ModuleType, storage: str) -> BaseStorage | str:
    if "://" in storage:
        return storage
    backend = optuna.storages.journal.JournalFileBackend(storage)
    return optuna.storages.JournalStorage(backend)


def check(
    variants: Sequence[Variant], ranges: Sequence[Range], settings: Mapping[str, object], trials: int, *,
    every_speaker: bool = False,
) -> list[Experiment]:  # fmt: skip
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
    """Who spoke the training samples; SettingError where that is not known."""
    if dataset.speakers is None:
        raise SettingError(f"every_speaker is set, but {dataset.name} does not say who spoke; leave it out")
    return sorted(set(dataset.speakers.tolist()))


def tune(
    variants: Sequence[Variant], ranges: Sequence[Range], settings: Mapping[str, object], *, trials: int, storage: str,
    runner: Runner | None = None, every_speaker: bool = False,
) -> list[Row]:  # fmt: skip
    """Run each variant's study up to its number of trials; its row with the best one.

    The first trial has the variant's own settings, where they lie within the ranges. The trials of a study follow one
    another, since each is chosen by those before it.

    Args:
        variants: each a study, named by its label; the same number of trials for each.
        trials: number of trials of each variant, including those in the storage.
        storage: a file that processes share, or the URL of a database.
        runner: executes the studies; None for one after another.
        every_speaker: whether each trial trains a network for each speaker, who is held out of its training samples,
            and is judged by their mean accuracy: one speaker says little about another.
    """
    _optuna()
    check(variants, ranges, settings, trials, every_speaker=every_speaker)
    run = partial(
        _run_study, ranges=ranges, settings=settings, trials=trials, storage=storage, every_speaker=every_speaker
    )
    return (runner or SerialRunner()).run([PlannedRun(x.label, partial(run, x)) for x in variants])


def _run_study(
    variant: Variant, resources: Resources, listener: Listener, *, ranges: Sequence[Range],
    settings: Mapping[str, object], trials: int, storage: str, every_speaker: bool,
) -> Row:  # fmt: skip
    e = experiment({**settings, **variant.settings})
    held_out: list[int | None] = [*speakers(resources.dataset(e))] if every_speaker else [None]
    own_ranges = [r for r in ranges if r.concerns(e.neurons.neuron)]
    return _VariantStudy(_optuna(), variant, e, own_ranges, settings, held_out, resources, listener).run(
        trials, storage
    )


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
class _VariantStudy:
    """The study of a variant. A trial trains a network, or one for each speaker that is held out."""

    optuna: ModuleType  #: the package
    variant: Variant
    experiment: Experiment  #: the variant's experiment before the search
    ranges: Sequence[Range]  #: the values that are searched
    settings: Mapping[str, object]  #: the settings of all variants
    held_out: Sequence[int | None]  #: the speakers, or None alone for the usual validation samples
    resources: Resources
    listener: Listener

    def run(self, trials: int, storage: str) -> Row:
        """Run trials until the storage holds so many that ended."""
        study, state = self._open(storage), self.optuna.trial.TrialState
        ended = (state.COMPLETE, state.PRUNED)  # a failed trial was interrupted, and does not count
        while len(study.get_trials(deepcopy=False, states=ended)) < trials:
            # The seed depends on the earlier trials: a study that resumes repeats the trials of one that was never
            # interrupted, and a further process does not draw the numbers of the first one.
            begun = len(study.get_trials(deepcopy=False, states=(*ended, state.RUNNING)))
            seed = derive_seed(self.experiment.training.seed, Purpose.TRIAL, begun) % 2**32
            study.sampler = self.optuna.samplers.TPESampler(seed=seed)
            study.optimize(self._measure, n_trials=1)
        finished = study.get_trials(deepcopy=False, states=ended)
        complete = [trial for trial in finished if trial.state == state.COMPLETE]
        if not complete:
            raise SettingError(f"no trial of {self.variant.label} finished; search smaller learning rates")
        best = max(complete, key=lambda trial: trial.value or 0.0)
        rows = [
            {"number": k, "settings": t.params, "accuracy": t.value, "is_whole": t.state == state.COMPLETE}
            for k, t in enumerate(finished, start=1)
        ]
        return {
            "label": self.variant.label, "config": self.experiment.flat(plain=True), "found": dict(best.params),
            "accuracy": float(best.value or 0.0), "trials": rows, "warnings": self._remarks(best),
        }  # fmt: skip

    def _remarks(self, best: FrozenTrial) -> list[str]:
        """What is said of the best trial if its network guesses."""
        if self.held_out != [None]:
            return []
        e = experiment({**self.settings, **self.variant.settings, **best.params})
        train, held = build.training_samples(e.data, self.resources.dataset(e))
        return chance.remarks(e, train, held, best.value, "validation")

    def _open(self, storage: str) -> Study:
        """Create the study, or load it and mark the trials of processes that ended as failed."""
        # Not before a third of the epochs: strong dropout and small steps begin slowly, and end well.
        warmup = 1 if self.held_out != [None] else self.experiment.training.epochs // 3
        study: Study = self.optuna.create_study(
            study_name=self.variant.label, storage=_storage(self.optuna, storage), direction="maximize",
            load_if_exists=True, pruner=self.optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=warmup),
        )  # fmt: skip
        state = self.optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
            if _is_lost(trial):
                study.tell(trial.number, state=state.FAIL)
        if all(trial.state == state.FAIL for trial in study.get_trials(deepcopy=False)):
            # The accuracy of the variant's own settings is the first one to beat.
            own = {r.name: self.experiment.get(r.name) for r in self.ranges}
            study.enqueue_trial({r.name: own[r.name] for r in self.ranges if r.holds(own[r.name])})
        return study

    def _measure(self, trial: Trial) -> float:
        """The mean accuracy of a trial's networks on their validation samples."""
        trial.set_user_attr("process", f"{socket.gethostname()} {os.getpid()}")
        chosen = {r.name: r.suggest(trial) for r in self.ranges}
        accuracies: list[float] = []
        for number, speaker in enumerate(self.held_out):
            held = {} if speaker is None else {"validation_speaker": speaker}
            e = experiment({**self.settings, **self.variant.settings, **chosen, **held})
            listener = self._pruning(trial) if speaker is None else self.listener
            label = f"{self.variant.label}, trial {trial.number + 1}"
            label += "" if speaker is None else f", without speaker {speaker}"
            accuracies.append(self._train(e, listener, label))
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

    def _train(self, e: Experiment, listener: Listener, label: str) -> float:
        """Train in a temporary folder; the accuracy on validation samples."""
        dataset = without_test_samples(self.resources.dataset(e))
        with tempfile.TemporaryDirectory(prefix="izhi-trial-") as path:
            try:
                result = train(self.resources.fabric(e), e, dataset, RunFolder(Path(path)), listener, label=label)
            except DivergenceError as error:
                raise self.optuna.TrialPruned(str(error)) from None
        return result.history[-1]["validation_accuracy"]
