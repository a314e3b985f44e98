"""Files of other languages beside this module, in which @@NAME or @@{NAME} stands for a value."""

from __future__ import annotations

from pathlib import Path
from string import Template


class _Template(Template):
    delimiter = "@@"


def filled(file: str, **values: object) -> str:
    """The text of a template with its values."""
    return _Template(Path(__file__).with_name(file).read_text(encoding="utf-8")).substitute(values)
