"""Tables in Markdown, and accuracies in their cells."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from statistics import mean, stdev

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Wider than any table, so that no cell is wrapped or cut.
_WIDTH = 1 << 16


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[int] = ()) -> str:
    """A table as lines of Markdown, the last without a newline; cells are converted by ``str``.

    Args:
        headings: headings of the columns.
        rows: cells, as many as there are headings.
        right: right-aligned columns, 0 for the first.
    """
    table = Table(box=MARKDOWN)
    for number, heading in enumerate(headings):
        table.add_column(_cell(heading), justify="right" if number in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(_cell, row))
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(table)
    # Rich pads cells, so that every line would change with the longest cell.
    lines = [" ".join(line.split()) for line in captured.get().splitlines() if line.strip()]
    lines[1] = "|" + "|".join("---:" if k in right else "---" for k in range(len(headings))) + "|"
    return "\n".join(lines)


def percent(accuracies: Sequence[float]) -> str:
    """Mean in per cent, and the standard deviation where there are several."""
    spread = f" ± {100 * stdev(accuracies):.2f}" if len(accuracies) > 1 else ""
    return f"{100 * mean(accuracies):.2f}{spread}"


def _cell(value: object) -> Text:
    """Text without markup of Rich or Markdown."""
    return Text(" ".join(str(value).split()).replace("|", "\\|"))


__all__ = ["markdown", "percent"]
