"""Does a study: searches on validation samples, then trains with every seed and opens the test samples.

Training is given a data set without test samples. They are opened after all trials of a task are done, by networks
whose training has come to its end; nothing is chosen after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from lightning_fabric import Fabric

from izhi import training
from izhi.data import AnySamples, Dataset
from izhi.errors import DivergenceError, RunFolderError, SettingError
from izhi.experiments import build, energy
from izhi.experiments.comparison import Variant
from izhi.experiments.jobs import Job, Together
from izhi.experiments.run import RunListener
from izhi.experiments.run_folder import versions
from izhi.experiments.settings import Experiment
from izhi.experiments.study import rows
from izhi.experiments.study.protocol import Protocol, Task
from izhi.experiments.study.rows import Run, Trial
from izhi.experiments.trained import Trained
from izhi.network import Network
from izhi.seeds import Purpose
from izhi.training import Classifier, Data, Silent

#: Test samples for which operations are counted.
_COUNTED = 256
#: Programs that are named beside every row.
_PROGRAMS = ("izhi", "torch", "numpy", "numba", "machine")


#: Makes a row by what trains on its task's data set.
_Row: TypeAlias = "Callable[[_Runner], Trial | Run]"


@dataclass
class Study:
    """A protocol and the rows that it has so far.

    Attributes:
        protocol: that is followed.
        folder: of the rows.
        report: told of every row that is finished.
        at_once: where several trials, or runs, of a task are done at once; None for one after another.
    """

    protocol: Protocol
    folder: Path
    report: Callable[[str], None] = lambda line: None
    at_once: Together | None = None
    _rows: dict[str, list[Trial | Run]] = field(default_factory=dict, init=False)
    _wanted: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)

    def rows(self, task: Task) -> list[Trial | Run]:
        """The rows of a task.

        Raises:
            RunFolderError: if some are of other settings.
        """
        if task.name not in self._rows:
            found = rows.read(self.folder, task.name)
            expected = {variant.label: self.protocol.digest(task, variant) for variant in self.protocol.variants}
            for row in found:
                if expected.get(row.variant) != row.digest:
                    raise RunFolderError(
                        f"{rows.place(self.folder, task.name)} holds rows of {row.variant} with other settings; choose"
                        " another folder, or remove them"
                    )
            self._rows[task.name] = found
        return self._rows[task.name]

    def trials(self, task: Task, variant: Variant) -> list[Trial]:
        """A variant's finished trials on a task, by number."""
        found = [x for x in self.rows(task) if isinstance(x, Trial) and x.variant == variant.label]
        return sorted(found, key=lambda x: x.number)

    def runs(self, task: Task, variant: Variant) -> list[Run]:
        """A variant's finished runs on a task, by seed."""
        found = [x for x in self.rows(task) if isinstance(x, Run) and x.variant == variant.label]
        return sorted(found, key=lambda x: x.seed)

    def is_finished(self, task: Task) -> bool:
        """Whether all runs of a task are done."""
        seeds = sorted(self.protocol.seeds)
        return all([x.seed for x in self.runs(task, v)] == seeds for v in self.protocol.variants)

    def best(self, task: Task, variant: Variant) -> Trial:
        """The trial whose settings the runs have: the first of those that are best on validation samples."""
        searched = task if task.like is None else self.protocol.task(task.like)
        found = self.trials(searched, variant)
        if len(found) < len(self.protocol.tried(searched, variant)):
            raise SettingError(f"the search of {searched.name} is not finished, which {task.name} needs; run it first")
        return max(found, key=lambda x: x.accuracy)

    def go_on(self, names: Sequence[str] = ()) -> None:
        """Do what is missing of the tasks, in their order.

        Args:
            names: of tasks; none for all.
        """
        chosen = [self.protocol.task(name) for name in names] or self.protocol.tasks
        self._wanted = sum(len(self._missing_trials(task)) + len(self._missing_runs(task)) for task in chosen)
        self._done, self._began = 0, time.perf_counter()
        for task in chosen:
            self._each(task, [
                partial(_tried, self.protocol, task, variant, number) for variant, number in self._missing_trials(task)
            ])  # fmt: skip
            self._each(task, [
                partial(_opened, self.protocol, task, variant, self.best(task, variant), seed)
                for variant, seed in self._missing_runs(task)
            ])  # fmt: skip

    def _missing_trials(self, task: Task) -> list[tuple[Variant, int]]:
        there = {(x.variant, x.number) for x in self.rows(task) if isinstance(x, Trial)}
        every = ((v, k) for v in self.protocol.variants for k in range(len(self.protocol.tried(task, v))))
        return [(v, k) for v, k in every if (v.label, k) not in there] if task.like is None else []

    def _missing_runs(self, task: Task) -> list[tuple[Variant, int]]:
        there = {(x.variant, x.seed) for x in self.rows(task) if isinstance(x, Run)}
        every = ((v, seed) for v in self.protocol.variants for seed in self.protocol.seeds)
        return [(v, seed) for v, seed in every if (v.label, seed) not in there]

    def _each(self, task: Task, rows: Sequence[_Row]) -> None:
        """Make rows of a task, each kept as soon as it is there."""
        if not rows:
            return
        if self.at_once is not None:
            made = [Job(task.name, partial(_elsewhere, self.protocol, task, make)) for make in rows]
            self.at_once.run(made, partial(self._keep, task))
            return
        runner = _Runner.of(self.protocol, task)
        for make in rows:
            self._keep(task, make(runner))

    def _keep(self, task: Task, row: Trial | Run) -> None:
        rows.write(self.folder, task.name, [*self.rows(task), row])
        del self._rows[task.name]  # so that numbers are those of the file, which are shortened
        if isinstance(row, Trial):
            what, accuracy = f"trial {row.number + 1}", f"validation {100 * row.accuracy:.2f} %"
        else:
            what, accuracy = f"seed {row.seed}", f"test {100 * row.test:.2f} %"
        self._done += 1
        left = (time.perf_counter() - self._began) / self._done * (self._wanted - self._done)
        self.report(
            f"[{self._done}/{self._wanted}] {task.name}: {row.variant}, {what}: {accuracy}, {row.seconds:.1f} s;"
            f" {timedelta(seconds=round(left))} left"
        )


def _elsewhere(protocol: Protocol, task: Task, make: _Row, listener: RunListener) -> Trial | Run:
    """A row in a process of its own, which loads the data set; rows are reported, not their epochs."""
    return make(_Runner.of(protocol, task))


def _tried(protocol: Protocol, task: Task, variant: Variant, number: int, runner: _Runner) -> Trial:
    """A trial of a variant on a task."""
    chosen = protocol.tried(task, variant)[number]
    experiments = protocol.of_trial(task, variant, chosen)
    began = time.perf_counter()
    try:
        found = [runner.validation_accuracy(e) for e in experiments]
    except DivergenceError:
        found = []
    plain = {name: experiments[0].get(name) for name in chosen}
    return Trial(
        variant=variant.label, number=number, settings=plain, validation=tuple(found),
        seconds=time.perf_counter() - began, digest=protocol.digest(task, variant), versions=_versions(),
    )  # fmt: skip


def _opened(protocol: Protocol, task: Task, variant: Variant, best: Trial, seed: int, runner: _Runner) -> Run:
    """A run of a variant with what was found, whose network sees the test samples when its training has ended."""
    e = protocol.of_run(task, variant, best.settings, seed)
    began = time.perf_counter()
    try:
        network = runner.train(e)[0]
    except DivergenceError:
        network = None
    seconds = time.perf_counter() - began
    found = runner.opened(e, network) if network is not None else {**_NOTHING}
    return Run(
        variant=variant.label, seed=e.training.seed, settings=best.settings, validation=best.accuracy,
        seconds=seconds, digest=protocol.digest(task, variant), versions=_versions(), **found,
    )  # fmt: skip


#: What is known of a run that diverged.
_NOTHING: Mapping[str, Any] = {
    "test": 0.0, "groups": {}, "parameters": 0, "spikes": 0.0, "acs": 0.0, "macs": 0.0, "nanojoules": {},
}  # fmt: skip


def _versions() -> str:
    found = versions()
    return ", ".join(f"{name} {found[name]}" for name in _PROGRAMS)


@dataclass(frozen=True)
class _Runner:
    """Trains on a task's data set.

    Attributes:
        fabric: of all runs.
        dataset: without test samples.
        whole: with them.
    """

    fabric: Fabric
    dataset: Dataset
    whole: Dataset

    @classmethod
    def of(cls, protocol: Protocol, task: Task) -> _Runner:
        """For a task, whose variants have the same data set."""
        e = protocol.of_run(task, protocol.variants[0], {}, 0)
        whole = build.dataset(e.data)
        none = whole.train.subset(torch.zeros(len(whole.train), dtype=torch.bool))
        return cls(build.fabric(e), replace(whole, test=none, groups={}), whole)

    def train(self, e: Experiment) -> tuple[Network, AnySamples]:
        """A network after the last epoch, and the samples that were held out."""
        samples, held = build.training_samples(e.data, self.dataset)
        encoder = build.encoder(e, self.dataset)
        network = build.network(e, encoder.grid, len(self.dataset.classes))
        data = Data(samples, self.dataset.test)
        build.trainer(e, self.fabric).fit(network, data, encoder, listener=Silent())
        return network, held

    def validation_accuracy(self, e: Experiment) -> float:
        """After training, on the samples that were held out."""
        network, held = self.train(e)
        return self._evaluated(e, network, self.dataset, held, Purpose.VALIDATION).accuracy

    def opened(self, e: Experiment, network: Network) -> dict[str, Any]:
        """What a trained network does on the test samples."""
        found = self._evaluated(e, network, self.whole, self.whole.test, Purpose.TEST)
        encoder = build.encoder(e, self.whole)
        counted = energy.count(Trained(Path(), e, self.whole, encoder, network.eval(), []), _COUNTED)
        neurons = network.neurons(encoder.features)
        rates = [layer.rate for layer in found.activity.layers]
        return {
            "test": found.accuracy,
            "groups": found.groups,
            "parameters": sum(p.numel() for p in network.parameters() if p.requires_grad),
            "spikes": e.coding.steps * sum(rate * count for rate, count in zip(rates, neurons, strict=True)),
            "acs": counted.total("acs"),
            "macs": counted.total("macs"),
            "nanojoules": {x.name: (own, twin) for x, own, twin in counted.energies()[:2]},
        }

    def _evaluated(
        self, e: Experiment, network: Network, dataset: Dataset, samples: AnySamples, purpose: Purpose
    ) -> training.Evaluation:
        model = self.fabric.setup(Classifier(build.encoder(e, dataset), network))
        groups = dataset.groups if purpose == Purpose.TEST else {}
        return training.evaluate(
            self.fabric, model, samples, training.LOSSES[e.training.loss], seed=e.training.seed, purpose=purpose,
            groups=groups,
        )  # fmt: skip


__all__ = ["Study"]
