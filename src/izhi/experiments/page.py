"""A run or a comparison as one page of HTML, which opens anywhere and asks no network for anything."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from izhi import files
from izhi.errors import RunFolderError, SettingError, shown
from izhi.experiments import figures, saved
from izhi.experiments.settings import GROUP_OF, GROUPS

#: Figures that commands write into folders of runs and comparisons, and what each shows.
FIGURES: Mapping[str, str] = {
    "accuracy.png": "accuracy over epochs",
    "outcomes.png": "accuracy of each seed",
    "confusion.png": "confusion matrix",
    "dynamics.png": "coefficients before and after training",
    "pareto.png": "accuracy against memory",
    "trials.png": "trials of the search",
    "fitness.png": "fitness over generations",
    "drift.png": "accuracy under drift",
    "adaptation.png": "adaptation under drift",
}
#: Bytes of a figure, at most.
_LARGEST = 16 << 20
#: Of several lines in one figure, colours that are told apart by most eyes (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
pre { background: #f3f4f5; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.chosen { font-weight: bold; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption, footer { color: #555; } footer { margin: 3rem 0; }
@media (prefers-color-scheme: dark) {
  body { background: #16181a; color: #ddd; } pre { background: #24272a; } th, td { border-color: #3a3d40; }
  img { background: white; } figcaption, footer { color: #aaa; }
}
"""


def of(folder: Path) -> str:
    """The page of a folder.

    Args:
        folder: of a run or a comparison; nothing else in it but its settings, numbers and figures is opened.

    Raises:
        FileError, RunFolderError: if what it holds is not there, or damaged.
        SettingError: if Bokeh is not installed.
    """
    if os.path.lexists(folder / figures.COMPARISON):
        return _of_comparison(folder)
    if os.path.lexists(folder / saved.METRICS):
        return _of_run(folder)
    raise RunFolderError(
        f"{folder} holds neither {saved.METRICS} nor {figures.COMPARISON}, expected the folder of a run or a comparison"
    )


def _of_run(folder: Path) -> str:
    config = saved.config(folder)
    settings, history = saved.settings(config), saved.history(folder)
    lines = config.decode(errors="replace").split("\n")
    header = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
    command = saved.command_of(lines)
    charts = {}
    if history[-1]["epoch"]:
        epochs = [row["epoch"] for row in history]
        for what, factor, unit in (("accuracy", 100, " (%)"), ("loss", 1, "")):
            parts = [p for p in ("train", "validation", "test") if all(f"{p}_{what}" in row for row in history)]
            series = {part: (epochs, [factor * row[f"{part}_{what}"] for row in history]) for part in parts}
            if series:
                charts[f"{what}{unit}"] = series
    last = [(name.replace("_", " "), _number(name, value)) for name, value in history[-1].items()]
    return _page(
        figures.title_of_run(settings), command, charts, ("after the last epoch", ""), last, folder, settings,
        [line for line in header if line != command],
    )  # fmt: skip


def _of_comparison(folder: Path) -> str:
    found = figures.comparison(folder)
    series = {}
    for row in found.rows:
        count = min(len(seed) for seed in row.history)
        means = [
            100 * sum(seed[k].test_accuracy for seed in row.history) / len(row.history) for k in range(count)
        ]  # fmt: skip
        series[row.label] = (list(range(1, count + 1)), means)
    rows = [
        (row.label, f"{100 * sum(row.test_accuracy) / len(row.test_accuracy):.2f}",
         f"{100 * min(row.test_accuracy):.2f} … {100 * max(row.test_accuracy):.2f}", ", ".join(map(str, row.seeds)))
        for row in found.rows
    ]  # fmt: skip
    headings = ("variant", "mean test accuracy (%)", "least … most", "seeds")
    charts = {"mean test accuracy (%)": series}
    return _page(found.title, "", charts, headings, rows, folder, {}, [])


def _page(
    title: str, command: str, charts: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    headings: Sequence[str], rows: Iterable[Sequence[str]], folder: Path, settings: Mapping[str, object],
    versions: Sequence[str],
) -> str:  # fmt: skip
    head, drawn = _charts(charts)
    parts = [f"<h1>{escape(title)}</h1>"]
    if command:
        parts.append(f"<pre>{escape(command)}</pre>")
    parts += [_table(headings, rows), *(f"<h2>{escape(name)}</h2>\n{chart}" for name, chart in drawn.items())]
    pictures = _pictures(folder)
    if pictures:
        parts += ["<h2>figures</h2>", *pictures]
    if settings:
        parts += ["<h2>settings</h2>", "<p>Bold where they are not the usual ones.</p>", *_settings(settings)]
    if versions:
        parts.append(f"<footer>{escape(' · '.join(versions))}</footer>")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n{head}\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _charts(
    charts: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
) -> tuple[str, dict[str, str]]:
    """What the head of a page needs for figures that answer to the pointer, and the figures by their names."""
    if not charts:
        return "", {}
    try:
        from bokeh.embed import components
        from bokeh.resources import Resources
    except ImportError:
        raise SettingError("bokeh is not installed; pip install 'izhi[report]'") from None
    script, divisions = components({name: _chart(name, series) for name, series in charts.items()})
    return Resources(mode="inline", components=["bokeh"]).render() + script, dict(divisions)


def _chart(name: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Any:
    from bokeh.models import HoverTool
    from bokeh.plotting import figure

    found = figure(
        height=340, sizing_mode="stretch_width", x_axis_label="epoch", y_axis_label=name,
        tools="pan,wheel_zoom,box_zoom,reset,save", active_drag=None,
    )  # fmt: skip
    for number, (label, (epochs, values)) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ("solid", "dashed", "dotted")[number // len(_COLOURS) % 3]
        line = found.line(epochs, values, legend_label=label, color=colour, line_width=2, line_dash=dash)
        found.scatter(epochs, values, legend_label=label, color=colour, size=5)
        found.add_tools(HoverTool(renderers=[line], tooltips=[(label, "@y{0.00}"), ("epoch", "@x")], mode="vline"))
    legend = found.legend[0]
    legend.click_policy, legend.orientation, legend.ncols = "hide", "horizontal", "auto"
    found.add_layout(legend, "below")  # where it hides no line
    found.toolbar.logo = None
    return found


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(x)}</th>" for x in headings)
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{' class=number' if k else ''}>{escape(cell)}</td>" for k, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


def _number(name: str, value: float) -> str:
    if "accuracy" in name:
        return f"{100 * value:.2f} %"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"


def _settings(settings: Mapping[str, object]) -> list[str]:
    found = []
    for place, group in GROUPS.items():
        usual = group().model_dump(mode="json")
        rows = []
        for name in (x for x in settings if GROUP_OF[x] == place):
            value = settings[name]
            plain = list(value) if isinstance(value, tuple) else value
            chosen = ' class="chosen"' if plain != usual[name] else ""
            rows.append(f"<tr{chosen}><td>{escape(name)}</td><td>{escape(_text(plain))}</td></tr>")
        found.append(f"<h3>{escape(place)}</h3>\n<table>\n" + "\n".join(rows) + "\n</table>")
    return found


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and all(isinstance(x, (int, float, str)) for x in value):
        return ", ".join(map(str, value)) or "–"
    return value if isinstance(value, str) and value.isprintable() and len(value) < 200 else shown(value)


def _pictures(folder: Path) -> list[str]:
    """The figures of a folder within the page."""
    found = []
    for name, what in FIGURES.items():
        if not os.path.lexists(folder / name):
            continue
        with files.open_plain(folder / name) as file, files.reading(folder / name):
            data = file.read(_LARGEST + 1)
        if not data.startswith(b"\x89PNG") or len(data) > _LARGEST:
            raise RunFolderError(
                f"{folder / name} is no figure of at most {_LARGEST:,} bytes, expected the one of izhi"
            )
        picture = base64.b64encode(data).decode()
        found.append(
            f'<figure><img alt="{escape(what)}" src="data:image/png;base64,{picture}">'
            f"<figcaption>{escape(what)}</figcaption></figure>"
        )
    return found


__all__ = ["FIGURES", "of"]
