"""Text that a program writes into a page when the site is built, in place of a comment of the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def insert(app: Any, page: str, comment: str, write: Callable[[], str]) -> None:
    """Replace the comment of a page by what ``write`` returns, once for each build of the page.

    Args:
        page: its name, such as "docs/gallery".
        comment: a line of the page, such as "<!-- the networks -->".
    """

    def read(app: Any, name: str, source: list[str]) -> None:
        if name == page:
            before, found, after = source[0].partition(comment)
            if not found:
                raise ValueError(f"{page} has no {comment}, expected one, which is replaced")
            source[0] = before + write() + after

    app.connect("source-read", read)
