"""Interactive charts in a page of HTML, drawn by Bokeh, whose script the page contains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from izhi.errors import of_extra
from izhi.experiments.plots import COLOURS

#: Colours of several lines in one figure, distinguishable for most eyes (Okabe and Ito).
_COLOURS = COLOURS[:7]
_DASHES = ("solid", "dashed", "dotted")
_MARKERS = ("circle", "square", "diamond", "triangle", "inverted_triangle", "hex", "star")

#: Pixels of a chart without its legend, and of a line of that; characters of labels that fit side by side.
_HEIGHT, _LINE, _SHORT = 340, 24, 22

Style = Literal["line", "bare", "points", "crosses", "steps", "level"]


@dataclass(frozen=True)
class Series:
    """A series of a chart, under one name in its legend."""

    label: str  #: its name
    x: Sequence[float]  #: horizontal coordinates of its points
    y: Sequence[float]  #: vertical coordinates of its points
    notes: Sequence[str] = ()  #: a text for the pointer on each point, beside x and y; empty for none
    texts: Sequence[str] = ()  #: a text beside each point; empty for none
    #: a line with its points or bare, points or crosses alone, steps from each point to the right, or a dotted level
    style: Style = "line"
    colour: int | None = None  #: the number of its colour; None for the next one


@dataclass(frozen=True)
class Chart:
    """Series over one axis."""

    name: str  #: its title
    x: str  #: label of its horizontal axis
    y: str  #: label of its vertical axis
    series: Sequence[Series]  #: its series, in the order of the legend
    is_logarithmic: bool = False  #: whether the horizontal axis is


def embedded(charts: Sequence[Chart]) -> tuple[str, dict[str, str]]:
    """The HTML for the head of a page with charts, and that of the charts by name.

    Raises:
        SettingError: if Bokeh is not installed.
    """
    if not charts:
        return "", {}
    with of_extra("bokeh", "report"):
        from bokeh.embed import components
        from bokeh.resources import Resources
    script, divisions = components({chart.name: drawn(chart) for chart in charts})
    return Resources(mode="inline", components=["bokeh"]).render() + script, dict(divisions)


def canvas(x: str, y: str, *, height: int, title: str = "", **others: Any) -> Any:
    """A figure of Bokeh with these labels, which are no TeX, that is as wide as its container."""
    from bokeh.models import PlainText, Title
    from bokeh.plotting import figure

    drawn = figure(
        height=height, sizing_mode="stretch_width", x_axis_label=PlainText(text=x), y_axis_label=PlainText(text=y),
        title=Title(text=PlainText(text=title)) if title else None,
        tools="pan,wheel_zoom,box_zoom,reset,save", active_drag=None, **others,
    )  # fmt: skip
    drawn.toolbar.logo = None
    return drawn


def drawn(chart: Chart, title: str = "") -> Any:
    """The figure of a chart."""
    # Bokeh wraps no legend: entries side by side must fit the narrowest page.
    columns = 2 if max(len(series.label) for series in chart.series) < _SHORT else 1
    height = _HEIGHT + _LINE * -(-len(chart.series) // columns)
    scale = "log" if chart.is_logarithmic else "linear"
    figure = canvas(chart.x, chart.y, height=height, title=title, x_axis_type=scale)
    for number, series in enumerate(chart.series):
        _draw(figure, chart, series, number if series.colour is None else series.colour)
    legend = figure.legend[0]
    legend.click_policy, legend.ncols, legend.location, legend.border_line_color = "hide", columns, "center", None
    figure.add_layout(legend, "below")  # where it hides no line
    return figure


def _draw(target: Any, chart: Chart, series: Series, number: int) -> None:
    from bokeh.models import ColumnDataSource, HoverTool

    data: dict[str, Any] = {"x": list(series.x), "y": list(series.y)}
    tooltips = [(series.label, "@y{0.00}"), (chart.x, "@x{0,0.[00]}")]
    for name, texts in (("note", series.notes), ("text", series.texts)):
        if texts:
            data[name] = list(texts)
    if series.notes:
        tooltips.append(("", "@note"))  # which Bokeh shows as text, and not as markup
    colour = _COLOURS[number % len(_COLOURS)]
    dash = _DASHES[number // len(_COLOURS) % len(_DASHES)]
    common: dict[str, Any] = {"source": ColumnDataSource(data), "legend_label": series.label, "color": colour}
    if series.style == "level":
        target.line("x", "y", line_dash="dotted", line_width=1.5, **common)
        return
    if series.style == "steps":
        drawn = target.step("x", "y", mode="after", line_width=2, line_dash=dash, **common)
    elif series.style in ("line", "bare"):
        drawn = target.line("x", "y", line_width=2, line_dash=dash, **common)
        if series.style == "line":
            target.scatter("x", "y", size=5, **common)
    else:
        marker = "x" if series.style == "crosses" else _MARKERS[number % len(_MARKERS)]
        drawn = target.scatter("x", "y", size=8, alpha=0.7, marker=marker, **common)
    if series.texts:
        target.text("x", "y", "text", source=common["source"], y_offset=-6, text_font_size="11px", text_align="center")
    mode = "mouse" if series.style in ("points", "crosses") else "vline"
    target.add_tools(HoverTool(renderers=[drawn], tooltips=tooltips, mode=mode))
