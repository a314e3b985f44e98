"""Training: the loop over any network and encoder, losses, optimisers, checkpoints, evolution."""

from izhi.training.classifier import Classifier
from izhi.training.evaluation import EVALUATION_BATCH, Evaluation, evaluate
from izhi.training.evolution.evolve import Evolution
from izhi.training.fabric import fast_precision, make_fabric, start_fabric
from izhi.training.gradients import SCHEDULES, Gradients, Step
from izhi.training.losses import LOSSES, Loss
from izhi.training.memory import keep_freed_memory, memory_of_machine
from izhi.training.optimizer import Optimizer
from izhi.training.progress import Progress, best_epoch
from izhi.training.trainer import Data, Learner, Listener, Method, Silent, Trainer

__all__ = [
    "EVALUATION_BATCH",
    "LOSSES",
    "SCHEDULES",
    "Classifier",
    "Data",
    "Evaluation",
    "Evolution",
    "Gradients",
    "Learner",
    "Listener",
    "Loss",
    "Method",
    "Optimizer",
    "Progress",
    "Silent",
    "Step",
    "Trainer",
    "best_epoch",
    "evaluate",
    "fast_precision",
    "keep_freed_memory",
    "make_fabric",
    "memory_of_machine",
    "start_fabric",
]
