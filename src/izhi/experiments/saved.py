"""The settings and metrics of a run folder: text files, read without torch and validated.

Readers raise FileError for a file that cannot be read, and RunFolderError for one that is damaged or too large.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from izhi import files
from izhi.errors import RunFolderError, SettingError, shown
from izhi.experiments.settings import FIELDS, Experiment, parsed, typed

CONFIG = "config.toml"
METRICS = "metrics.csv"
#: The plan of several runs.
PLAN = "plan.json"
#: The most bytes of a configuration, of metrics, and of a line of metrics.
_LARGEST_CONFIG, _LARGEST_METRICS, _LONGEST_LINE = 256 << 10, 64 << 20, 64 << 10
#: The most dots in a line of a configuration: TOML readers are very slow with keys of very many parts.
_MOST_DOTS = 50
#: How each configuration of a run begins.
_HEADER = b"# izhi "

Row = dict[str, float]


def command_of(lines: Sequence[str]) -> str:
    """The command that began a run, from the first lines of its configuration; empty if they name none."""
    second = lines[1].removeprefix("#").strip() if len(lines) > 1 else ""
    return second if second.startswith("izhi ") else ""


def is_of_runs(folder: Path) -> bool:
    """Whether a folder is that of a run, or of several."""
    return any(os.path.lexists(folder / name) for name in (CONFIG, METRICS, PLAN))


def config(folder: Path) -> bytes:
    """The configuration of a run."""
    data = whole(folder / CONFIG, _LARGEST_CONFIG)
    if not data.startswith(_HEADER):
        begin, header = data[:20].decode(errors="replace"), _HEADER.decode().strip()
        raise RunFolderError(f"{CONFIG} begins with {shown(begin)}, expected {header!r}: it is of no run")
    return data


def settings(config: bytes) -> dict[str, object]:
    """All settings of a configuration as plain values; those that are newer than it have their defaults.

    They are validated one by one, not together, and their data set may be missing.
    """
    dots = max(line.count(b".") for line in config.split(b"\n"))
    if dots > _MOST_DOTS:
        raise RunFolderError(f"{CONFIG} has {dots:,} dots in a line, expected at most {_MOST_DOTS}")
    try:
        values = parsed(config, Path(CONFIG))
        for name in values:  # of a hundred thousand no nearest ones are looked for
            if name not in FIELDS:
                raise RunFolderError(f"{CONFIG} has the setting {shown(name)}, which is unknown here")
        return {**_defaults(), **typed(values)}
    except SettingError as error:
        raise RunFolderError(error) from None


@cache
def _defaults() -> dict[str, object]:
    return Experiment().flat(plain=True)


def last(folder: Path) -> Row:
    """Metrics after the last epoch of a run; only the ends of the file are read."""
    with files.open_plain(folder / METRICS) as file, files.reading(folder / METRICS):
        head = file.readline(_LONGEST_LINE)
        size = file.seek(0, 2)
        file.seek(max(len(head), size - _LONGEST_LINE))
        lines = file.read(_LONGEST_LINE).splitlines(keepends=True)
    if len(lines) == 1 and size - len(head) > _LONGEST_LINE:
        raise RunFolderError(f"{METRICS} has a line of more than {_LONGEST_LINE:,} bytes, expected a row of numbers")
    return _row(_names(head), lines[-1] if lines else b"")


def history(folder: Path) -> list[Row]:
    """Metrics of every epoch of a run."""
    head, *rows = whole(folder / METRICS, _LARGEST_METRICS).splitlines(keepends=True) or [b""]
    names = _names(head)
    return [_row(names, row) for row in rows or [b""]]


def whole(path: Path, most: int) -> bytes:
    """The content of a plain file of a run folder; FileError or RunFolderError if it is no plain file, or too large."""
    with files.open_plain(path) as file, files.reading(path):
        data = file.read(most + 1)
    if len(data) > most:
        raise RunFolderError(f"{path.name} is larger than {most:,} bytes, expected the file that izhi wrote")
    return data


def _names(line: bytes) -> list[str]:
    names = line.decode(errors="replace").strip().split(",")
    if not line.endswith(b"\n") or "epoch" not in names:
        raise RunFolderError(f"{METRICS} begins with {shown(line[:40])}, expected names of metrics, among them epoch")
    return names


def _row(names: Sequence[str], line: bytes) -> Row:
    """A row of metrics, some of which may be empty; its epoch and accuracies are validated."""
    values = line.decode(errors="replace").strip().split(",")
    if not line.endswith(b"\n") or len(values) != len(names):
        raise RunFolderError(f"{METRICS} has a row {shown(line[:40])}, expected {len(names)} numbers and a line's end")
    try:
        row = {name: float(value) for name, value in zip(names, values, strict=True) if value}
    except ValueError:
        raise RunFolderError(f"{METRICS} has a row {shown(line[:40])}, expected numbers") from None
    if not row.get("epoch", math.nan).is_integer() or not 0 <= row["epoch"] < 1e9:
        raise RunFolderError(f"{METRICS} has a row of epoch {row.get('epoch')}, expected a whole number")
    for name, value in row.items():
        if "accuracy" in name and not 0 <= value <= 1:
            raise RunFolderError(f"{METRICS} has {shown(name)} = {value}, expected 0 to 1")
    return row
