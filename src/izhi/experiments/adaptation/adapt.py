"""Continual learning of a deployed network: classify each batch, then learn from it; the baseline is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch

from izhi.data import AnyBatch, AnySamples
from izhi.experiments import samples
from izhi.experiments.adaptation.drift import DriftTask
from izhi.experiments.adaptation.learner import DeviceLearner, State
from izhi.experiments.planned import Row, extend_history
from izhi.hardware import networks
from izhi.hardware.artifact import Artifact
from izhi.hardware.devices import Device
from izhi.hardware.devices.evaluation import evaluate
from izhi.hardware.networks import Inputs
from izhi.network.encoders import Encoder
from izhi.seeds import Purpose, derive_seed
from izhi.training import Listener, ignore_progress


@dataclass(frozen=True)
class Accuracies:
    """Accuracies on test samples, 0 to 1."""

    old: float  #: accuracy on the old task, as deployed
    new: float  #: accuracy on the new task, as deployed
    adapted_old: float  #: accuracy on the old task, after the stream
    adapted_new: float  #: accuracy on the new task, after the stream

    @property
    def regained(self) -> float:
        """The share of the lost accuracy that was regained: (adapted_new − new)/(old − new)."""
        lost = self.old - self.new
        return (self.adapted_new - self.new) / lost if lost > 0 else 1.0

    @property
    def kept(self) -> float:
        """The share of the old task's accuracy that is left."""
        return self.adapted_old / self.old if self.old else 1.0


@dataclass
class Adaptation:
    """A device that classifies a stream and learns from it."""

    encoder: Encoder  #: the encoder of the network's training
    artifact: Artifact[networks.HardwareNetwork]  #: artifact of the deployed network
    device: Device[networks.HardwareNetwork]  #: the device that runs it, and learns
    frozen: Device[networks.HardwareNetwork]  #: the device that runs it unchanged, as the baseline
    task: DriftTask  #: the stream
    learner: DeviceLearner  #: changes the device's network
    batch: int = 100  #: samples of the stream between two updates
    every: int = 5  #: evaluate every so many batches
    tested: int = 1000  #: most test samples of each task in an evaluation
    seed: int = 0  #: seed of the encoding of samples
    history: list[Row] = field(default_factory=list)

    @property
    def batches(self) -> int:
        """Of the stream."""
        return -(-len(self.task.stream) // self.batch)

    def begin(self) -> None:
        """Measure the deployed network on the old and the new task."""
        old, new = self._tests(self.frozen)
        self.history.append({"samples": 0, "old": old, "new": new, "frozen_old": old, "frozen_new": new})

    def step(self) -> Row:
        """Classify the next batch and learn from it; its row of metrics, which the history does not hold yet."""
        number = len(self.history)
        start, stop = (number - 1) * self.batch, min(number * self.batch, len(self.task.stream))
        values, labels = self.task.pool.batch(self.task.stream[start:stop])
        inputs = self._encoded(values, Purpose.ARRIVAL, number)
        row: Row = {"samples": float(stop)}
        for name, device in (("adapting", self.device), ("not_adapting", self.frozen)):
            row[name] = evaluate(device, [(inputs, labels.numpy())]).accuracy
        self.learner.learn(self.task.stream[:stop], number)
        if number % self.every == 0 or number == self.batches:
            row["old"], row["new"] = self._tests(self.device)
        return row

    def levels(self) -> Accuracies:
        """Accuracies before and after the stream."""
        first, last = self.history[0], self.history[-1]
        return Accuracies(first["old"], first["new"], last["old"], last["new"])

    def _encoded(self, values: AnyBatch, *draw: int) -> Inputs:
        encoded = self.encoder(values, derive_seed(self.seed, *draw))
        return self.artifact.inputs_of(samples.dense(encoded))

    def _tests(self, device: Device[networks.HardwareNetwork]) -> tuple[float, float]:
        return self._test(device, self.task.old), self._test(device, self.task.new)

    def _test(self, device: Device[networks.HardwareNetwork], tested: AnySamples) -> float:
        count = min(self.tested, len(tested))
        # Evenly spaced, since some data sets are sorted by class.
        index = torch.linspace(0, len(tested) - 1, count).round().long()
        parts = enumerate(tested.batch(part) for part in torch.split(index, 500))
        batches = ((self._encoded(values, Purpose.TEST, step, 0), labels.numpy()) for step, (values, labels) in parts)
        return evaluate(device, batches).accuracy

    def state_dict(self) -> State:
        """The state from which ``load_state_dict`` resumes."""
        return {"history": self.history, "learner": self.learner.state_dict()}

    def load_state_dict(self, state: State) -> None:
        """Resume exactly from the state of an adaptation with the same settings."""
        self.history = [dict(row) for row in state["history"]]
        self.learner.load_state_dict(state["learner"], len(self.history) - 1)


def run(
    adaptation: Adaptation, save: Callable[[], object] = lambda: None, listener: Listener = ignore_progress
) -> Accuracies:
    """Classify the whole stream, and learn from it.

    Args:
        adaptation: new, or resumed.
        save: called after every batch.
        listener: receives a batch as an epoch, whose metrics are its row.
    """
    if not adaptation.history:
        adaptation.begin()
        save()
    extend_history(adaptation.history, adaptation.batches + 1, adaptation.step, save, listener)
    return adaptation.levels()


def table(history: Iterable[Row]) -> str:
    """The history as CSV."""
    names = ("samples", "adapting", "not_adapting", "old", "new", "seconds")
    lines = [",".join(names)]
    lines += [",".join(f"{row[n]:g}" if n in row else "" for n in names) for row in history]
    return "\n".join(lines) + "\n"
