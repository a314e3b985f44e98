"""Files that are whole or not there, and where Izhi keeps what it has downloaded or compiled."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from izhi.errors import RunFolderError


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under its name only when it is whole; RunFolderError if that fails."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RunFolderError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another --out"
        ) from None
