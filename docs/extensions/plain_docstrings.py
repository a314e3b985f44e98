"""Convert docstrings, plain text with ``code`` and indented equations, to reStructuredText."""

from __future__ import annotations

import re
from typing import Any

#: Characters that Sphinx would parse as emphasis, a substitution or a reference.
_SIGNS = re.compile(r"([*|]|(?<=\w)_(?=\W|$)|`(?!`))")
#: Headings of the sections that napoleon parses.
_SECTION = re.compile(r"^\s*(Args|Attributes|Raises|Returns|Yields|Returns \(.*\)|Raises \(.*\)):\s*$")


def escaped(line: str) -> str:
    """The line with all markup escaped except ``code``."""
    parts = re.split(r"(``.+?``)", line)
    return "".join(part if k % 2 else _SIGNS.sub(r"\\\1", part) for k, part in enumerate(parts))


def rewritten(lines: list[str]) -> list[str]:
    """Make indented blocks literal blocks, and escape markup elsewhere."""
    converted: list[str] = []
    section, literal = False, None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None:
            if not line.strip() or indent >= literal:
                converted.append(line)
                continue
            literal = None
        if _SECTION.match(line):
            section = True
            # Napoleon would parse unknown text in brackets after a name as a type.
            converted.append(re.sub(r" \(.*\):", ":", line))
            continue
        if line.strip() and indent == 0:
            section = False
        before = lines[number - 1] if number else ""
        if line.strip() and indent and not section and not before.strip():
            literal = indent
            converted += ["::", "", line]
            continue
        converted.append(escaped(line))
    return converted


def process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring before napoleon reads it."""
    if what in ("property", "attribute") and lines:
        # Napoleon parses text before a colon as a type; this character looks like a colon.
        lines[0] = lines[0].replace(": ", "\ua789 ", 1)
    lines[:] = rewritten(lines)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
