"""Figures, written as PNG, SVG or PDF."""

from izhi.experiments.plots.accuracy import accuracy, confusion, differences, outcomes, ranks
from izhi.experiments.plots.figure import COLOURS, check_ending, panels, resources, save, smoothed, work
from izhi.experiments.plots.neurons import dynamics, pattern_sheet, trace
from izhi.experiments.plots.step import step_graph

__all__ = [
    "COLOURS", "accuracy", "check_ending", "confusion", "differences", "dynamics", "outcomes", "panels",
    "pattern_sheet", "ranks", "resources", "save", "smoothed", "step_graph", "trace", "work",
]  # fmt: skip
