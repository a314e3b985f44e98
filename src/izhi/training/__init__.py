"""Training: the loop, losses, checkpoints and run folders."""

from izhi.training.loop import Listener, Result, evaluate, start_fabric, train
from izhi.training.losses import LOSSES
from izhi.training.run_folder import RunFolder

__all__ = ["LOSSES", "Listener", "Result", "RunFolder", "evaluate", "start_fabric", "train"]
