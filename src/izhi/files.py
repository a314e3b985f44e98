"""Files that are whole or not there, folders that one process writes, and the folder of the cache."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from izhi.errors import DataError, FileError, RunFolderError, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

#: The end of the name of a file that is not whole yet.
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


def open_plain(path: Path) -> BinaryIO:
    """Open a file of a folder that is not trusted: a link, a device or a pipe is refused, and not waited for.

    Raises:
        FileError: if it cannot be read, or is none.
    """
    flags = sum(getattr(os, name, 0) for name in ("O_RDONLY", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"))
    with reading(path):
        if stat.S_ISREG(os.lstat(path).st_mode):
            file = os.fdopen(os.open(path, flags), "rb")
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # also after whoever was quick
                return file
            file.close()
    raise FileError(f"{path} is a link, a folder or a device, expected a file; it is not opened")


#: By how much an archive of arrays may in any case be larger than its file.
_ALWAYS = 16 << 20


def arrays(path: Path, times: int, of: str, by: str) -> dict[str, NDArray[Any]]:
    """The arrays of a NumPy archive (.npz), of which nothing is executed.

    Args:
        path: of the file.
        times: how often larger than its file it may be, beyond 16 MiB.
        of: what it holds, for messages.
        by: what writes such files, for messages.

    Raises:
        DataError: if it is not there, holds something else, or would take more memory than its size justifies.
    """
    import numpy as np  # not at start-up

    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > (most := times * size + _ALWAYS):
            raise DataError(
                f"{path} unpacks to {unpacked:,} bytes, more than its size justifies, expected at most {most:,};"
                f" write it by {by}"
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {problem(error)}") from None
    except Exception as error:  # numpy raises many kinds for files that are none of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} holds no {of} ({shown(reason)}), expected a file of {by}") from None


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are not there yet; FileError if that fails."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def is_in_use(folder: Path) -> bool:
    """Whether a folder is there and holds anything."""
    return folder.is_dir() and any(folder.iterdir())


def new_folder(parent: Path, name: str) -> Path:
    """Make a folder that was not there: of that name, or with the first number behind it that is free."""
    make_folder(parent)
    for number in itertools.count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with writing(path), contextlib.suppress(FileExistsError):
            path.mkdir()
            return path
    raise AssertionError("numbers have no end")


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Within it no other process writes the folder, which is made if it is not there.

    What a process that was killed has left unfinished in it is removed. A folder that was made, and is empty when an
    error ends all, is removed again.

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
        # The lock is on the folder itself, so that no file is left and a killed process holds nothing.
        with _locked(folder, exclusive=True, fix="choose another --out"):
            for path in folder.rglob(f".*{_UNFINISHED}"):
                path.unlink(missing_ok=True)
            yield
    except BaseException:
        with contextlib.suppress(OSError):  # of one that is not empty
            for path in made:
                path.rmdir()
        raise


@contextlib.contextmanager
def undisturbed(folder: Path) -> Iterator[None]:
    """Within it no other process writes the folder, as a run or among others in a folder above it.

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
    """Within it a folder is locked, by this process alone or for reading; RunFolderError if another one has it."""
    with reading(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"another process is writing {folder}; wait for it, or {fix}") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


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
