"""How fast a training step is, against other libraries and against bare linear layers."""

from izhi.experiments.benchmark.runner import Measurement, benchmark, contenders
from izhi.experiments.benchmark.work import Work

__all__ = ["Measurement", "Work", "benchmark", "contenders"]
