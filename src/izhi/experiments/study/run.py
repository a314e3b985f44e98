"""Does a study: searches on validation samples, then trains with every seed and opens the test samples.

Training is given a data set without test samples. They are opened after all trials of a task are done, by networks
whose training has come to its end; nothing is chosen after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from izhi.data import AnySamples
from izhi.errors import DivergenceError, RunFolderError, SettingError
from izhi.experiments import build, chance, energy
from izhi.experiments.planned import PlannedRun, Resources, Runner, SerialRunner, without_test_samples
from izhi.experiments.run import evaluate
from izhi.experiments.run_folder import versions
from izhi.experiments.settings import Experiment
from izhi.experiments.study import rows
from izhi.experiments.study.protocol import Protocol, Task
from izhi.experiments.study.rows import RunRow, TrialRow
from izhi.experiments.trained import Trained
from izhi.experiments.variants import Variant
from izhi.network import Network
from izhi.seeds import Purpose
from izhi.training import Data, Listener, Progress, ProgressEvent, ignore_progress

#: Test samples for which operations are counted.
_COUNTED = 256
#: Programs that are named beside every row.
_PROGRAMS = ("izhi", "torch", "numpy", "numba", "machine")


@dataclass
class Study:
    """A protocol and its finished rows."""

    protocol: Protocol  #: the plan of all trials and runs
    folder: Path  #: folder of the rows
    listener: Listener = ignore_progress  #: receives every finished row as an epoch, with its accuracy and seconds
    runner: Runner = field(default_factory=SerialRunner)  #: executes the trials, or the runs, of a task
    _rows: dict[str, list[TrialRow | RunRow]] = field(default_factory=dict, init=False)
    _pending: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)

    def rows(self, task: Task) -> list[TrialRow | RunRow]:
        """The rows of a task; RunFolderError if some are of other settings."""
        if task.name not in self._rows:
            read = rows.read(self.folder, task.name)
            expected = {variant.label: self.protocol.digest(task, variant) for variant in self.protocol.variants}
            for row in read:
                if expected.get(row.variant) != row.digest:
                    raise RunFolderError(
                        f"{rows.place(self.folder, task.name)} holds rows of {row.variant} with other settings; choose"
                        " another folder, or remove them"
                        + ("" if row.variant in expected else "; if it is a further neuron, name it by --neurons")
                    )
            self._rows[task.name] = read
        return self._rows[task.name]

    def trials(self, task: Task, variant: Variant) -> list[TrialRow]:
        """A variant's finished trials on a task, by number."""
        own = [x for x in self.rows(task) if isinstance(x, TrialRow) and x.variant == variant.label]
        return sorted(own, key=lambda x: x.number)

    def runs(self, task: Task, variant: Variant) -> list[RunRow]:
        """A variant's finished runs on a task, by seed."""
        own = [x for x in self.rows(task) if isinstance(x, RunRow) and x.variant == variant.label]
        return sorted(own, key=lambda x: x.seed)

    def is_finished(self, task: Task) -> bool:
        """Whether all trials and runs of a task are done."""
        seeds = sorted(self.protocol.seeds_of(task))
        runs = all([x.seed for x in self.runs(task, v)] == seeds for v in self.protocol.variants)
        return runs and (bool(seeds) or not self._pending_trials(task))

    def best(self, task: Task, variant: Variant) -> TrialRow:
        """The trial whose settings the runs have: the first of those that are best on validation samples."""
        searched = task if task.like is None else self.protocol.task(task.like)
        trials = self.trials(searched, variant)
        if len(trials) < len(self.protocol.tried(searched, variant)):
            raise SettingError(f"the search of {searched.name} is not finished, which {task.name} needs; run it first")
        return max(trials, key=lambda x: x.accuracy)

    def run_pending(self, names: Sequence[str] = ()) -> None:
        """Run the trials and runs of tasks that have no row yet, in order."""
        chosen = self.protocol.chosen(names)
        self._pending = sum(len(self._pending_trials(task)) + len(self._pending_runs(task)) for task in chosen)
        self._done = 0
        self.listener(ProgressEvent("start", self._pending))
        for task in chosen:
            self._run_all(task, [
                partial(_trial, self.protocol, task, variant, number) for variant, number in self._pending_trials(task)
            ])  # fmt: skip
            self._run_all(task, [
                partial(_test_run, self.protocol, task, variant, self.best(task, variant), seed)
                for variant, seed in self._pending_runs(task)
            ])  # fmt: skip
        self.listener(ProgressEvent("end", self._pending, self._done))

    def _pending_trials(self, task: Task) -> list[tuple[Variant, int]]:
        done = {(x.variant, x.number) for x in self.rows(task) if isinstance(x, TrialRow)}
        every = ((v, k) for v in self.protocol.variants for k in range(len(self.protocol.tried(task, v))))
        return [(v, k) for v, k in every if (v.label, k) not in done] if task.like is None else []

    def _pending_runs(self, task: Task) -> list[tuple[Variant, int]]:
        done = {(x.variant, x.seed) for x in self.rows(task) if isinstance(x, RunRow)}
        every = ((v, seed) for v in self.protocol.variants for seed in self.protocol.seeds_of(task))
        return [(v, seed) for v, seed in every if (v.label, seed) not in done]

    def _run_all(self, task: Task, rows: Sequence[Callable[[Resources, Listener], TrialRow | RunRow]]) -> None:
        """Compute rows of a task; each is kept as soon as it is finished."""
        if rows:
            self.runner.run([PlannedRun(task.name, row) for row in rows], partial(self._keep, task))

    def _keep(self, task: Task, row: TrialRow | RunRow) -> None:
        rows.write(self.folder, task.name, [*self.rows(task), row])
        del self._rows[task.name]  # so that numbers are those of the file, which are shortened
        if isinstance(row, TrialRow):
            name, accuracy = f"trial {row.number + 1}", {"validation_accuracy": row.accuracy}
        else:
            name, accuracy = f"seed {row.seed}", {"test_accuracy": row.test}
        self._done += 1
        label, metrics = f"{task.name}: {row.variant}, {name}", {**accuracy, "seconds": row.seconds}
        warnings = list(row.warnings) if isinstance(row, RunRow) else []
        event = ProgressEvent("epoch", self._pending, self._done, label=label, metrics=metrics, warnings=warnings)
        self.listener(event)


def _trial(
    protocol: Protocol, task: Task, variant: Variant, number: int, resources: Resources, listener: Listener
) -> TrialRow:
    chosen = protocol.tried(task, variant)[number]
    experiments = protocol.of_trial(task, variant, chosen)
    began = time.perf_counter()
    try:
        accuracies = [validation_accuracy(e, resources) for e in experiments]
    except DivergenceError:
        accuracies = []
    plain = {name: experiments[0].get(name) for name in chosen}
    return TrialRow(
        variant=variant.label, number=number, settings=plain, validation=tuple(accuracies),
        seconds=time.perf_counter() - began, digest=protocol.digest(task, variant), versions=_versions(),
    )  # fmt: skip


def _test_run(
    protocol: Protocol, task: Task, variant: Variant, best: TrialRow, seed: int, resources: Resources,
    listener: Listener,
) -> RunRow:  # fmt: skip
    """A run with the settings of the best trial; its network sees the test samples after training has ended."""
    e = protocol.of_run(task, variant, best.settings, seed)
    began = time.perf_counter()
    try:
        network, progress, _ = _train(e, resources)
    except DivergenceError:
        network, progress = None, Progress()
    seconds = time.perf_counter() - began
    return RunRow(
        variant=variant.label, seed=e.training.seed, settings=best.settings, validation=best.accuracy,
        seconds=seconds, training=tuple(x["train_accuracy"] for x in progress.history),
        digest=protocol.digest(task, variant), versions=_versions(),
        **(_DIVERGED if network is None else _test_results(e, network, resources)),
    )  # fmt: skip


#: The results of a run that diverged.
_DIVERGED: Mapping[str, Any] = {
    "test": 0.0, "groups": {}, "parameters": 0, "spikes": 0.0, "acs": 0.0, "macs": 0.0, "nanojoules": {},
}  # fmt: skip


def _versions() -> str:
    every = versions()
    return ", ".join(f"{name} {every[name]}" for name in _PROGRAMS)


def _train(e: Experiment, resources: Resources) -> tuple[Network, Progress, AnySamples]:
    """A network trained without test samples, its progress, and the samples that were held out."""
    dataset = without_test_samples(resources.dataset(e))
    samples, held_out = build.training_samples(e.data, dataset)
    encoder = build.encoder(e, dataset)
    network = build.network(e, encoder.grid, len(dataset.classes))
    trainer = build.trainer(e, resources.fabric(e))
    progress = trainer.fit(network, Data(samples, dataset.test), encoder, listener=ignore_progress)
    return network, progress, held_out


def validation_accuracy(e: Experiment, resources: Resources) -> float:
    """The accuracy, 0 to 1, of the network of an experiment on the samples that are held out, after training."""
    network, _, held_out = _train(e, resources)
    encoder = build.encoder(e, without_test_samples(resources.dataset(e)))
    return evaluate(resources.fabric(e), e, encoder, network, held_out, purpose=Purpose.VALIDATION).accuracy


def _test_results(e: Experiment, network: Network, resources: Resources) -> dict[str, Any]:
    """What a trained network does on the test samples."""
    dataset = resources.dataset(e)
    encoder = build.encoder(e, dataset)
    tested = evaluate(resources.fabric(e), e, encoder, network, dataset.test, dataset.groups)
    counted = energy.count(Trained(Path(), e, dataset, encoder, network.eval(), []), _COUNTED)
    counted = replace(counted, passes=1)  # as in the rows of published studies
    neurons = network.neurons(encoder.features)
    rates = [layer.rate for layer in tested.activity.layers]
    train = build.training_samples(e.data, dataset)[0]
    return {
        "test": tested.accuracy,
        "warnings": tuple(chance.remarks(e, train, dataset.test, tested.accuracy)),
        "groups": tested.groups,
        "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
        "spikes": e.coding.steps * sum(rate * count for rate, count in zip(rates, neurons, strict=True)),
        "acs": counted.total("acs"),
        "macs": counted.total("macs"),
        "nanojoules": {x.name: (own, twin) for x, own, twin in counted.energies()[:2]},
    }
