"""Training: the loop, losses, checkpoints and run folders."""

from izhi.experiments.run_folder import RunFolder, versions
from izhi.quantization.ptq import quantize
from izhi.training.classifier import Classifier, inputs
from izhi.training.loop import Listener, Result, evaluate, start_fabric, train
from izhi.training.losses import LOSSES
from izhi.training.optimizer import make_optimizer

__all__ = [
    "LOSSES",
    "Classifier",
    "Listener",
    "Result",
    "RunFolder",
    "evaluate",
    "inputs",
    "make_optimizer",
    "quantize",
    "start_fabric",
    "train",
    "versions",
]
