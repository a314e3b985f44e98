"""Continual learning after deployment: streams under drift, and networks on devices that adapt."""

from izhi.experiments.adaptation.adapt import Accuracies, Adaptation, run, table
from izhi.experiments.adaptation.drift import KINDS, Drift, DriftTask, task
from izhi.experiments.adaptation.learner import Backpropagation, DeviceLearner, Evolving, NoLearning

__all__ = [
    "KINDS", "Accuracies", "Adaptation", "Backpropagation", "DeviceLearner", "Drift", "DriftTask", "Evolving",
    "NoLearning", "run", "table", "task",
]  # fmt: skip
