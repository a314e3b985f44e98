"""Figures: accuracy over epochs, and what neurons do under a current. Written as PNG or SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from izhi.errors import SettingError
from izhi.files import write_bytes

if TYPE_CHECKING:  # which loads torch, or scipy
    from izhi.experiments.statistics import Difference
    from izhi.neurons.simulation import Numbers, Trace

#: Colours that stay apart for colour-blind readers (Okabe & Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")
_STYLES = ("-", "--", "-.", ":")
#: The most classes whose counts are written into a confusion matrix.
_MOST_NUMBERED = 20


def check_ending(path: Path) -> None:
    """Raise SettingError unless the path ends like a figure that can be written."""
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise SettingError(f"out is {str(path)!r}, expected a figure's ending: .png, .svg or .pdf")


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's ending, whole or not at all."""
    check_ending(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix[1:], dpi=150)
    write_bytes(path, buffer.getvalue())


def accuracy(curves: Mapping[str, Sequence[Sequence[float]]], title: str, of: str = "test accuracy") -> Figure:
    """Accuracy over epochs, a line per variant (mean over seeds) in a band (least to most).

    Args:
        curves: label → one sequence of accuracies (0 to 1) per seed; one that ended early stays at its end.
        title: of the figure.
        of: what the accuracy is of.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    lowest, highest = 100.0, 0.0
    for number, (label, seeds) in enumerate(curves.items()):
        longest = max(map(len, seeds))
        values = 100 * np.array([[*x, *[x[-1]] * (longest - len(x))] for x in seeds])
        epochs = np.arange(1, values.shape[1] + 1)
        colour = COLOURS[number % len(COLOURS)]
        style = _STYLES[number // len(COLOURS) % len(_STYLES)]
        mean = values.mean(axis=0)
        axes.plot(
            epochs, mean, style, color=colour, marker="o", markersize=3,
            label=f"{label}: {mean[-1]:.1f} %",
        )  # fmt: skip
        if len(values) > 1:
            axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.18, lw=0)
        later = mean[max(1, len(mean) // 5) :] if len(mean) > 1 else mean
        lowest, highest = min(lowest, float(later.min())), max(highest, float(values.max()))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{of} (%)")
    axes.set_title(title, fontsize=11)
    margin = 0.06 * (highest - lowest) + 0.2
    # At least six points of accuracy, so that the scatter of a small test set does not fill the figure.
    bottom = min(lowest - margin, highest - 6.0) if highest > 90 else lowest - margin
    axes.set_ylim(max(0.0, bottom), min(100.0, highest + margin))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8.5, title="after the last epoch")
    return figure


def confusion(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """How many samples of each class were given each class; the colour is the share of the class.

    Args:
        counts: (classes, classes), given classes in columns.
        classes: their names.
        title: of the figure.
    """
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


def outcomes(found: Mapping[str, Mapping[str, Sequence[float]]], title: str) -> Figure:
    """Test accuracy after the last epoch, a row per variant: each seed a point, their mean a line.

    Args:
        found: label → group of test samples → accuracy (0 to 1) of each seed; the same groups in all.
        title: of the figure.
    """
    groups = list(next(iter(found.values())))
    figure = Figure(figsize=(7.5, 1.3 + 0.32 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    for row, of_groups in enumerate(found.values()):
        for number, group in enumerate(groups):
            values = 100 * np.array(of_groups[group])
            colour = COLOURS[number % len(COLOURS)]
            name = group.replace("_", " ") if row == 0 else None
            axes.plot(values, np.full(len(values), row), "o", color=colour, ms=4, alpha=0.5, label=name)
            axes.plot([values.mean()] * 2, [row - 0.32, row + 0.32], color=colour, lw=2.2)
    axes.set_yticks(range(len(found)), labels=list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlabel("test accuracy (%)")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    if len(groups) > 1:
        figure.legend(loc="outside lower center", ncols=len(groups), fontsize=8.5)
    return figure


def differences(places: Sequence[str], found: Mapping[str, Sequence[Difference]], title: str) -> Figure:
    """Differences with their intervals, a row for each place and a colour for each label.

    Args:
        places: names of the rows, from above.
        found: label → a difference (0 to 1) for each place.
        title: of the figure.
    """
    figure = Figure(figsize=(7.5, 1.4 + (0.16 + 0.14 * len(found)) * len(places)), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, of_label) in enumerate(found.items()):
        beside = (number - (len(found) - 1) / 2) * 0.7 / len(found)
        rows = [place + beside for place in range(len(places))]
        values = [100 * x.mean for x in of_label]
        reach = [100 * (x.high - x.mean) for x in of_label]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(values, rows, xerr=reach, fmt="osD^"[number % 4], color=colour, ms=4, lw=1.3, label=label)
    axes.axvline(0, color="0.4", lw=0.9)
    axes.set_yticks(range(len(places)), places)
    axes.set_ylim(len(places) - 0.5, -0.5)
    axes.set_xlabel("points; intervals of 95 % over seeds")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    return figure


def ranks(means: Mapping[str, float], critical: float, cliques: Sequence[Sequence[str]], title: str) -> Figure:
    """Critical-difference diagram (Demšar 2006): mean ranks, and bars that join variants which do not differ.

    Args:
        means: label → mean rank, the best first.
        critical: the least difference that counts, drawn as a bar of its own.
        cliques: groups of labels that do not differ.
        title: of the figure.
    """
    names, values = list(means), list(means.values())
    half = -(-len(names) // 2)
    below = 0.6 + 0.4 * len(cliques)  # where the first label stands, below the axis
    height = below + 0.5 * half
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
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        is_left = number < half
        row = number if is_left else len(names) - 1 - number
        place, end = -(below + 0.5 * row), (low - edge if is_left else high + edge)
        axes.plot([value, value, end], [0, place, place], color=COLOURS[0], lw=1.2)
        axes.plot([value], [0], "o", color=COLOURS[0], ms=4)
        axes.text(
            end, place, f" {name}: {value:.2f} ", ha="right" if is_left else "left", va="center", fontsize=9
        )  # fmt: skip
    for number, group in enumerate(cliques, start=1):
        ends = [means[name] for name in group]
        axes.hlines(-0.4 * number, min(ends) - edge / 4, max(ends) + edge / 4, color=COLOURS[1], lw=4)
    reach = min(critical, high - low)
    cut = "" if reach == critical else " (longer than the axis)"
    axes.hlines(1.3, low, low + reach, color="black", lw=2)
    axes.text(
        low, 1.45, f"critical difference {critical:.2f}{cut}; 1 is the best rank",
        fontsize=9, va="bottom",
    )  # fmt: skip
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(-height, 2.3)
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()
    return figure


def trials(found: Mapping[str, Sequence[tuple[int, float, bool]]], title: str) -> Figure:
    """Validation accuracy of every trial, and the best of each variant so far.

    Args:
        found: variant → number, accuracy (0 to 1) and whether it came to its end, of each trial in turn.
        title: of the figure.
    """
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, (label, points) in enumerate(found.items()):
        colour = COLOURS[number % len(COLOURS)]
        whole = [(x, 100 * y) for x, y, is_whole in points if is_whole]
        stopped = [(x, 100 * y) for x, y, is_whole in points if not is_whole]
        axes.plot(*_columns(stopped), "x", color=colour, ms=6, alpha=0.7)
        axes.plot(*_columns(whole), "o", color=colour, ms=5)
        best = [(x, 100 * y) for x, y in best_so_far(points)]
        axes.plot(*_columns(best), color=colour, drawstyle="steps-post", label=label)
    axes.plot([], [], "o", color="0.4", ms=5, label="whole trial")
    axes.plot([], [], "x", color="0.4", ms=6, label="stopped early")
    axes.set_xlabel("trial; lines: the best so far")
    axes.set_ylabel("validation accuracy (%)")
    axes.set_title(title, fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize=8.5)
    return figure


def best_so_far(points: Sequence[tuple[int, float, bool]]) -> list[tuple[int, float]]:
    """Of trials by number, accuracy and whether they came to their end: those that did, each with the best so far."""
    found: list[tuple[int, float]] = []
    for number, accuracy, is_whole in points:
        if is_whole:
            found.append((number, max(accuracy, found[-1][1]) if found else accuracy))
    return found


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def pareto(series: Mapping[str, Sequence[tuple[float, float, str]]], whole: tuple[float, float], title: str) -> Figure:
    """Accuracy against memory: points of each method, and the line of those that nothing beats.

    Args:
        series: method → (kB, accuracy from 0 to 1, label) of each point.
        whole: kB and accuracy of the float network.
        title: of the figure.
    """
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for number, (method, points) in enumerate(series.items()):
        x, y = [p[0] for p in points], [100 * p[1] for p in points]
        axes.plot(x, y, "osD^"[number % 4], color=COLOURS[number % len(COLOURS)], ms=6, alpha=0.75, label=method)
    best = front([p for points in series.values() for p in points])
    axes.plot(
        [p[0] for p in best],
        [100 * p[1] for p in best],
        color="0.4",
        lw=1.2,
        drawstyle="steps-post",
        zorder=0,
        label="best for its memory",
    )
    for x0, y0, label in best:
        axes.annotate(label, (x0, 100 * y0), (0, 7), textcoords="offset points", ha="center", fontsize=8)
    axes.plot(whole[0], 100 * whole[1], "*", color="black", ms=11, label="float")
    axes.axhline(100 * whole[1], color="black", lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("memory of weights and states (kB); labels: bits of weights/states")
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
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
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.add_subplot()
    names = list(used)
    shares = [100 * used[name] / available[name] for name in names]
    bars = axes.barh(names, shares, color=COLOURS[0], height=0.6)
    labels = [f"{used[n]:,g} of {available[n]:,}" for n in names]
    axes.bar_label(bars, labels, padding=4, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(100.0, 1.3 * max(shares)))
    axes.axvline(100, color="0.5", lw=0.8, ls=":")
    axes.set_xlabel("share of the device (%)")
    axes.set_title(title, fontsize=11)
    return figure


def work(events: Sequence[int], cycles: Mapping[str, Sequence[int]], title: str) -> Figure:
    """Clock cycles of samples against their input spikes; each core its own colour."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for colour, (name, counted) in zip(COLOURS, cycles.items(), strict=False):
        axes.scatter(events, [c / 1000 for c in counted], s=12, color=colour, lw=0, label=name)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("input spikes of a sample")
    axes.set_ylabel("clock cycles (thousands)")
    axes.set_title(title, fontsize=11)
    if len(cycles) > 1:
        axes.legend(fontsize=9)
    return figure


def _draw_v(axes: Axes, trace: Trace, width: float) -> None:
    v = trace.v
    if trace.threshold is not None:
        # A reset in the step of the spike would hide the peak.
        v = np.where(trace.spikes > 0, np.maximum(v, trace.threshold), v)
        v = np.minimum(v, trace.threshold)
    axes.plot(trace.time, v, color=COLOURS[0], lw=width)


def trace(t: Trace, title: str) -> Figure:
    """Current, v, u and spikes of one neuron over time."""
    rows = 3 if t.u is None else 4
    heights = [0.35, 2.2, 1.0, 0.8] if t.u is not None else [0.35, 2.2, 0.8]
    figure = Figure(figsize=(8, 5), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=True, gridspec_kw={"height_ratios": heights})
    biological = t.unit == "mV"
    grid[0].eventplot([t.spike_times], colors="black", linelengths=0.8)
    grid[0].set_yticks([])
    grid[0].set_ylabel("spikes", rotation=0, ha="right", va="center")
    _draw_v(grid[1], t, 1.1)
    grid[1].set_ylabel("v (mV)" if biological else "v")
    if t.u is not None:
        grid[2].plot(t.time, t.u, color=COLOURS[1], lw=1.1)
        grid[2].set_ylabel("u (mV/ms)" if biological else "u")
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


def bars(
    panels: Mapping[str, Sequence[tuple[str, float, float | None]]],
    label: str,
    is_ours: Callable[[str], bool],
) -> Figure:
    """Horizontal bars on a logarithmic axis, fastest first, a panel per title, one below the other.

    Args:
        panels: title → (name, value, times the yardstick or None).
        label: of the axis of values.
        is_ours: whether a name is drawn in the first colour.
    """
    rows = sum(len(entries) for entries in panels.values())
    figure = Figure(figsize=(7.4, 0.9 * len(panels) + 0.23 * rows), layout="constrained")
    heights = [max(1, len(entries)) for entries in panels.values()]
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, entries) in zip(all_axes, panels.items(), strict=True):
        ordered = sorted(entries, key=lambda entry: entry[1])
        colours = [
            "#7F7F7F" if name.startswith("linear") else COLOURS[0] if is_ours(name) else COLOURS[1]
            for name, _, _ in ordered
        ]
        drawn = axes.barh([name for name, _, _ in ordered], [x for _, x, _ in ordered], color=colours)
        axes.bar_label(
            drawn,
            [f"{x:,.{1 if x < 100 else 0}f} ms" + (f"  ×{r:.1f}" if r else "") for _, x, r in ordered],
            padding=3, fontsize=8,
        )  # fmt: skip
        axes.tick_params(axis="y", labelsize=8)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xscale("log")
        axes.set_xlim(1, 40 * max((x for _, x, _ in ordered), default=1))
        axes.set_title(title, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    figure.supxlabel(label, fontsize=9)
    return figure


def _in_two_columns(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure of panels with one vertical axis for all."""
    rows = -(-panels // 2)
    figure = Figure(figsize=(7.4, 0.4 + 2.6 * rows), layout="constrained")
    every = list(figure.subplots(rows, 2, squeeze=False, sharey=True).flat)
    for axes in every[panels:]:
        axes.remove()
    return figure, every[:panels]


def growth(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], label: str) -> Figure:
    """Lines on logarithmic axes, a panel per quantity; a dotted line shows what is in proportion.

    Args:
        panels: label of the horizontal axis → name → (x, y) points.
        label: of the vertical axis.
    """
    figure, all_axes = _in_two_columns(len(panels))
    for axes, (title, lines) in zip(all_axes, panels.items(), strict=True):
        for place, (name, points) in enumerate(lines.items()):
            x, y = zip(*sorted(points), strict=True)
            axes.loglog(x, y, "o-", markersize=3, color=COLOURS[place], label=name)
            if place == 0:
                axes.loglog(
                    x, [y[-1] * value / x[-1] for value in x], ":", color="0.5", lw=1,
                    label="in proportion",
                )  # fmt: skip
        _mark(axes, sorted({x for points in lines.values() for x, _ in points}))
        axes.set_xlabel(title)
        axes.grid(alpha=0.3, which="both")
    all_axes[0].legend(fontsize=8)
    figure.supylabel(label, fontsize=10)
    return figure


def _mark(axes: Axes, values: Sequence[float]) -> None:
    """Ticks of a logarithmic axis at the values that were measured."""
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)


def ratios(panels: Mapping[str, Sequence[tuple[float, float]]], label: str) -> Figure:
    """A ratio over each of several quantities, a panel each; a dashed line is at 1.

    Args:
        panels: label of the horizontal axis → (x, ratio) points.
        label: of the vertical axis.
    """
    figure, all_axes = _in_two_columns(len(panels))
    for axes, (title, points) in zip(all_axes, panels.items(), strict=True):
        if points:
            x, y = zip(*sorted(points), strict=True)
            axes.semilogx(x, y, "o-", markersize=4, color=COLOURS[0])
            _mark(axes, x)
        axes.axhline(1, ls="--", color="0.5", lw=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(title)
        axes.grid(alpha=0.3)
    figure.supylabel(label, fontsize=10)
    return figure


def evolution(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Loss and accuracy over generations.

    Args:
        history: rows of evolution on a device: generation, loss and accuracy of what was found, and best_loss.
        title: of the figure.
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
        title: of the figure.
    """
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    first, rows = history[0], history[1:]
    samples = [row["samples"] for row in rows]
    for name, label, colour in (
        ("adapting", "continual learning", COLOURS[0]), ("not_adapting", "frozen", COLOURS[1])
    ):  # fmt: skip
        values = [100 * row[name] for row in rows]
        left.plot(samples, values, ".", color=colour, markersize=2, alpha=0.4)
        left.plot(samples, smoothed(values), "-", color=colour, label=label)
    left.set_ylabel("accuracy (%)")
    left.set_xlabel("samples that arrived")
    left.set_title("the stream, answered before learning (points: batches)", fontsize=9)
    seen = [row for row in history if "old" in row]
    at = [row["samples"] for row in seen]
    right.plot(at, [100 * row["new"] for row in seen], "o-", color=COLOURS[0], markersize=3,
               label="what is new")  # fmt: skip
    right.plot(at, [100 * row["old"] for row in seen], "s--", color=COLOURS[2], markersize=3,
               label="the old task")  # fmt: skip
    for name, colour, place in (
        ("frozen_new", COLOURS[1], "new, not learning"), ("frozen_old", "0.5", "old, not learning")
    ):  # fmt: skip
        right.axhline(100 * first[name], color=colour, ls=":", lw=1.2, label=place)
    right.set_xlabel("samples that arrived")
    right.set_title("test samples", fontsize=9)
    left.set_ylim(-3, 103)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def dynamics(
    layers: Sequence[
        tuple[
            Mapping[str, tuple[Numbers, Numbers]],
            tuple[Mapping[str, int], Mapping[str, int]],
        ]
    ],
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
    place = np.arange(len(names))
    axes.barh(place - 0.2, [before.get(n, 0) for n in names], 0.4, color="0.75", label="before training")
    axes.barh(place + 0.2, [after.get(n, 0) for n in names], 0.4, color=COLOURS[0], label="after training")
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("neurons", fontsize=8)
