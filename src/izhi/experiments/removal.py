"""Removal of runs, file by file: only files with the names of a run's files."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from izhi import files
from izhi.errors import shown
from izhi.experiments import saved
from izhi.experiments.listing import ListedRun

#: Files that a run, and commands that read it, write into its folder.
_OWN = (
    r"(?:config\.toml|metrics\.csv|(?:checkpoint|best|start)\.pt|report\.(?:md|html)"
    r"|(?:accuracy|confusion|dynamics|sample-\d+)\.png)"
)
#: The same, and unfinished files of a killed process.
_FILES = re.compile(rf"{_OWN}|\.{_OWN}-\w+\.part")
#: Files that a message names.
_MOST_NAMED = 5


def check(run: ListedRun) -> None:
    """Raise RunFolderError if another process holds a run."""
    with files.undisturbed(run.path):
        pass


def remove(run: ListedRun) -> list[str]:
    """Remove the files that a run folder holds by name, and the folder if it is then empty.

    Returns:
        names of what stays: files of others, links, folders.

    Raises:
        FileError: if a file cannot be removed.
        RunFolderError: if another process holds the run.
    """
    with files.undisturbed(run.path), files.writing(run.path):
        with os.scandir(run.path) as entries:
            modes = {entry.name: entry.stat(follow_symlinks=False).st_mode for entry in entries}
        own = {name for name, mode in modes.items() if _FILES.fullmatch(name) and stat.S_ISREG(mode)}
        # The configuration identifies a run: it is removed last, so that an interrupted removal can be repeated.
        for name in sorted(own, key=lambda name: name == saved.CONFIG):
            os.unlink(run.path / name)
        kept = sorted(modes.keys() - own)
        if not kept:
            os.rmdir(run.path.resolve())  # also where it is named by .
    return kept


def named(names: Sequence[str]) -> str:
    """Names of files in one line, the first of many."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(shown(name)[1:-1] for name in names[:_MOST_NAMED]) + more
