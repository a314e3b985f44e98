"""Figures as files, their colours and axes; charts; resources and work of a core."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from izhi.errors import SettingError
from izhi.files import write_bytes

if TYPE_CHECKING:
    from izhi.experiments.charts import Chart, Series

#: Colours that colour-blind readers can distinguish (Okabe & Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")


def check_ending(path: Path) -> None:
    """Raise SettingError unless the path ends like a figure that can be written."""
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise SettingError(f"out is {str(path)!r}, expected a figure's ending: .png, .svg or .pdf")


def save(figure: Figure, path: Path, *, reads_formulas: bool = False) -> None:
    """Write a figure in the format of the path's ending, whole or not at all.

    ``reads_formulas`` is for texts of the user, in which mathematics stands between dollar signs.
    """
    check_ending(path)
    buffer = io.BytesIO()
    if not reads_formulas:
        _leave_as_text(figure)
    figure.savefig(buffer, format=path.suffix[1:], dpi=150)
    write_bytes(path, buffer.getvalue())


def _leave_as_text(figure: Figure) -> None:
    """Draw names that hold $ as they are; labels of logarithmic axes alone are formulas."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for label in axis.get_ticklabels(which="both") if axis.get_scale() == "log" else ():
                label.set_parse_math(True)


def new_figure(width: float, height: float, title: str, x: str, y: str = "") -> tuple[Figure, Axes]:
    """A figure of that size in inches with axes, their title and labels, and a grid."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    return figure, axes


#: Marker and line of each style.
_FORMS = {"line": "o-", "bare": "-", "points": "o", "crosses": "x", "steps": "-", "level": ":"}
#: Points beyond which each is small and pale.
_MANY = 50


def panels(charts: Sequence[Chart], title: str) -> Figure:
    """Charts side by side, with a legend below each."""
    figure = Figure(figsize=(8.5, 4.2), layout="constrained")
    for axes, chart in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        for number, series in enumerate(chart.series):
            _draw(axes, series, number if series.colour is None else series.colour)
        axes.set(xlabel=chart.x, ylabel=chart.y)
        axes.margins(y=0.12)
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(charts) > 1:
            axes.set_title(chart.name, fontsize=9)
        if chart.is_logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw(axes: Axes, series: Series, number: int) -> None:
    few = len(series.x) <= _MANY
    axes.plot(
        series.x, series.y, _FORMS[series.style], color=COLOURS[number % len(COLOURS)], label=series.label,
        drawstyle="steps-post" if series.style == "steps" else "default", markersize=5 if few else 2,
        alpha=0.75 if few or series.style != "points" else 0.4,
    )  # fmt: skip
    for x, y, text in zip(series.x, series.y, series.texts, strict=False):
        axes.annotate(text, (x, y), (0, 7), textcoords="offset points", ha="center", fontsize=8)


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


def smoothed(values: Sequence[float]) -> list[float]:
    """Means of each value and those before it, over a twentieth of all."""
    width = max(1, len(values) // 20)
    padded = np.pad(np.asarray(values, float), (width - 1, 0), "edge")
    return [float(x) for x in np.convolve(padded, np.ones(width) / width, "valid")]
