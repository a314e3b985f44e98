"""Networks on devices: their memory, resources and work, and what they learn there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from izhi.experiments.plots.figure import COLOURS, new_figure


def pareto(series: Mapping[str, Sequence[tuple[float, float, str]]], whole: tuple[float, float], title: str) -> Figure:
    """Accuracy against memory: points of each method, and the line of those that nothing beats.

    Args:
        series: method → (kB, accuracy from 0 to 1, label) of each point.
        whole: kB and accuracy of the float network.
    """
    label = "memory of weights and states (kB); labels: bits of weights/states"
    figure, axes = new_figure(8, 4.6, title, label, "test accuracy (%)")
    for number, (method, points) in enumerate(series.items()):
        x, y = [p[0] for p in points], [100 * p[1] for p in points]
        axes.plot(x, y, "osD^"[number % 4], color=COLOURS[number % len(COLOURS)], ms=6, alpha=0.75, label=method)
    best = front([p for points in series.values() for p in points])
    x, y = [p[0] for p in best], [100 * p[1] for p in best]
    axes.plot(x, y, color="0.4", lw=1.2, drawstyle="steps-post", zorder=0, label="best for its memory")
    for x0, y0, label in best:
        axes.annotate(label, (x0, 100 * y0), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.plot(whole[0], 100 * whole[1], "*", color="black", ms=11, label="float")
    axes.axhline(100 * whole[1], color="black", lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(y=0.12)
    axes.legend(fontsize=8.5, loc="lower right")
    return figure


def front(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Of points (kB, accuracy, label), in the order of their memory, those that none of less memory reaches."""
    best: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


def resources(used: Mapping[str, float], available: Mapping[str, int], title: str) -> Figure:
    """Shares of a device's resources, as bars with the numbers beside them."""
    figure, axes = new_figure(7, 2.4, title, "share of the device (%)")
    axes.grid(visible=False)
    names = list(used)
    shares = [100 * used[name] / available[name] for name in names]
    bars = axes.barh(names, shares, color=COLOURS[0], height=0.6)
    labels = [f"{used[n]:,g} of {available[n]:,}" for n in names]
    axes.bar_label(bars, labels, padding=4, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(100.0, 1.3 * max(shares)))
    axes.axvline(100, color="0.5", lw=0.8, ls=":")
    return figure


def work(events: Sequence[int], cycles: Mapping[str, Sequence[int]], title: str) -> Figure:
    """Clock cycles of samples against their input spikes; each core its own colour."""
    figure, axes = new_figure(6.4, 3.6, title, "input spikes of a sample", "clock cycles (thousands)")
    axes.grid(visible=False)
    for colour, (name, counted) in zip(COLOURS, cycles.items(), strict=False):
        axes.scatter(events, [c / 1000 for c in counted], s=12, color=colour, lw=0, label=name)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    if len(cycles) > 1:
        axes.legend(fontsize=9)
    return figure


def evolution(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Loss and accuracy over generations.

    Args:
        history: rows of evolution on a device: generation, loss and accuracy of what was found, and best_loss.
    """
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    generations = [row["generation"] for row in history]
    left.plot(generations, [row["loss"] for row in history], color=COLOURS[0], label="found")
    left.plot(
        generations, [row["best_loss"] for row in history], "--", color=COLOURS[1], label="best of the population"
    )
    left.set_ylabel("loss")
    left.set_title("samples of the generation", fontsize=9)
    left.legend(fontsize=8.5)
    right.plot(generations, [100 * row["accuracy"] for row in history], color=COLOURS[0])
    right.set_ylabel("accuracy (%)")
    right.set_title("samples of the generation", fontsize=9)
    for axes in (left, right):
        axes.set_xlabel("generation")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return figure


def smoothed(values: Sequence[float]) -> list[float]:
    """Means of each value and those before it, over a twentieth of all."""
    width = max(1, len(values) // 20)
    padded = np.pad(np.asarray(values, float), (width - 1, 0), "edge")
    return [float(x) for x in np.convolve(padded, np.ones(width) / width, "valid")]


def adaptation(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Accuracy under drift over the samples that arrived: of the learning network and of the frozen one.

    Args:
        history: rows of ``izhi.experiments.adaptation``; the first is as deployed.
    """
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    first, rows = history[0], history[1:]
    samples = [row["samples"] for row in rows]
    for name, label, colour in (("adapting", "continual learning", COLOURS[0]), ("not_adapting", "frozen", COLOURS[1])):
        values = [100 * row[name] for row in rows]
        left.plot(samples, values, ".", color=colour, markersize=2, alpha=0.4)
        left.plot(samples, smoothed(values), "-", color=colour, label=label)
    left.set_ylabel("accuracy (%)")
    left.set_xlabel("samples that arrived")
    left.set_title("the stream, answered before learning (points: batches)", fontsize=9)
    seen = [row for row in history if "old" in row]
    at = [row["samples"] for row in seen]
    right.plot(at, [100 * row["new"] for row in seen], "o-", color=COLOURS[0], markersize=3, label="what is new")
    right.plot(at, [100 * row["old"] for row in seen], "s--", color=COLOURS[2], markersize=3, label="the old task")
    for name, colour, text in (
        ("frozen_new", COLOURS[1], "new, not learning"), ("frozen_old", "0.5", "old, not learning")
    ):  # fmt: skip
        right.axhline(100 * first[name], color=colour, ls=":", lw=1.2, label=text)
    right.set_xlabel("samples that arrived")
    right.set_title("test samples", fontsize=9)
    left.set_ylim(-3, 103)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure
