"""Skip the execution of notebooks whose data set is missing, and add a note to their pages.

The metadata of a notebook name its data set: ``"izhi": {"data": "mnist"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from izhi import data


def lacking(notebook: Mapping[str, Any]) -> str | None:
    """The missing data set of a notebook, else None.

    Any recordings in SHD's format replace SHD.
    """
    name: str | None = notebook["metadata"].get("izhi", {}).get("data")
    is_at_hand = name is None or data.is_there(name) or (name == "shd" and data.recorded_names())
    return None if is_at_hand else name


def left_out(notebook: dict[str, Any], name: str) -> None:
    """Add a note below the title, and turn execution by myst-nb off."""
    note = f":::{{note}}\nThis page was built without the data set {name}, so it has no outputs.\n:::"
    cell = {"cell_type": "markdown", "id": "data", "metadata": {}, "source": note}
    notebook["cells"].insert(1, cell)
    notebook["metadata"]["mystnb"] = {"execution_mode": "off"}


def read(app: Any, page: str, source: list[str]) -> None:
    """Change a notebook before myst-nb parses it."""
    if Path(app.env.doc2path(page)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    if (name := lacking(notebook)) is not None:
        left_out(notebook, name)
        source[0] = json.dumps(notebook)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
