"""Figures of finished commands, drawn again from the numbers that their folders keep in text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from izhi.errors import SettingError, shown
from izhi.experiments import plots, results

#: Characters of a title or label.
_LONGEST = 200


def redraw(
    folder: Path, out: Path, *, figure: str | None = None, title: str | None = None, labels: Sequence[str] | None = None
) -> None:
    """Draw a figure of a folder again. Nothing is trained, and no checkpoint is opened.

    Args:
        folder: folder of a finished command, see ``izhi.experiments.results``.
        out: the file, whose ending selects the format.
        figure: name of one of the folder's figures; None for the first.
        title: its title; None for the original one.
        labels: labels of its lines or rows, in order; None for the original ones.

    Raises:
        SettingError: if the figure has no such lines, or a text cannot be drawn.
        FileError, RunFolderError: if the folder's numbers are missing or damaged.
    """
    plots.check_ending(out)
    for name, texts in (("title", [title or ""]), ("labels", labels or ())):
        for text in texts:
            if not text.isprintable() or len(text) > _LONGEST:
                raise SettingError(f"{name} has {shown(text)}, expected at most {_LONGEST} printable characters")
    try:
        plots.save(_again(folder, figure, title, labels), out)
    except ValueError as error:
        if isinstance(error, SettingError):
            raise
        # Matplotlib reads text between dollar signs as mathematics.
        reason = str(error).strip().splitlines()[-1:]
        raise SettingError(
            f"a title or label cannot be drawn ({shown(' '.join(reason))}), expected plain text, or mathematics"
            " between dollar signs; write \\$ for a dollar sign"
        ) from None


def _again(folder: Path, figure: str | None, title: str | None, labels: Sequence[str] | None) -> Figure:
    result = results.of(folder)
    drawings = result.drawings()
    if figure is not None and figure not in drawings:
        raise SettingError(f"figure is {figure!r}, but {folder} holds {result.FILE}; choose {' or '.join(drawings)}")
    draw = drawings[figure] if figure else next(iter(drawings.values()))
    return draw(result.title if title is None else title, labels)
