"""Accuracy of runs, variants and trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from izhi.experiments.plots.figure import COLOURS, new_figure

if TYPE_CHECKING:  # which loads scipy
    from izhi.experiments.statistics import Difference

_STYLES = ("-", "--", "-.", ":")
#: The most classes whose counts are written into a confusion matrix.
_MOST_NUMBERED = 20


def accuracy(curves: Mapping[str, Sequence[Sequence[float]]], title: str, of: str = "test accuracy") -> Figure:
    """Accuracy over epochs, a line per variant (mean over seeds) in a band (least to most).

    Args:
        curves: label → one sequence of accuracies (0 to 1) per seed; one that ended early stays at its end.
    """
    figure, axes = new_figure(8.5, 4.2, title, "epoch", f"{of} (%)")
    lowest, highest = 100.0, 0.0
    for number, (label, seeds) in enumerate(curves.items()):
        longest = max(map(len, seeds))
        values = 100 * np.array([[*x, *[x[-1]] * (longest - len(x))] for x in seeds])
        epochs = np.arange(1, values.shape[1] + 1)
        colour = COLOURS[number % len(COLOURS)]
        style = _STYLES[number // len(COLOURS) % len(_STYLES)]
        mean = values.mean(axis=0)
        axes.plot(epochs, mean, style, color=colour, marker="o", markersize=3, label=f"{label}: {mean[-1]:.1f} %")
        if len(values) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
        later = mean[max(1, len(mean) // 5) :] if len(mean) > 1 else mean
        lowest, highest = min(lowest, float(later.min())), max(highest, float(values.max()))
    margin = 0.06 * (highest - lowest) + 0.2
    # At least six points of accuracy, so that the scatter of a small test set does not fill the figure.
    bottom = min(lowest - margin, highest - 6.0) if highest > 90 else lowest - margin
    axes.set_ylim(max(0.0, bottom), min(100.0, highest + margin))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside right center", fontsize=8.5, title="after the last epoch")
    return figure


def confusion(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """How many samples of each class, in rows, were given each class; the colour is the share of the class."""
    size = max(4.0, 2.2 + 0.36 * len(classes))
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    if len(classes) <= _MOST_NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", fontsize=7, color=colour)
    places = range(len(classes))
    axes.set_xticks(places, classes, rotation=90 if max(map(len, classes)) > 2 else 0, fontsize=8)
    axes.set_yticks(places, classes, fontsize=8)
    axes.set_xlabel("class given")
    axes.set_ylabel("class of the sample")
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, label="share of the class (%)", shrink=0.85)
    return figure


def outcomes(accuracies: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Figure:
    """Test accuracy after the last epoch, a row per variant: each seed a point, their mean a line.

    Args:
        accuracies: label → group of test samples → accuracy (0 to 1) of each seed; the same groups in all.
    """
    groups = list(next(iter(accuracies.values())))
    figure, axes = new_figure(7.5, 1.3 + 0.32 * len(accuracies), title, "test accuracy (%)")
    for row, of_groups in enumerate(accuracies.values()):
        for number, group in enumerate(groups):
            values = 100 * np.array(of_groups[group])
            colour = COLOURS[number % len(COLOURS)]
            name = group.replace("_", " ") if row == 0 else None
            axes.plot(values, np.full(len(values), row), "o", color=colour, ms=4, alpha=0.5, label=name)
            axes.plot([values.mean()] * 2, [row - 0.32, row + 0.32], color=colour, lw=2.2)
    axes.set_yticks(range(len(accuracies)), labels=list(accuracies))
    axes.set_ylim(len(accuracies) - 0.5, -0.5)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=len(groups), fontsize=8.5)
    return figure


def differences(places: Sequence[str], by_label: Mapping[str, Sequence[Difference]], title: str) -> Figure:
    """Differences with their intervals, a row for each place and a colour for each label.

    Args:
        places: names of the rows, from above.
        by_label: label → a difference (0 to 1) for each place.
    """
    height = 1.4 + (0.16 + 0.14 * len(by_label)) * len(places)
    figure, axes = new_figure(7.5, height, title, "points; intervals of 95 % over seeds")
    for number, (label, of_label) in enumerate(by_label.items()):
        beside = (number - (len(by_label) - 1) / 2) * 0.7 / len(by_label)
        rows = [row + beside for row in range(len(places))]
        values = [100 * x.mean for x in of_label]
        reach = [100 * (x.high - x.mean) for x in of_label]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(values, rows, xerr=reach, fmt="osD^"[number % 4], color=colour, ms=4, lw=1.3, label=label)
    axes.axvline(0, color="0.4", lw=0.9)
    axes.set_yticks(range(len(places)), places)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    return figure


def ranks(means: Mapping[str, float], critical: float, cliques: Sequence[Sequence[str]], title: str) -> Figure:
    """Critical-difference diagram (Demšar 2006): mean ranks, and bars that join variants which do not differ.

    Args:
        means: label → mean rank, the best first.
        critical: the least difference that counts, drawn as a bar of its own.
        cliques: groups of labels that do not differ.
    """
    names = list(means)
    below = 0.6 + 0.4 * len(cliques)  # from the axis to the first label
    height = below + 0.5 * -(-len(names) // 2)
    beside = 0.6 + 0.075 * max(map(len, names))  # inches of a label and its number
    figure = Figure(figsize=(4.5 + 2 * beside, 1.3 + 0.42 * height), layout="constrained")
    axes = figure.add_subplot()
    low, high = 1.0, float(len(names))
    edge = 0.04 * (high - low)
    margin = edge + (high - low) * beside / 4.5
    axes.hlines(0, low, high, color="black", lw=1)
    for tick in range(1, len(names) + 1):
        axes.vlines(tick, 0, 0.18, color="black", lw=1)
        axes.text(tick, 0.28, str(tick), ha="center", va="bottom", fontsize=9)
    _draw_mean_ranks(axes, means, below, edge)
    for number, group in enumerate(cliques, start=1):
        ends = [means[name] for name in group]
        axes.hlines(-0.4 * number, min(ends) - edge / 4, max(ends) + edge / 4, color=COLOURS[1], lw=4)
    reach = min(critical, high - low)
    cut = "" if reach == critical else " (longer than the axis)"
    axes.hlines(1.3, low, low + reach, color="black", lw=2)
    axes.text(low, 1.45, f"critical difference {critical:.2f}{cut}; 1 is the best rank", fontsize=9, va="bottom")
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(-height, 2.3)
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()
    return figure


def _draw_mean_ranks(axes: Axes, means: Mapping[str, float], below: float, edge: float) -> None:
    """A line from each mean rank to its label: the better half on the left, the others on the right."""
    for number, (name, value) in enumerate(means.items()):
        is_left = number < -(-len(means) // 2)
        row = number if is_left else len(means) - 1 - number
        y, end = -(below + 0.5 * row), (1.0 - edge if is_left else len(means) + edge)
        axes.plot([value, value, end], [0, y, y], color=COLOURS[0], lw=1.2)
        axes.plot([value], [0], "o", color=COLOURS[0], ms=4)
        axes.text(end, y, f" {name}: {value:.2f} ", ha="right" if is_left else "left", va="center", fontsize=9)
