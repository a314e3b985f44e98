"""Figures, written as PNG, SVG or PDF."""

from izhi.experiments.plots.accuracy import accuracy, best_so_far, confusion, differences, outcomes, ranks, trials
from izhi.experiments.plots.devices import adaptation, evolution, front, pareto, resources, smoothed, work
from izhi.experiments.plots.figure import COLOURS, check_ending, save
from izhi.experiments.plots.neurons import dynamics, pattern_sheet, trace

__all__ = [
    "COLOURS",
    "accuracy",
    "adaptation",
    "best_so_far",
    "check_ending",
    "confusion",
    "differences",
    "dynamics",
    "evolution",
    "front",
    "outcomes",
    "pareto",
    "pattern_sheet",
    "ranks",
    "resources",
    "save",
    "smoothed",
    "trace",
    "trials",
    "work",
]
