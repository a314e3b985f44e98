"""How far a run is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from izhi.training.evaluation import Row


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
