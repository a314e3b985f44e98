"""The colours of figures, light and dark, and the style of Bokeh's controls, which follow the page's colours."""

from __future__ import annotations

from typing import Any

from bokeh.document import Document
from bokeh.models import Toggle, Widget
from bokeh.themes import Theme

#: Of Bokeh's controls: the page's colours, and a focus that is visible.
CONTROLS = """
:host {
  --color: var(--pst-color-text-base); --background-color: var(--pst-color-background);
  --border-color: var(--pst-color-border); --divider-color: var(--pst-color-border);
  --hover-color: var(--pst-color-surface); --surface-background-color: var(--pst-color-surface);
  --disabled-background-color: var(--pst-color-surface); --disabled-color: var(--pst-color-text-muted);
  --default: var(--pst-color-surface); --default-border: var(--pst-color-border);
  --default-hover: var(--pst-color-surface); --default-hover-border: var(--pst-color-primary);
  --odd: var(--pst-color-surface); --special: var(--pst-color-surface); --selected: var(--explorer-selected);
  color: var(--pst-color-text-base); min-width: 0;
}
label, .bk-btn { white-space: normal; }
.bk-input, .bk-btn-default { background-color: var(--pst-color-background); color: var(--pst-color-text-base); }
.bk-btn-default { border-color: var(--pst-color-border); }
.bk-input option { background: var(--pst-color-background); }
select.bk-input { appearance: auto !important; background-image: none !important; }
.noUi-target { background: var(--pst-color-surface); border-color: var(--pst-color-border); box-shadow: none; }
.noUi-connect { background: var(--pst-color-primary) !important; }
.noUi-handle { background: var(--pst-color-background); border-color: var(--pst-color-text-muted); box-shadow: none; }
:focus-visible { outline: 3px solid var(--explorer-focus) !important; outline-offset: 1px; }
.slick-header-column, .slick-cell, .slick-row, .slick-viewport, .grid-canvas {
  background: var(--pst-color-background) !important; color: var(--pst-color-text-base) !important;
  border-color: var(--pst-color-border) !important;
}
.slick-row.odd .slick-cell { background: var(--pst-color-surface) !important; }
.slick-cell.selected { background: var(--explorer-selected) !important; }
"""


def theme(*, is_dark: bool) -> Theme:
    """The theme of figures."""
    text, line = ("#dfe3e8", "#3a424b") if is_dark else ("#2b3138", "#d9dde2")
    attributes: dict[str, dict[str, Any]] = {
        "Plot": {
            "background_fill_color": None, "border_fill_color": None, "outline_line_color": line,
        },
        "Grid": {"grid_line_color": line, "grid_line_alpha": 0.7},
        "Axis": {
            "axis_line_color": text, "major_tick_line_color": text, "minor_tick_line_color": None,
            "major_label_text_color": text, "axis_label_text_color": text, "axis_label_text_font_style": "normal",
            "axis_label_text_font_size": "12px", "axis_label_standoff": 4,
        },
        "Title": {"text_color": text, "text_font_size": "12px", "standoff": 2},
        "Legend": {"label_text_color": text, "background_fill_alpha": 0, "border_line_color": None},
    }  # fmt: skip
    return Theme(json={"attrs": attributes})


class ThemeSwitch:
    """Whether the page is dark, which the browser says."""

    def __init__(self, document: Document) -> None:
        self._document = document
        #: Set by the page's script.
        self.is_dark = Toggle(name="dark", visible=False)
        self.is_dark.on_change("active", lambda attribute, old, new: self._set(bool(new)))
        self._set(is_dark=False)

    def _set(self, is_dark: bool) -> None:
        self._document.theme = theme(is_dark=is_dark)

    def style_controls(self) -> None:
        """Give all controls of the document their style."""
        for control in self._document.select({"type": Widget}):
            control.stylesheets = [*control.stylesheets, CONTROLS]


__all__ = ["ThemeSwitch", "theme"]
