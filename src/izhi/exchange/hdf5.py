"""What a file of NIR holds, read by a process of its own, with little time and memory, into plain arrays.

HDF5's library believes what a file says (see izhi.data.hdf5), and a file may name others to be read in its place. So
nothing but this module, run as a program, opens one.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi.data.hdf5 import limit_memory, limit_time, signal_problem
from izhi.errors import ExchangeError
from izhi.files import problem

if TYPE_CHECKING:
    import h5py

#: What a file holds: groups by name, and in them arrays; texts are arrays of them.
Tree: TypeAlias = "dict[str, Tree | NDArray[Any]]"

#: Groups within groups, and what there is in all of them, at most.
_DEEPEST, _MOST = 12, 20_000
#: Bytes of all arrays: so many, and for each byte of the file. Arrays of equal numbers, as of neurons, pack well.
_BYTES, _BYTES_PER_BYTE = 64 << 20, 64
#: Seconds of computing: so many, and one more for so many bytes of the arrays.
_SECONDS, _BYTES_PER_SECOND = 5.0, 32 << 20
_NAMES = "names"


def read(path: Path) -> Tree:
    """What is in a file.

    Raises:
        ExchangeError: if it is not there, no HDF5, damaged, or would take more than its size justifies.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ExchangeError(f"cannot read {path}: {problem(error)}") from None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", __name__, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = signal_problem(-done.returncode) if done.returncode < 0 else (lines or ["it is damaged"])[-1]
        raise ExchangeError(f"{path} cannot be read as NIR ({why}); use an intact file, such as nir.write makes")
    return tree(done.stdout)


def tree(packed: bytes) -> Tree:
    """What ``packed`` gave, in groups."""
    found: Tree = {}
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        for number, place in enumerate(json.loads(str(arrays[_NAMES]))):
            group = found
            for name in place[:-1]:
                inner = group.setdefault(name, {})
                assert isinstance(inner, dict), "an array has no members"
                group = inner
            group[place[-1]] = arrays[str(number)]
    return found


def packed(path: str) -> bytes:
    """The arrays of a file, in an archive of numpy's, by this process, which limits its own time and memory first.

    Raises:
        Exception: whatever h5py stumbles over; ValueError for what no file of NIR holds.
    """
    import h5py  # before memory is counted

    size = os.path.getsize(path)
    room = _BYTES + _BYTES_PER_BYTE * size
    with contextlib.suppress(ImportError):  # Windows has no limits
        limit_memory(4 * room)
    limit_time(_SECONDS + room / _BYTES_PER_SECOND)
    with h5py.File(path, "r") as file:
        found = _contents(file, room)
    names = json.dumps([place for place, _ in found])
    arrays: dict[str, Any] = {str(number): values for number, (_, values) in enumerate(found)}
    buffer = io.BytesIO()
    np.savez(buffer, **{_NAMES: np.array(names), **arrays})
    return buffer.getvalue()


def _contents(file: h5py.File, room: int) -> list[tuple[list[str], NDArray[Any]]]:
    """The arrays of a file, each with the names of the groups that it is in and its own."""
    import h5py

    found: list[tuple[list[str], NDArray[Any]]] = []
    waiting: list[tuple[list[str], Any]] = [([], file)]
    count = 0
    while waiting:
        place, group = waiting.pop()
        if len(place) > _DEEPEST:
            raise ValueError("it holds groups within groups without end")
        for name, value in sorted(group.attrs.items()):  # data of golden spikes keep their kinds and times there
            found.append(([*place, f"@{name}"], _plain(np.asarray(value))))
        for name in group:
            count += 1
            if count > _MOST:
                raise ValueError(f"it holds more than {_MOST:,} arrays and groups")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a link to elsewhere")
            inner = group[name]
            if isinstance(inner, h5py.Group):
                waiting.append(([*place, name], inner))
                continue
            if not isinstance(inner, h5py.Dataset) or inner.is_virtual or inner.external:
                raise ValueError(f"{name} is no array of this file")
            if inner.shape is None or inner.dtype.kind not in "fiubSO":
                raise ValueError(f"{name} holds {inner.dtype}, expected numbers or texts")
            room -= inner.nbytes
            if room < 0:
                raise ValueError(f"{name} has shape {inner.shape}, more than the file's size justifies")
            found.append(([*place, name], _plain(np.asarray(inner[()]))))
    return found


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers as they are, and texts, which HDF5 gives as bytes or objects, as texts."""
    if values.dtype.kind in "fiubU":
        return values
    texts = [x.decode() if isinstance(x, bytes) else x for x in values.ravel().tolist()]
    if not all(isinstance(x, str) for x in texts):
        raise ValueError("it holds objects, expected numbers and texts")
    return np.array(texts, dtype=np.str_).reshape(values.shape)


def main(path: str) -> str | None:
    """Write the arrays of a file to standard output; what is wrong with it."""
    try:
        sys.stdout.buffer.write(packed(path))
    except MemoryError:
        return "it takes more memory than its size justifies"
    except Exception as error:  # whatever h5py stumbles over
        return (str(error) or type(error).__name__).splitlines()[0]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
