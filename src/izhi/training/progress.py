"""The progress of a run as a sequence of events, and the functions that receive them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from torch import Tensor

from izhi.deprecation import warn_renamed
from izhi.training.evaluation import Row

EventKind: TypeAlias = Literal["start", "step", "epoch", "end"]


@dataclass(frozen=True)
class ProgressEvent:
    """What a run reports to its listener.

    Attributes:
        kind: ``start`` before the first epoch, ``step`` after optimisation steps, ``epoch`` after an epoch is
            evaluated, ``end`` after the last epoch or an error.
        epochs: the number of epochs of the whole run.
        epoch: the number of finished epochs.
        steps: optimisation steps of an epoch.
        losses: losses of the optimisation steps since the last event.
        metrics: metrics of the epoch.
        warnings: warnings about the network after the epoch.
        label: name of the run among the runs of a command.
        settings: settings of the run by name, in the ``start`` event of a run with settings.
        notes: lines about what happened before the first epoch, in the ``start`` event.
    """

    kind: EventKind
    epochs: int
    epoch: int = 0
    steps: int = 1
    losses: Sequence[float] = ()
    metrics: Row = field(default_factory=dict)
    warnings: Sequence[str] = ()
    label: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()


#: A function that receives every event of a run, such as one that shows a bar.
Listener: TypeAlias = Callable[[ProgressEvent], object]


def ignore_progress(event: ProgressEvent) -> None:
    """The listener that shows nothing."""


def as_listener(listener: Listener | Any) -> Listener:
    """The function itself, or one that calls ``begin``, ``step`` and ``epoch`` of an object of the last version."""
    if callable(listener):
        function: Listener = listener
        return function
    warn_renamed("a listener with the methods begin, step and epoch", "a function of a ProgressEvent", stacklevel=3)

    def call_methods(event: ProgressEvent) -> None:
        if event.kind == "start":
            listener.begin(event.steps, event.epoch)
        elif event.kind == "step":
            for loss in event.losses:
                listener.step(loss)
        elif event.kind == "epoch":
            listener.epoch(event.metrics, event.warnings)

    return call_methods


def best_epoch(accuracies: Sequence[float]) -> int:
    """Which of them is the best, counted from 0; of equal ones the first, and -1 of none."""
    return max(range(len(accuracies)), key=lambda k: (accuracies[k], -k), default=-1)


@dataclass
class Progress:
    """The progress of a run, as a checkpoint holds it.

    Attributes:
        history: metrics of each epoch.
        warnings: of the last one.
        network: the weights, a ``state_dict``.
        learner: its ``state_dict``; None before the first epoch.
    """

    history: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    network: Mapping[str, Tensor] = field(default_factory=dict)
    learner: Mapping[str, object] | None = None
