"""Files of NIR as plain arrays, read by a process of its own with limits on time and memory.

HDF5's library trusts the contents of a file (see izhi.data.hdf5), and a file may refer to others. So only this module,
run as a program, opens one.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi.data.hdf5 import limit_memory, limit_time, problem_of, run_apart
from izhi.errors import ExchangeError
from izhi.files import problem, require_file

if TYPE_CHECKING:
    import h5py

#: The contents of a file: groups by name, and in them arrays; texts are arrays of texts.
Tree: TypeAlias = "dict[str, Tree | NDArray[Any]]"

#: Depth of groups, and number of arrays and groups, at most.
_DEEPEST, _MOST = 12, 20_000
#: Bytes of all arrays: a constant, and for each byte of the file. Arrays of equal numbers, as of neurons, pack well.
_BYTES, _BYTES_PER_BYTE = 64 << 20, 64
#: Seconds of computing: a constant, and bytes of arrays for each further second.
_SECONDS, _BYTES_PER_SECOND = 5.0, 32 << 20


def read(path: Path) -> Tree:
    """The contents of a file.

    Raises:
        ExchangeError: if it does not exist, is damaged or no HDF5, or needs more memory than its size justifies.
    """
    require_file(path, ExchangeError)
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise ExchangeError(f"cannot read {path}: {problem(error)}") from None
    output, reason = run_apart(__name__, path)
    if reason is not None:
        raise ExchangeError(f"{path} cannot be read as NIR ({reason}); use an intact file, such as nir.write makes")
    return tree(output)


def tree(packed: bytes) -> Tree:
    """The result of ``packed`` in groups."""
    root: Tree = {}
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        for name in arrays.files:
            *groups, last = json.loads(name)
            group = root
            for one in groups:
                inner = group.setdefault(one, {})
                assert isinstance(inner, dict), "an array has no members"
                group = inner
            group[last] = arrays[name]
    return root


def packed(path: str) -> bytes:
    """The arrays of a file, in an archive of numpy's; this process first limits its own time and memory.

    Raises:
        Exception: of h5py; ValueError for contents that no file of NIR has.
    """
    import h5py  # before memory is limited

    size = os.path.getsize(path)
    room = _BYTES + _BYTES_PER_BYTE * size
    limit_memory(4 * room)
    limit_time(_SECONDS + room / _BYTES_PER_SECOND)
    with h5py.File(path, "r") as file:
        contents = _contents(file, room)
    arrays: dict[str, Any] = {json.dumps(path): values for path, values in contents}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _contents(file: h5py.File, room: int) -> list[tuple[list[str], NDArray[Any]]]:
    """The arrays of a file, each with its path: the names of its groups and its own."""
    import h5py

    contents: list[tuple[list[str], NDArray[Any]]] = []
    pending: list[tuple[list[str], Any]] = [([], file)]
    count = 0
    while pending:
        path, group = pending.pop()
        if len(path) > _DEEPEST:
            raise ValueError("it holds groups within groups without end")
        for name, value in sorted(group.attrs.items()):  # kinds and times of golden spikes
            contents.append(([*path, f"@{name}"], _plain(np.asarray(value))))
        for name in group:
            count += 1
            if name.startswith("@"):
                raise ValueError(f"{name} has the name of an attribute")
            if count > _MOST:
                raise ValueError(f"it holds more than {_MOST:,} arrays and groups")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a link to elsewhere")
            inner = group[name]
            if isinstance(inner, h5py.Group):
                pending.append(([*path, name], inner))
                continue
            if not isinstance(inner, h5py.Dataset) or inner.is_virtual or inner.external:
                raise ValueError(f"{name} is no array of this file")
            if inner.shape is None or inner.dtype.kind not in "fiubSO":
                raise ValueError(f"{name} holds {inner.dtype}, expected numbers or texts")
            room -= max(inner.nbytes, 8 * inner.size)  # numbers become float64
            if room < 0:
                raise ValueError(f"{name} has shape {inner.shape}, more than the file's size justifies")
            contents.append(([*path, name], _plain(np.asarray(inner[()]))))
    return contents


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Numbers unchanged; bytes and objects, as which HDF5 reads texts, as texts."""
    if values.dtype.kind in "fiubU":
        return values
    texts = [x.decode() if isinstance(x, bytes) else x for x in values.ravel().tolist()]
    if not all(isinstance(x, str) for x in texts):
        raise ValueError("it holds objects, expected numbers and texts")
    return np.array(texts, dtype=np.str_).reshape(values.shape)


def main(path: str) -> str | None:
    """Write the arrays of a file to standard output; returns the reason if they cannot be read."""
    return problem_of(lambda: sys.stdout.buffer.write(packed(path)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
