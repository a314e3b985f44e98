"""Figures as files, their colours and their axes."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from izhi.errors import SettingError
from izhi.files import write_bytes

#: Colours that colour-blind readers can distinguish (Okabe & Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")


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


def new_figure(width: float, height: float, title: str, x: str, y: str = "") -> tuple[Figure, Axes]:
    """A figure of that size in inches with axes, their title and labels, and a grid."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, fontsize=11)
    axes.grid(alpha=0.3)
    return figure, axes
