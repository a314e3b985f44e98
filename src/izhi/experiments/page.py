"""The folder of a finished command as one page of HTML that needs no network, and its figures drawn again."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from izhi import files
from izhi.errors import RunFolderError, SettingError, shown
from izhi.experiments import charts, plots, results
from izhi.experiments.results.result import Chosen, FolderResult
from izhi.experiments.tables import Table

#: Bytes of a figure, at most.
_LARGEST = 16 << 20
#: Characters of a title or label.
_LONGEST = 200

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
pre { background: #f3f4f5; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.chosen { font-weight: bold; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption, footer { color: #555; } footer { margin: 3rem 0; }
@media (prefers-color-scheme: dark) {
  body { background: #16181a; color: #ddd; } pre { background: #24272a; } th, td { border-color: #3a3d40; }
  img { background: white; } figcaption, footer { color: #aaa; }
}
"""


def of(folder: Path) -> str:
    """The page of a folder of a finished command; only its settings, numbers and figures are opened.

    Raises:
        FileError, RunFolderError: if its files are missing or damaged.
        SettingError: if Bokeh is not installed.
    """
    result = results.of(folder)
    return _page(result, _pictures(folder, result.PICTURES))


def _page(result: FolderResult, pictures: Sequence[str]) -> str:
    head, drawn = charts.embedded(result.charts())
    title, tables, chosen = escape(result.title), result.tables(), result.chosen()
    parts = [f"<h1>{title}</h1>"]
    if result.command:
        parts.append(f"<pre>{escape(result.command)}</pre>")
    parts += [_table(table) for table in tables if not table.name]
    parts += [f"<h2>{escape(name)}</h2>\n{chart}" for name, chart in drawn.items()]
    parts += [_table(table) for table in tables if table.name]
    if pictures:
        parts += ["<h2>figures</h2>", *pictures]
    if chosen:
        parts += ["<h2>settings</h2>", "<p>Bold where they are not the usual ones.</p>", *map(_settings, chosen)]
    if result.versions:
        versions = " · ".join(f"{name} {version}" for name, version in result.versions.items())
        parts.append(f"<footer>{escape(versions)}</footer>")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n{head}\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    """A table, which the reader unfolds if it has a name."""
    head = "".join(f"<th>{escape(x)}</th>" for x in table.headings)
    rows = "\n".join("<tr>" + "".join(map(_cell, range(len(row)), row)) + "</tr>" for row in table.rows)
    text = f"<table>\n<tr>{head}</tr>\n{rows}\n</table>"
    return f"<details>\n<summary>{escape(table.name)}</summary>\n{text}\n</details>" if table.name else text


def _cell(column: int, text: str) -> str:
    is_number = column and not any(x.isalpha() for x in text)
    return f"<td{' class=number' if is_number else ''}>{escape(text)}</td>"


def _settings(chosen: Chosen) -> str:
    rows = []
    for name, value in chosen.values.items():
        plain = list(value) if isinstance(value, tuple) else value
        is_usual = name not in chosen.usual or plain == chosen.usual[name]
        mark = "" if is_usual else ' class="chosen"'
        rows.append(f"<tr{mark}><td>{escape(name)}</td><td>{escape(_text(plain))}</td></tr>")
    return f"<h3>{escape(chosen.name)}</h3>\n<table>\n" + "\n".join(rows) + "\n</table>"


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(x, (int, float, str)) for x in value):
        return ", ".join(map(str, value)) or "–"
    return value if isinstance(value, str) and value.isprintable() and len(value) < 200 else shown(value)


def _pictures(folder: Path, known: Mapping[str, str]) -> list[str]:
    pictures = []
    for name, caption in known.items():
        if not os.path.lexists(folder / name):
            continue
        with files.open_plain(folder / name) as file, files.reading(folder / name):
            data = file.read(_LARGEST + 1)
        if not data.startswith(b"\x89PNG") or len(data) > _LARGEST:
            raise RunFolderError(
                f"{folder / name} is no figure of at most {_LARGEST:,} bytes, expected the one of izhi"
            )
        picture = base64.b64encode(data).decode()
        pictures.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    return pictures


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
        plots.save(_again(folder, figure, title, labels), out, reads_formulas=title is not None or labels is not None)
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
