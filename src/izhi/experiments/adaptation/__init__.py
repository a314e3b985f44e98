"""Continual learning after deployment: streams under drift, and networks on devices that adapt."""

from izhi.experiments.adaptation.adapt import Adaptation, Levels, Row, run, table
from izhi.experiments.adaptation.drift import KINDS, Drift, Task, task
from izhi.experiments.adaptation.learner import (
    Backpropagation,
    Evolving,
    Learner,
    Nothing,
)

__all__ = [
    "KINDS",
    "Adaptation",
    "Backpropagation",
    "Drift",
    "Evolving",
    "Learner",
    "Levels",
    "Nothing",
    "Row",
    "Task",
    "run",
    "table",
    "task",
]
