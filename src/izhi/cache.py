"""Where Izhi keeps what it has downloaded or compiled."""

from __future__ import annotations

import os
from pathlib import Path


def folder() -> Path:
    """``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"
