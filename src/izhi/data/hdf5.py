"""Files in SHD's format, read through by a process of its own before anything else reads them.

HDF5's library believes what a file says. A damaged one can hold it in a loop that no interrupt ends, crash
it, or let it take memory without end, and no check from outside foresees all of that. So a process with
little time and memory reads every recording once, some megabytes in a tenth of a second; what it has read,
any other process can read.

The process runs this module as a program: it loads h5py but not torch, and so starts in a third of a second.
"""

from __future__ import annotations

import contextlib
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

#: Recordings that are read at once; every time, the process has its seconds anew.
_SLICE = 256
#: Of computing (waiting for a disk is none) for a slice, and one more for so many bytes of the file: a
#: sound slice needs some thousandths.
_SECONDS, _BYTES_PER_SECOND = 0.5, 64 << 20
#: Bytes of memory beside what h5py takes, and for each byte of the file.
_MEMORY, _MEMORY_PER_BYTE = 64 << 20, 4


class Columns(NamedTuple):
    """The data sets of a file: a row per recording; of keys a row per class."""

    times: h5py.Dataset
    units: h5py.Dataset
    labels: h5py.Dataset
    keys: h5py.Dataset
    speakers: h5py.Dataset | None


def columns(file: h5py.File) -> Columns:
    """The data sets of an open file; ValueError if one is of another kind, or larger than the file."""
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
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or not _is(found.dtype, kind):
        raise ValueError(f"{name} is {found!r}, expected a row of {kind}")
    size = os.path.getsize(file.filename)
    if len(found) * found.dtype.itemsize > size:
        raise ValueError(f"{name} has {len(found):,} rows, too many for a file of {size:,} bytes")
    return found


def _is(dtype: np.dtype[np.generic], kind: str) -> bool:
    import h5py

    if kind == "strings":
        return h5py.check_string_dtype(dtype) is not None
    if kind == "integers":
        return dtype.kind in "iu"
    row = h5py.check_vlen_dtype(dtype)
    return row is not None and row.kind in ("iu" if kind == "sequences of integers" else "iuf")


def read_through(path: str | os.PathLike[str], more_time: Callable[[], None]) -> None:
    """Read every row of a file.

    Args:
        path: of the file.
        more_time: called before each step that takes its time.

    Raises:
        Exception: whatever h5py stumbles over; ValueError as ``columns``, and for recordings larger than
            the file.
    """
    import h5py

    more_time()
    left = os.path.getsize(path)
    with h5py.File(path, "r") as file:
        found = columns(file)
        for rows in (found.labels, found.keys, found.speakers):
            if rows is not None:
                rows[:]
        for rows in (found.times, found.units):
            for begin in range(0, len(rows), _SLICE):
                more_time()
                left -= sum(row.nbytes for row in rows[begin : begin + _SLICE])
                if left < 0:
                    raise ValueError(f"the recordings up to {begin + _SLICE:,} are larger than the file")


def problem(path: Path) -> str | None:
    """Why a file cannot be read in the time and memory that its size justifies; None if it can."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-m", __name__, path], env=environment, capture_output=True, check=False)
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return ended(-done.returncode)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"reading it ends with status {done.returncode}"


def ended(by: int) -> str:
    """Why a process that read a file was ended by that signal."""
    name = signal.Signals(by).name
    return "HDF5 comes to no end with it" if name == "SIGPROF" else f"HDF5 crashes on it, {name}"


def problem_within_limits(path: str) -> str | None:
    """The same found by this process, which limits its own time and memory first, and may not survive."""
    import h5py  # noqa: F401  before memory is counted

    try:
        size = os.path.getsize(path)
        with contextlib.suppress(ImportError):  # Windows has no limits
            limit_memory(_MEMORY + _MEMORY_PER_BYTE * size)
        read_through(path, lambda: limit_time(_SECONDS + size / _BYTES_PER_SECOND))
    except MemoryError:
        return "it takes more memory than its size justifies"
    except Exception as error:  # whatever h5py stumbles over
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


def limit_memory(more: int) -> None:
    """Let this process take so many bytes of memory more than it has, and leave no image of itself behind."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        size = int(statistics.read_text().split()[0]) * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def limit_time(seconds: float) -> None:
    """End the process by SIGPROF after so many seconds more of computing."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


if __name__ == "__main__":
    sys.exit(problem_within_limits(sys.argv[1]))
