"""Access control of the explorer: files of its folder that are no links, and data sets by name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from izhi import data, files
from izhi.data.catalogue import is_path
from izhi.errors import FileError, SettingError, shown
from izhi.trust import is_reference

#: Depth of the search for artifacts below the folder, and the most that are listed.
_LEVELS, _MOST = 4, 500


def inside(folder: Path, path: Path) -> Path:
    """A plain file of the folder, as it is; FileError if it is a link or no file, or outside the folder."""
    with files.reading(path):
        is_plain = stat.S_ISREG(os.lstat(path).st_mode)
    if not is_plain or not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(f"{path} is a link, or lies outside {folder}; the explorer does not open it")
    return path


def artifacts(folder: Path) -> list[str]:
    """The artifacts of the folder and of those below it, by their paths from it."""
    paths = sorted(path.relative_to(folder).as_posix() for path in _below(folder, _LEVELS))
    return paths[:_MOST]


def _below(folder: Path, levels: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            inside_it = list(entries)
    except OSError:
        return
    for entry in inside_it:
        if entry.is_dir(follow_symlinks=False):
            if levels and not entry.name.startswith("."):
                yield from _below(folder / entry.name, levels - 1)
        elif entry.name.endswith(".izhi") and entry.is_file(follow_symlinks=False):
            yield folder / entry.name


def check_data(name: str) -> None:
    """Raise SettingError unless a data set has a name and is present: a run must not name other files or code."""
    if is_path(name) or is_reference(name):
        raise SettingError(
            f"the run's data set is {shown(name)}, which lies outside the folder; the explorer does not open it:"
            " use izhi show RUN"
        )
    if not data.is_there(name):
        raise SettingError(f"the run's data set {shown(name)} is not here; fetch it: izhi data fetch {name}")
