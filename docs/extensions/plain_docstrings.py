"""Docstrings as they are written, plain text with ``code`` and indented equations, as what Sphinx reads."""

from __future__ import annotations

import re
from typing import Any

#: What Sphinx would take for emphasis, a substitution or a reference.
_SIGNS = re.compile(r"([*|]|(?<=\w)_(?=\W|$)|`(?!`))")
#: Headings of sections, behind which names are indented that napoleon reads.
_SECTION = re.compile(r"^\s*(Args|Attributes|Raises|Returns|Yields|Returns \(.*\)|Raises \(.*\)):\s*$")


def escaped(line: str) -> str:
    """A line in which nothing but ``code`` is markup."""
    parts = re.split(r"(``.+?``)", line)
    return "".join(part if k % 2 else _SIGNS.sub(r"\\\1", part) for k, part in enumerate(parts))


def rewritten(lines: list[str]) -> list[str]:
    """Indented blocks become literal ones, which keep their lines, and all else loses its markup."""
    found: list[str] = []
    section, literal = False, None
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if literal is not None:
            if not line.strip() or indent >= literal:
                found.append(line)
                continue
            literal = None
        if _SECTION.match(line):
            section = True
            # What napoleon does not know in brackets behind a name, it would take for a type.
            found.append(re.sub(r" \(.*\):", ":", line))
            continue
        if line.strip() and indent == 0:
            section = False
        before = lines[number - 1] if number else ""
        if line.strip() and indent and not section and not before.strip():
            literal = indent
            found += ["::", "", line]
            continue
        found.append(escaped(line))
    return found


def process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Rewrite a docstring before napoleon reads it."""
    if what in ("property", "attribute") and lines:
        # What stands before a colon, napoleon takes for a type; this sign looks like one.
        lines[0] = lines[0].replace(": ", "\ua789 ", 1)
    lines[:] = rewritten(lines)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=100)
    return {"parallel_read_safe": True}
