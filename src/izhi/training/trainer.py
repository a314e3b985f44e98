"""The training loop: read it from top to bottom.

    data = izhi.data.Dataset.of(x, y)
    progress = Trainer(Backprop(Optimizer(learning_rate=1e-3)), epochs=10).fit(network, data)

Device, precision, several devices and several machines come from Lightning Fabric. All randomness is a
function of the seed and of (epoch, step), so a run that resumes from its checkpoint has the same numbers as
one that was never stopped, on the same machine with the same number of threads: the kernels of neurons do not depend
on threads, but torch's products do, in the last bits of float32.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.calls import with_room
from izhi.data import AnySamples, Dataset, split
from izhi.errors import SettingError, SilentLayerWarning, UnstableLayerWarning, shown
from izhi.network import Network
from izhi.network.encoders import Encoder, default_encoder
from izhi.seeds import Purpose
from izhi.spec.connection import at_least_one
from izhi.training import bar, checkpoint
from izhi.training.classifier import Classifier
from izhi.training.evaluation import Evaluation, Row, evaluate
from izhi.training.fabric import start_fabric
from izhi.training.gradients import Backprop
from izhi.training.labels import check_labels, check_steps
from izhi.training.losses import LOSSES, Loss
from izhi.training.progress import EventKind, Listener, Progress, ProgressEvent, as_listener, best_epoch


@dataclass(frozen=True)
class Data:
    """The samples that a network is trained and evaluated on.

    Attributes:
        train: samples to learn from.
        test: held-out samples, by which nothing is chosen.
        validation: samples held out of the training samples; None for none.
        groups: parts of the test samples with an accuracy of their own: name → mask.
    """

    train: AnySamples
    test: AnySamples
    validation: AnySamples | None = None
    groups: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset, validation: float = 0.0, seed: int = 0) -> Data:
        """Those of a data set, a share of its training samples held out for validation."""
        train, held = split(dataset.train, validation, seed) if validation else (dataset.train, None)
        return cls(train, dataset.test, held, dataset.groups)


class Learner(Protocol):
    """Improves one network, an epoch at a time."""

    @property
    def steps(self) -> int: ...  #: of an epoch, for progress

    def epoch(self, number: int, progress: Callable[[float], None]) -> Row:
        """One epoch, counted from 1; its metrics. ``progress`` receives the loss of every step."""
        ...

    def state_dict(self) -> dict[str, object]:
        """The state for an exact continuation, besides the network's weights."""
        ...


class Method(Protocol):
    """A method of training: by gradients, or by evolution."""

    def begin(
        self, trainer: Trainer, classifier: Classifier, samples: AnySamples,
        state: Mapping[str, object] | None, epochs: int,
    ) -> tuple[Learner, nn.Module]:  # fmt: skip
        """The learner of a network, and the classifier as Fabric set it up.

        Args:
            trainer: the caller.
            classifier: that is trained, with its weights loaded.
            samples: to learn from.
            state: a learner's ``state_dict`` to resume from; None to begin.
            epochs: number of earlier epochs.
        """
        ...


#: Samples by which weights are scaled.
_CALIBRATION_SAMPLES = 128


def _sender(listener: Listener, epochs: int, steps: int, history: Sequence[Row]) -> Callable[..., None]:
    """Sends an event of a kind, with its own fields, to a listener."""

    def send(kind: EventKind, **fields: Any) -> None:
        listener(ProgressEvent(kind, epochs, len(history), steps, **fields))

    return send


@dataclass(frozen=True)
class Trainer:
    """Trains a network for some epochs and evaluates it after each.

    Attributes:
        method: how it learns: ``Backprop`` with an optimiser and a schedule, or ``Evolution``.
        fabric: device, precision and processes, launched; None for the fastest of this machine (``start_fabric``).
        epochs: passes over the training samples, or generations of an evolution.
        batch_size: samples of a step.
        loss: of the network's output (T, B, classes) and labels (B,), or (B, T) of each step: one of ``LOSSES``, a
            ``Loss``, or a function.
        seed: of the order of samples and of their coding.
        patience: epochs without a better validation accuracy after which it ends early; None for never.
        checkpoint: file of the run, written after every epoch; if it exists, the run resumes from it. None for none.
        callbacks: called after every epoch with its metrics, such as ``print``.
        calibrate: standard deviation of v, in thresholds, to which the weights of a new training are scaled by its
            samples, see ``Network.calibrate``; None for weights as they are.
    """

    method: Method = field(default_factory=Backprop)
    fabric: Fabric | None = None
    epochs: int = 10
    batch_size: int = 256
    loss: Loss | Callable[[Tensor, Tensor], Tensor] = LOSSES["count"]
    seed: int = 0
    patience: int | None = None
    checkpoint: str | os.PathLike[str] | None = None
    callbacks: Sequence[Callable[[Row], object]] = ()
    calibrate: float | None = None

    @cached_property
    def machine(self) -> Fabric:
        """The fabric of the training."""
        return self.fabric or start_fabric()

    @cached_property
    def measure(self) -> Loss:
        """The loss, and how a class is read from the output."""
        return self.loss if isinstance(self.loss, Loss) else Loss(self.loss)

    @with_room
    def fit(
        self, network: Network, data: Dataset | Data, encoder: Encoder | None = None, *, start: Progress | None = None,
        keep: Callable[[Progress], None] = lambda progress: None, listener: Listener | None = None,
    ) -> Progress:  # fmt: skip
        """Train the network to the last epoch.

        Args:
            network: that is trained; with the weights of ``start``, if any.
            data: the samples.
            encoder: of the samples; None for ``izhi.encoding.default_encoder`` of a Dataset.
            start: an earlier run's progress, to resume from exactly.
            keep: called after every epoch, in the first process, with all that a later ``start`` needs.
            listener: called with every ``ProgressEvent``; None for a bar on a terminal, a line in a notebook.

        Raises:
            DivergenceError: if a loss or gradient is not finite, naming epoch, step and layer.
            SettingError: for numbers out of range, and for labels that the network has no output for.
            CheckpointError: for a checkpoint of another network.
        """
        at_least_one(epochs=self.epochs, batch_size=self.batch_size)
        if not isinstance(network, Network):
            raise SettingError(
                f"network is {shown(network)}, expected izhi.network.Network; put its modules into one:"
                " Network([nn.Linear(4, 8), izhi.LIF(), …])"
            )
        parts, encoder = self._parts(data, encoder)
        _check_samples(parts, network, encoder, self.measure)
        _check_weights(network)
        _warn_of_divergence(network)
        start = start or self._saved(network)
        notes = self.scale_weights(network, parts.train, encoder) if start is None else ()
        start = start or Progress()
        history, problems = list(start.history), list(start.warnings)
        classifier = Classifier(encoder, network, self.measure)
        learner, model = self.method.begin(self, classifier, parts.train, start.learner, len(history))
        send = _sender(as_listener(listener or bar.choose_listener()), self.epochs, learner.steps, history)
        send("start", notes=notes)
        try:
            while len(history) < self.epochs and not self._has_stalled(history):
                evaluation = self._run_epoch(learner, model, parts, history, send)
                problems = evaluation.activity.warnings() if evaluation else problems
                if self.machine.is_global_zero:
                    self._keep(Progress(history, problems, network.state_dict(), learner.state_dict()), keep)
                self.machine.barrier()
                send("epoch", metrics=history[-1], warnings=problems)
                for callback in self.callbacks:
                    callback(history[-1])
        finally:
            send("end")
        return Progress(history, problems, network.state_dict(), learner.state_dict())

    def _run_epoch(
        self, learner: Learner, model: nn.Module, parts: Data, history: list[Row], send: Callable[..., None]
    ) -> Evaluation | None:
        """Train for one epoch, evaluate, and append the metrics to the history; the last evaluation."""
        began, epoch = time.perf_counter(), len(history) + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SilentLayerWarning)  # the epoch's event carries the warnings
            row: Row = {"epoch": epoch, **learner.epoch(epoch, lambda loss: send("step", losses=(loss,)))}
        row["train_seconds"] = time.perf_counter() - began
        evaluation = self._judge(model, parts, row)
        row["seconds"] = time.perf_counter() - began
        history.append(row)
        return evaluation

    def _parts(self, data: Dataset | Data, encoder: Encoder | None) -> tuple[Data, Encoder]:
        """The samples and their encoder."""
        if isinstance(data, Dataset):
            return Data.of(data), encoder or default_encoder(data)
        if encoder is None:
            raise SettingError(
                "no encoder is given, expected one of izhi.encoding; or give a Dataset, which says its own"
            )
        return data, encoder

    def scale_weights(self, network: Network, samples: AnySamples, encoder: Encoder) -> Sequence[str]:
        """Scale the weights of a new training by ``calibrate``; a line about the activity of each layer."""
        if self.calibrate is None:
            return ()
        spikes = Classifier(encoder, network).some_spikes(samples, _CALIBRATION_SAMPLES, self.seed)
        report = network.calibrate(spikes, self.calibrate)
        network.train()
        return [f"calibrated {line}" for line in str(report).splitlines()]

    def _saved(self, network: Network) -> Progress | None:
        """The progress in the checkpoint, with its weights loaded into the network; None without a checkpoint."""
        if self.checkpoint is None or not Path(self.checkpoint).exists():
            return None
        path = Path(self.checkpoint)
        progress = checkpoint.progress_of(checkpoint.load(path))
        checkpoint.load_weights(path, network, progress.network)
        return progress

    def _keep(self, progress: Progress, keep: Callable[[Progress], None]) -> None:
        if self.checkpoint is not None:
            checkpoint.save(Path(self.checkpoint), checkpoint.content_of(progress))
        keep(progress)

    def _has_stalled(self, history: Sequence[Row]) -> bool:
        """Whether validation has not become better for as many epochs as patience lasts."""
        accuracies = [row["validation_accuracy"] for row in history if "validation_accuracy" in row]
        return self.patience is not None and len(accuracies) - 1 - best_epoch(accuracies) >= self.patience

    def _judge(self, model: nn.Module, data: Data, row: Row) -> Evaluation | None:
        """Evaluate validation and test samples, and add their metrics to ``row``; the last evaluation."""
        evaluation = None
        for purpose, samples, groups in (
            (Purpose.VALIDATION, data.validation, None), (Purpose.TEST, data.test, data.groups),
        ):  # fmt: skip
            if samples is not None and len(samples):
                evaluation = evaluate(
                    self.machine, model, samples, self.measure, seed=self.seed, purpose=purpose, groups=groups
                )
                row.update(evaluation.as_metrics(purpose.name.lower()))
        if evaluation is not None:
            row.update(evaluation.rates())
        return evaluation


def _check_samples(data: Data, network: Network, encoder: Encoder, loss: Loss) -> None:
    """Raise SettingError without training samples, and for the first label that is no class of the network."""
    if not len(data.train):
        raise SettingError("there are no training samples, expected at least one")
    for name, samples in (("sample", data.train), ("validation sample", data.validation), ("test sample", data.test)):
        if samples is not None and len(samples):
            check_labels(name, samples, network.outputs)
            check_steps(name, samples, encoder, loss)


def _warn_of_divergence(network: Network) -> None:
    for number, layer in enumerate(network.spiking, start=1):
        radius = getattr(layer.neuron, "spectral_radius", lambda: None)()
        if radius is not None and (odd := int((radius > 1).sum())):
            warnings.warn(
                f"layer {number} has neurons that diverge, {odd} of {radius.numel()}: without input their state grows"
                f" by a factor of up to {float(radius.max()):.4g} in each step; choose smaller a3·b1, or resonators",
                UnstableLayerWarning, stacklevel=3,
            )  # fmt: skip


def _check_weights(network: Network) -> None:
    """Raise SettingError for the first weight or coefficient that is not finite."""
    for name, value in network.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise SettingError(f"{name} of the network is not finite, expected finite numbers; start with others")
