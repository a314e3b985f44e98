"""Files that are whole or not there, what to do where they cannot be, and the folder of the cache."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from izhi.errors import FileError

_SPACE = "free some space or choose another place"
_FIXES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file: choose another place",
    errno.EEXIST: "a part of the path is a file: choose another place",
    errno.EACCES: "change its permissions or choose another place",
    errno.EPERM: "change its permissions or choose another place",
    errno.EROFS: "choose another place",
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.ENAMETOOLONG: "choose a shorter name",
}


def problem(error: OSError) -> str:
    """Why the system refused, and what to do about it."""
    why = error.strerror or str(error)
    fix = _FIXES.get(error.errno or 0)
    return f"{why}; {fix}" if fix else why


@contextlib.contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, what the system refuses is a FileError that says what cannot be read, and why."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot read {path}: {problem(error)}") from None


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Within it, what the system refuses is a FileError that says what cannot be written, and why."""
    try:
        yield
    except OSError as error:
        raise FileError(f"cannot write {path}: {problem(error)}") from None


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are not there yet; FileError if that fails."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under its name only when it is whole; FileError if that fails.

    A device or a pipe, such as /dev/stdout, is written to as it is.
    """
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
