"""How fast a training step is, against other libraries and against bare linear layers."""

from izhi.experiments.benchmark.ours import explained
from izhi.experiments.benchmark.runner import ContenderMeasurement, benchmark, check, contenders
from izhi.experiments.benchmark.work import Work

__all__ = ["ContenderMeasurement", "Work", "benchmark", "check", "contenders", "explained"]
