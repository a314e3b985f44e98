"""A check of files in SHD's format by a process of its own, before Izhi reads them.

HDF5's library trusts the content of a file. A damaged file can make it loop forever, crash, or allocate all memory, and
no check from outside foresees all of that. So a process with limits of time and memory reads every recording once, some
megabytes in a tenth of a second. It runs this module as a program and loads h5py but not torch: a third of a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import h5py
    import numpy as np

#: Recordings of a slice; the limit of time starts anew for each.
_SLICE = 256
#: CPU time of a slice, s, and bytes of the file for each further second; a sound slice needs some thousandths.
_SECONDS, _BYTES_PER_SECOND = 0.5, 64 << 20
#: Bytes of memory besides those of h5py, and for each byte of the file.
_MEMORY, _MEMORY_PER_BYTE = 64 << 20, 4


class Columns(NamedTuple):
    """The columns of a file: a row per recording; in keys a row per class."""

    times: h5py.Dataset
    units: h5py.Dataset
    labels: h5py.Dataset
    keys: h5py.Dataset
    speakers: h5py.Dataset | None


def columns(file: h5py.File) -> Columns:
    """The columns of an open file; ValueError if one has another type, or is larger than the file."""
    speakers = _column(file, "extra/speaker", "integers") if "extra/speaker" in file else None
    return Columns(
        _column(file, "spikes/times", "sequences of numbers"),
        _column(file, "spikes/units", "sequences of integers"),
        _column(file, "labels", "integers"),
        _column(file, "extra/keys", "strings"),
        speakers,
    )


def _column(file: h5py.File, name: str, kind: str) -> h5py.Dataset:
    import h5py

    if name not in file:
        raise ValueError(f"{name} is not there")
    column = file[name]
    if not isinstance(column, h5py.Dataset) or column.ndim != 1 or not _is(column.dtype, kind):
        raise ValueError(f"{name} is {column!r}, expected a row of {kind}")
    size = os.path.getsize(file.filename)
    if len(column) * column.dtype.itemsize > size:
        raise ValueError(f"{name} has {len(column):,} rows, too many for a file of {size:,} bytes")
    return column


def _is(dtype: np.dtype[np.generic], kind: str) -> bool:
    import h5py

    if kind == "strings":
        return h5py.check_string_dtype(dtype) is not None
    if kind == "integers":
        return dtype.kind in "iu"
    row = h5py.check_vlen_dtype(dtype)
    return row is not None and row.kind in ("iu" if kind == "sequences of integers" else "iuf")


def read_all(path: str | os.PathLike[str], more_time: Callable[[], None]) -> None:
    """Read every row of a file; ``more_time`` is called before each slice.

    Raises:
        Exception: of h5py; ValueError as ``columns``, and for recordings larger than the file.
    """
    import h5py

    more_time()
    left = os.path.getsize(path)
    with h5py.File(path, "r") as file:
        table = columns(file)
        for rows in (table.labels, table.keys, table.speakers):
            if rows is not None:
                rows[:]
        for rows in (table.times, table.units):
            for begin in range(0, len(rows), _SLICE):
                more_time()
                left -= sum(row.nbytes for row in rows[begin : begin + _SLICE])
                if left < 0:
                    raise ValueError(f"the recordings up to {begin + _SLICE:,} are larger than the file")


def problem(path: Path) -> str | None:
    """Why a file is unreadable in the time and memory that its size justifies; None if it is readable."""
    return run_apart(__name__, path)[1]


def run_apart(module: str, path: Path) -> tuple[bytes, str | None]:
    """Run a module as a program that reads a file: its output, and why it failed, or None."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-m", module, path], env=environment, capture_output=True, check=False)
    if done.returncode <= 0:
        return done.stdout, signal_problem(-done.returncode) if done.returncode else None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return b"", lines[-1] if lines else f"reading it ends with status {done.returncode}"


def signal_problem(by: int) -> str:
    """Why that signal ended a process that read a file."""
    name = signal.Signals(by).name
    return "HDF5 comes to no end with it" if name == "SIGPROF" else f"HDF5 crashes on it, {name}"


def problem_within_limits(path: str) -> str | None:
    """``problem`` within this process, after it has limited its own time and memory; a limit may end the process."""
    import h5py  # noqa: F401  before memory is counted

    def read() -> None:
        size = os.path.getsize(path)
        limit_memory(_MEMORY + _MEMORY_PER_BYTE * size)
        read_all(path, lambda: limit_time(_SECONDS + size / _BYTES_PER_SECOND))

    return problem_of(read)


def problem_of(read: Callable[[], object]) -> str | None:
    """Why a file cannot be read; None if it can."""
    try:
        read()
    except MemoryError:
        return "it takes more memory than its size justifies"
    except Exception as error:  # h5py raises many kinds
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def limit_memory(more: int) -> None:
    """Limit this process to so many further bytes of memory, and disable core dumps; Windows has no limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        size = int(statistics.read_text().split()[0]) * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def limit_time(seconds: float) -> None:
    """End the process by SIGPROF after so many further seconds of CPU time."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    sys.exit(problem_within_limits(sys.argv[1]))
