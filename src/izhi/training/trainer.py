"""The training loop: read it from top to bottom.

    trainer = Trainer(epochs=10, loss=LOSSES["count"], method=Gradients(Adam(learning_rate=1e-3)))
    history = trainer.fit(network, encoder, Data(train, test=test)).history

Device, precision, several devices and several machines come from Lightning Fabric. All randomness is a
function of the seed and of (epoch, step), so a run that resumes from its checkpoint has the same numbers as
one that was never stopped, on the same machine with the same number of threads: the kernels of neurons do not depend
on threads, but torch's products do, in the last bits of float32.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.data import AnySamples
from izhi.errors import SilentLayerWarning
from izhi.network import Network
from izhi.network.encoders import Encoder
from izhi.seeds import Purpose
from izhi.training.classifier import Classifier
from izhi.training.evaluation import Evaluation, Row, evaluate
from izhi.training.losses import LOSSES, Loss


@dataclass(frozen=True)
class Data:
    """The samples that a network is trained and evaluated on.

    Attributes:
        train: samples to learn from.
        test: held-out samples, by which nothing is chosen.
        validation: samples held out of the training samples; None for none.
        groups: parts of the test samples whose accuracy is given apart: name → mask.
    """

    train: AnySamples
    test: AnySamples
    validation: AnySamples | None = None
    groups: Mapping[str, Tensor] = field(default_factory=dict)


def best_epoch(accuracies: Sequence[float]) -> int:
    """Which of them is the best, counted from 0; of equal ones the first, and -1 of none."""
    return max(range(len(accuracies)), key=lambda k: (accuracies[k], -k), default=-1)


class Learner(Protocol):
    """Improves one network, an epoch at a time.

    Attributes:
        steps: of an epoch, for progress.
    """

    steps: int

    def epoch(self, number: int, progress: Callable[[float], None]) -> Row:
        """One epoch, counted from 1; its metrics. ``progress`` is told the loss of every step."""
        ...

    def state_dict(self) -> dict[str, object]:
        """What an exact continuation needs besides the network's weights."""
        ...


class Method(Protocol):
    """A way to learn: by gradients, or by evolution."""

    def begin(
        self, trainer: Trainer, classifier: Classifier, samples: AnySamples,
        state: Mapping[str, object] | None, epochs: int,
    ) -> tuple[Learner, nn.Module]:  # fmt: skip
        """The learner of a network, and the classifier as Fabric set it up.

        Args:
            trainer: that asks.
            classifier: what learns, with its weights in place.
            samples: to learn from.
            state: a learner's ``state_dict`` to resume from; None to begin.
            epochs: that came before.
        """
        ...


class Listener(Protocol):
    """Receives the progress of a run."""

    def begin(self, steps: int, finished: int) -> None:
        """Steps of an epoch, and epochs that are finished already."""

    def step(self, loss: float) -> None: ...
    def epoch(self, row: Row, warnings: Sequence[str]) -> None: ...


class Silent:
    """A listener that shows nothing."""

    def begin(self, steps: int, finished: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def epoch(self, row: Row, warnings: Sequence[str]) -> None: ...


@dataclass
class Progress:
    """How far a run is: what a checkpoint holds of it.

    Attributes:
        history: metrics of each epoch.
        warnings: of the last one.
        network: the weights, as ``state_dict`` gives them.
        learner: its ``state_dict``; None before the first epoch.
    """

    history: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    network: Mapping[str, Tensor] = field(default_factory=dict)
    learner: Mapping[str, object] | None = None


@contextlib.contextmanager
def _silence_ignored() -> Iterator[None]:
    """Within it a layer that stays silent does not warn by itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SilentLayerWarning)
        yield


@dataclass(frozen=True)
class Trainer:
    """Trains a network for some epochs and evaluates it after each.

    Attributes:
        method: how it learns.
        fabric: device, precision and processes, launched (see ``start_fabric``).
        epochs: passes over the training samples, or generations of an evolution.
        batch_size: samples of a step.
        loss: of the network's output.
        seed: of the order of samples and of their coding.
        patience: epochs without a better validation accuracy after which it ends early; None for never.
    """

    method: Method
    fabric: Fabric
    epochs: int = 10
    batch_size: int = 256
    loss: Loss = LOSSES["count"]
    seed: int = 0
    patience: int | None = None

    def fit(
        self,
        network: Network,
        encoder: Encoder,
        data: Data,
        *,
        start: Progress | None = None,
        keep: Callable[[Progress], None] = lambda progress: None,
        listener: Listener | None = None,
    ) -> Progress:
        """Train the network to the last epoch.

        Args:
            network: what learns; with the weights of ``start``, if there is one.
            encoder: of the samples.
            data: the samples.
            start: an earlier run's progress, to resume from exactly.
            keep: called after every epoch, in the first process, with all that a later ``start`` needs.
            listener: told of every step and epoch.

        Raises:
            DivergenceError: if a loss or gradient is not finite, naming epoch, step and layer.
        """
        listener = listener or Silent()
        history, warnings = (
            list(start.history if start else []),
            list(start.warnings if start else []),
        )
        state = start.learner if start else None
        learner, model = self.method.begin(self, Classifier(encoder, network), data.train, state, len(history))
        listener.begin(learner.steps, len(history))
        for epoch in range(len(history) + 1, self.epochs + 1):
            if self._has_stalled(history):
                break
            began = time.perf_counter()
            with _silence_ignored():  # the listener is told after the epoch
                row: Row = {"epoch": epoch, **learner.epoch(epoch, listener.step)}
            row["train_seconds"] = time.perf_counter() - began
            found = self._judge(model, data, row)
            warnings = found.activity.warnings() if found else warnings
            row["seconds"] = time.perf_counter() - began
            history.append(row)
            if self.fabric.is_global_zero:
                keep(Progress(history, warnings, network.state_dict(), learner.state_dict()))
            self.fabric.barrier()
            listener.epoch(row, warnings)
        return Progress(history, warnings, network.state_dict(), learner.state_dict())

    def _has_stalled(self, history: Sequence[Row]) -> bool:
        """Whether validation has not become better for as many epochs as patience lasts."""
        found = [row["validation_accuracy"] for row in history if "validation_accuracy" in row]
        return self.patience is not None and len(found) - 1 - best_epoch(found) >= self.patience

    def _judge(self, model: nn.Module, data: Data, row: Row) -> Evaluation | None:
        """Evaluate validation and test samples into a row of metrics; the last evaluation."""
        found = None
        for part, samples, purpose in (
            ("validation", data.validation, Purpose.VALIDATION),
            ("test", data.test, Purpose.TEST),
        ):
            if samples is not None and len(samples):
                found = evaluate(
                    self.fabric, model, samples, self.loss, seed=self.seed, purpose=purpose,
                    groups=data.groups if part == "test" else None,
                )  # fmt: skip
                row.update(found.as_metrics(part))
        if found is not None:
            row.update(found.rates())
        return found
