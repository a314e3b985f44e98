"""Tables, and reports in Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from izhi.files import write_bytes

#: Characters that a terminal executes.
_CONTROLS = dict.fromkeys(map(ord, "\a\b"))


@dataclass(frozen=True)
class Table:
    """Rows of text under headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    name: str = ""  #: its title; a page folds a table with a name
    right: Collection[int] = ()  #: columns, from 0, that Markdown aligns right

    def _repr_markdown_(self) -> str:
        """The table in Markdown, as notebooks show it."""
        return markdown(self.headings, self.rows, self.right)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """A table in Markdown without a last newline; cells are converted by ``str``, columns ``right`` aligned right."""
    alignment = "|".join("---:" if k in right else "---" for k in range(len(headings)))
    return "\n".join([_line(headings), f"|{alignment}|", *map(_line, rows)])


def write_report(path: Path, *blocks: str | Table) -> None:
    """Write paragraphs, lists and tables to a file of Markdown, whole or not at all; blank ones are left out."""
    texts = (x if isinstance(x, str) else x._repr_markdown_() for x in blocks)
    write_bytes(path, ("\n\n".join(text for text in texts if text.strip()) + "\n").encode())


def percent(accuracies: Sequence[float]) -> str:
    """Mean in per cent, and the standard deviation where there are several."""
    spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * mean(accuracies):.2f}{spread}"


def span(accuracies: Sequence[float]) -> str:
    """Least and most in per cent."""
    return f"{100 * min(accuracies):.2f} … {100 * max(accuracies):.2f}"


def _line(cells: Iterable[object]) -> str:
    """A line of cells, whose text is free of markup and line breaks."""
    texts = (str(cell).replace("|", "\\|").translate(_CONTROLS) for cell in cells)
    return " ".join(f"| {' | '.join(texts)} |".split())
