"""Atomic writes of files, folders locked by one process, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import itertools
import math
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from izhi.errors import DataError, FileError, IzhiError, RunFolderError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

#: Suffix of an incomplete file.
_UNFINISHED = ".part"
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
    """The reason of a system error, and a fix."""
    why = error.strerror or str(error)
    fix = _FIXES.get(error.errno or 0)
    return f"{why}; {fix}" if fix else why


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], kind: type[IzhiError] = FileError, *, verb: str = "read") -> Iterator[None]:
    """Within it, a system error becomes an error of that kind: the path that cannot be read, and the reason."""
    try:
        yield
    except OSError as error:
        raise kind(f"cannot {verb} {path}: {problem(error)}") from None


def writing(path: str | os.PathLike[str]) -> contextlib.AbstractContextManager[None]:
    """Within it, a system error becomes a FileError: the path that cannot be written, and the reason."""
    return reading(path, verb="write")


def require_file(path: Path, kind: type[IzhiError] = DataError) -> None:
    """Raise an error of that kind for a pipe or a device: reading it may never end."""
    with reading(path, kind):
        mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise kind(f"{path} is a pipe or a device, expected a file; name a file")


#: Bytes of memory that files may ask for, unless their own size or $IZHI_MEMORY_GB, in GB, allows more.
_MEMORY = 2_000_000_000


def require_memory(need: float, size: int, what: str, kind: type[IzhiError] = DataError) -> None:
    """Raise an error of that kind if files of ``size`` bytes ask for more memory than is allowed, before it is used."""
    try:
        allowed = float(os.environ["IZHI_MEMORY_GB"]) * 1e9
    except (KeyError, ValueError):
        allowed = float(max(_MEMORY, size))
    if need > allowed:
        raise kind(
            f"{what} takes {need / 1e9:,.1f} GB of memory, expected at most {allowed / 1e9:,.1f}; use less data, or set"
            f" IZHI_MEMORY_GB={math.ceil(need / 1e9)}"
        )


def open_plain(path: Path) -> BinaryIO:
    """Open a file of an untrusted folder. Links, devices and pipes are refused, without blocking on them.

    Raises:
        FileError: if it cannot be read, or is no plain file.
    """
    flags = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"))
    with reading(path):
        if stat.S_ISREG(os.lstat(path).st_mode):
            file = os.fdopen(os.open(path, flags), "rb")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it may have been replaced since
                return file
            file.close()
    raise FileError(f"{path} is a link, a folder or a device, expected a file; it is not opened")


#: Bytes by which the arrays of any archive may be larger than its file.
_ALWAYS = 16 << 20


def arrays(path: Path, times: int, of: str, by: str) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive (.npz). No code of it runs.

    Args:
        path: of the file.
        times: largest ratio of the arrays to the file, beyond 16 MiB.
        of: its content, for messages.
        by: the writer of such files, for messages.

    Raises:
        DataError: if it is missing, holds something else, or needs more memory than its size justifies.
    """
    import numpy as np  # not at start-up

    try:
        require_file(path)
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > (most := times * size + _ALWAYS):
            raise DataError(
                f"{path} unpacks to {unpacked:,} bytes, more than its size justifies, expected at most {most:,};"
                f" write it by {by}"
            )
        require_memory(unpacked, size, f"{path}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {problem(error)}") from None
    except Exception as error:  # numpy raises many kinds for other files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} holds no {of} ({shown(reason)}), expected a file of {by}") from None


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents; FileError if that fails."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def is_in_use(folder: Path) -> bool:
    """Whether a folder exists and is not empty."""
    return folder.is_dir() and any(folder.iterdir())


def new_folder(parent: Path, name: str) -> Path:
    """Make a new folder of that name, with the first free number appended if the name exists."""
    make_folder(parent)
    for number in itertools.count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with writing(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("numbers have no end")


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Within it no other process writes the folder, which is made if it is missing.

    Incomplete files of killed processes are removed first. After an error, a new folder that is still empty is removed.

    Raises:
        FileError: if the folder cannot be made.
        RunFolderError: if another process holds it.
    """
    made = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    make_folder(folder)
    try:
        if fcntl is None:
            yield
            return
        # The lock is on the folder itself: it leaves no file, and the system releases it when a process is killed.
        with _locked(folder, exclusive=True, fix="choose another --out"):
            for path in folder.rglob(f".*{_UNFINISHED}"):
                path.unlink(missing_ok=True)
            yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty
            for path in made:
                path.rmdir()
        raise


@contextlib.contextmanager
def undisturbed(folder: Path) -> Iterator[None]:
    """Within it no other process writes the folder or a folder above it.

    Raises:
        FileError: if it is no folder.
        RunFolderError: if another process holds it, or a folder above it.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            with reading(folder):
                own = folder.resolve(strict=True)
            stack.enter_context(_locked(own, exclusive=True, fix="leave it out"))
            for above in own.parents:
                if os.access(above, os.R_OK):
                    stack.enter_context(_locked(above, exclusive=False, fix="leave its runs out"))
        yield


@contextlib.contextmanager
def _locked(folder: Path, *, exclusive: bool, fix: str) -> Iterator[None]:
    """Within it a folder is locked, exclusively or for reading; RunFolderError if another process has locked it."""
    with reading(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is writing {folder}; wait for it, or {fix}") from None
        except OSError:  # the file system has no locks
            pass
        yield
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically, or directly to a device or pipe such as /dev/stdout; FileError if that fails."""
    with writing(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
        else:
            _replace(path.resolve(), data)


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", suffix=_UNFINISHED, dir=path.parent)
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
