"""How fast a training step is, against other libraries and against bare linear layers."""

from izhi.benchmark.runner import Measurement, benchmark, contenders
from izhi.benchmark.work import Work

__all__ = ["Measurement", "Work", "benchmark", "contenders"]
