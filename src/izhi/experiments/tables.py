"""Tables in Markdown, and accuracies in their cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from statistics import mean, stdev

#: Characters that a terminal executes.
_CONTROLS = dict.fromkeys(map(ord, "\a\b"))


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """A table as lines of Markdown, the last without a newline; cells are converted by ``str``.

    Args:
        headings: headings of the columns.
        rows: cells, as many as there are headings.
        right: right-aligned columns, 0 for the first.
    """
    alignment = "|".join("---:" if k in right else "---" for k in range(len(headings)))
    return "\n".join([_line(headings), f"|{alignment}|", *map(_line, rows)])


def percent(accuracies: Sequence[float]) -> str:
    """Mean in per cent, and the standard deviation where there are several."""
    spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * mean(accuracies):.2f}{spread}"


def _line(cells: Iterable[object]) -> str:
    """A line of cells, whose text is free of markup and line breaks."""
    texts = (str(cell).replace("|", "\\|").translate(_CONTROLS) for cell in cells)
    return " ".join(f"| {' | '.join(texts)} |".split())
