"""Neurons under a current, and their coefficients before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from izhi.experiments.plots.figure import COLOURS

if TYPE_CHECKING:  # which loads torch
    from izhi.neurons.simulation import Numbers, Trace


def _draw_v(axes: Axes, trace: Trace, width: float) -> None:
    v = trace.v
    if trace.threshold is not None:
        # A reset in the step of the spike would hide the peak.
        v = np.where(trace.spikes > 0, np.maximum(v, trace.threshold), v)
        v = np.minimum(v, trace.threshold)
    axes.plot(trace.time, v, color=COLOURS[0], lw=width)


def trace(t: Trace, title: str) -> Figure:
    """Current, states and spikes of one neuron over time."""
    heights = [0.35, 2.2, *[1.0] * len(t.others), 0.8]
    figure = Figure(figsize=(8, 4 + max(1, len(t.others))), layout="constrained")
    grid = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
    biological = t.unit == "mV"
    grid[0].eventplot([t.spike_times], colors="black", linelengths=0.8)
    grid[0].set_yticks([])
    grid[0].set_ylabel("spikes", rotation=0, ha="right", va="center")
    _draw_v(grid[1], t, 1.1)
    grid[1].set_ylabel("v (mV)" if biological else "v")
    for axes, (name, values) in zip(grid[2:], t.others.items(), strict=False):
        axes.plot(t.time, values, color=COLOURS[1], lw=1.1)
        axes.set_ylabel(f"{name} (mV/ms)" if biological else name)
    grid[-1].plot(t.time, t.current, color=COLOURS[2], lw=1.1)
    grid[-1].set_ylabel("I (mV/ms)" if biological else "I")
    grid[-1].set_xlabel("time (ms)" if biological else "time (steps)")
    for axes in grid[1:]:
        axes.grid(alpha=0.3)
    figure.align_ylabels(grid[1:])
    figure.suptitle(title, fontsize=11)
    return figure


def pattern_sheet(traces: Mapping[str, Trace]) -> Figure:
    """The firing patterns on one sheet: v above, the stimulus below, each in its own time."""
    figure = Figure(figsize=(12, 11), layout="constrained")
    grid = figure.subplots(5, 4)
    for axes, (name, t), letter in zip(grid.flat, traces.items(), "ABCDEFGHIJKLMNOPQRST", strict=True):
        _draw_v(axes, t, 0.9)
        low, high = t.current.min(), t.current.max()
        span = (high - low) or 1.0
        axes.plot(t.time, -112 + 14 * (t.current - low) / span, color=COLOURS[2], lw=1.0)
        axes.set_ylim(-118, 45)
        axes.set_yticks([-60, 30])
        axes.tick_params(labelsize=8)
        axes.set_title(f"({letter}) {name}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("time (ms)", fontsize=9)
    for axes in grid[:, 0]:
        axes.set_ylabel("v (mV)", fontsize=9)
    figure.suptitle("Izhikevich neuron: twenty firing patterns (v blue; stimulus green, scaled)", fontsize=12)
    return figure


def dynamics(
    layers: Sequence[tuple[Mapping[str, tuple[Numbers, Numbers]], tuple[Mapping[str, int], Mapping[str, int]]]],
) -> Figure:
    """Learned coefficients before and after training, a row per layer, and the firing classes.

    Args:
        layers: for each layer name → values before and after, of each neuron or one for all; and the
            number of neurons of each class before and after, empty where there are none.
    """
    columns = max(len(values) + bool(classes[1]) for values, classes in layers)
    figure = Figure(figsize=(2.9 * columns + 0.6, 2.5 * len(layers) + 0.4), layout="constrained")
    grid = figure.subplots(len(layers), columns, squeeze=False)
    for number, (row, (values, classes)) in enumerate(zip(grid, layers, strict=True), start=1):
        for axes, (name, (before, after)) in zip(row, values.items(), strict=False):
            _draw_values(axes, before, after)
            axes.set_title(f"layer {number}: {name}", fontsize=9)
        rest = row[len(values) :]
        if classes[1]:
            _draw_classes(rest[0], *classes)
            rest[0].set_title(f"layer {number}: firing classes", fontsize=9)
            rest = rest[1:]
        for axes in rest:
            axes.set_visible(False)
        row[0].set_ylabel("neurons")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _draw_values(axes: Axes, before: Numbers, after: Numbers) -> None:
    both = np.concatenate([before, after])
    low, high = float(both.min()), float(both.max())
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    if len(after) == 1:
        axes.axvline(float(before[0]), color="0.6", lw=3, label="before training")
        axes.axvline(float(after[0]), color=COLOURS[0], lw=2, label="after training")
        axes.set_yticks([])
        axes.set_xlim(low - 4 * margin, high + 4 * margin)
    else:
        edges = np.linspace(low - margin, high + margin, 31).tolist()
        axes.hist(before, edges, color="0.75", label="before training")
        axes.hist(after, edges, histtype="step", color=COLOURS[0], lw=1.4, label="after training")
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _draw_classes(axes: Axes, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    names = list(dict.fromkeys([*before, *after]))
    rows = np.arange(len(names))
    axes.barh(rows - 0.2, [before.get(n, 0) for n in names], 0.4, color="0.75", label="before training")
    axes.barh(rows + 0.2, [after.get(n, 0) for n in names], 0.4, color=COLOURS[0], label="after training")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("neurons", fontsize=8)
