"""Training: the loop over any network and encoder, losses, optimisers, checkpoints, evolution."""

from collections.abc import Callable
from typing import Any

from izhi.deprecation import renamed_names, warn_renamed
from izhi.training.classifier import Classifier
from izhi.training.evaluation import EVALUATION_BATCH, Evaluation, evaluate
from izhi.training.evolution.evolve import Evolution
from izhi.training.fabric import fast_precision, keep_freed_memory, make_fabric, memory_of_machine, start_fabric
from izhi.training.gradients import SCHEDULES, Backprop, Step
from izhi.training.losses import LOSSES, Loss
from izhi.training.online import Online
from izhi.training.optimizer import Optimizer
from izhi.training.progress import Listener, Progress, ProgressEvent, best_epoch, ignore_progress
from izhi.training.trainer import Data, Learner, Method, Trainer


def _silent(name: str) -> Callable[[], Any]:
    if name != "Silent":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed("izhi.training.Silent()", "izhi.training.ignore_progress", stacklevel=3)
    return lambda: ignore_progress


__getattr__ = renamed_names(__name__, {"Gradients": "Backprop"}, _silent)

__all__ = [
    "EVALUATION_BATCH", "LOSSES", "SCHEDULES", "Backprop", "Classifier", "Data", "Evaluation", "Evolution", "Learner",
    "Listener", "Loss", "Method", "Online", "Optimizer", "Progress", "ProgressEvent", "Step", "Trainer", "best_epoch",
    "evaluate", "fast_precision", "ignore_progress", "keep_freed_memory", "make_fabric", "memory_of_machine",
    "start_fabric",
]  # fmt: skip

__dir__ = __all__.copy
