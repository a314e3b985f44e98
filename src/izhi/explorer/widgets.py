"""The widgets of the explorer's pages: figures, tables, texts, and background tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, TypeVar

from bokeh.document import Document
from bokeh.layouts import row
from bokeh.models import Button, Div, HoverTool

from izhi.errors import IzhiError
from izhi.experiments.charts import canvas
from izhi.experiments.plots import COLOURS

Found = TypeVar("Found")

BLUE, ORANGE, GREEN, MARK, *_ = COLOURS
GREY = "#7f8790"

_STYLE = """
:host { overflow-x: auto; color: var(--pst-color-text-base); }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 2px 12px 2px 0; border-bottom: 1px solid var(--pst-color-border); }
th { font-weight: 600; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--pst-color-surface); padding: 8px; overflow-x: auto; margin: 4px 0; white-space: pre-wrap; }
.bk-clearfix { width: 100%; } .bad { color: var(--explorer-bad); } h3 { margin: 8px 0 4px; font-size: 1.05rem; }
"""

#: Of figures: their colours are those of light pages.
_BRIGHTER = "@media (prefers-color-scheme: dark) { .bk-Canvas { filter: brightness(1.35); } }"


def chart(x: str, y: str, *, height: int = 190, title: str = "", **others: Any) -> Any:
    """A figure with these labels that is as wide as its container."""
    drawn = canvas(x, y, height=height, title=title, min_border_right=12, **others)
    drawn.toolbar.autohide = True
    return brightened(drawn)


def brightened(drawn: Any) -> Any:
    """The figure, with brighter colours on a dark page."""
    drawn.stylesheets = [_BRIGHTER]
    return drawn


def legend_outside(drawn: Any, place: str = "below", **values: Any) -> None:
    """Put the legend of a figure, if it has one, outside its axes."""
    for legend in drawn.legend[:1]:
        legend.update(**values)
        drawn.add_layout(legend, place)


def legend_above(drawn: Any) -> None:
    """Put the legend of a figure, if it has one, in a line above its axes."""
    legend_outside(
        drawn, "above", orientation="horizontal", label_text_font_size="11px", border_line_color=None, padding=0,
        spacing=8, glyph_width=16, label_height=14, glyph_height=14, margin=2,
    )  # fmt: skip


def point_out(drawn: Any, renderer: Any, *tips: tuple[str, str]) -> None:
    """Show a tooltip under the pointer."""
    drawn.add_tools(HoverTool(renderers=[renderer], tooltips=list(tips)))


def text(name: str, html: str = "") -> Any:
    """Text in HTML, as wide as its container; what looks like TeX stays text, since MathJax makes links of it."""
    return Div(text=html, name=name, sizing_mode="stretch_width", stylesheets=[_STYLE], disable_math=True)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, words: int = 1) -> str:
    """A table of HTML, whose first columns hold words and the others numbers."""
    head = "".join(f"<th>{escape(x)}</th>" for x in headings)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=number' if k >= words else ''}>{escape(str(x))}</td>" for k, x in enumerate(line))
        + "</tr>"
        for line in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def mistake(error: Exception) -> str:
    """An error as HTML."""
    return f'<p class="bad">{escape(str(error))}</p>'


def beside(*children: Any, least: int = 300, **others: Any) -> Any:
    """Widgets side by side where they fit, else one below the other."""
    for child in children:
        child.styles = {**child.styles, "flex": f"1 1 {least}px", "min-width": f"min({least}px, 100%)"}
    return row(*children, sizing_mode="stretch_width", stylesheets=[":host { flex-wrap: wrap; gap: 8px; }"], **others)


class BackgroundTask:
    """A computation in a thread of its own, while the page stays responsive; one at a time.

    Args:
        document: document of the page.
        buttons: start it, and are disabled while it runs.
        say: receives its status, in HTML.
    """

    def __init__(self, document: Document, buttons: Sequence[Button], say: Callable[[str], None]) -> None:
        self._document, self._buttons, self._say = document, buttons, say
        self.is_under_way = False

    def start(self, about: str, work: Callable[[], Found], done: Callable[[Found], None]) -> None:
        """Run a task, and then show its result on the page; nothing happens while another task runs.

        Args:
            about: a description for people.
            work: returns the result; an IzhiError is shown.
            done: shows the result.
        """
        if self.is_under_way:
            return
        self._set(under_way=True)
        self._say(f"<p>{escape(about)} …</p>")
        threading.Thread(target=self._do, args=(work, done), daemon=True).start()

    def _set(self, *, under_way: bool) -> None:
        self.is_under_way = under_way
        for button in self._buttons:
            button.disabled = under_way

    def _do(self, work: Callable[[], Found], done: Callable[[Found], None]) -> None:
        try:
            result = work()
        except IzhiError as error:
            self._document.add_next_tick_callback(lambda error=error: self._end(mistake(error)))
        except BaseException:
            self._document.add_next_tick_callback(lambda: self._end('<p class="bad">it failed, see the terminal</p>'))
            raise
        else:
            self._document.add_next_tick_callback(lambda: self._show(result, done))

    def _show(self, result: Found, done: Callable[[Found], None]) -> None:
        self._end("")
        done(result)

    def _end(self, html: str) -> None:
        self._set(under_way=False)
        self._say(html)
