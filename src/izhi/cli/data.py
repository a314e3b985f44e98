"""The command that lists, fetches and verifies data sets."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

from izhi import data
from izhi.cli.common import report_line, write_json
from izhi.errors import DataError, SettingError


def data_sets(a: argparse.Namespace) -> None:
    names = a.names or [*data.DATASETS, *data.CARRIED, *data.recorded_names()]
    for name in names:
        data.require_known(name)
    rows = []
    for name in names:
        if a.action == "fetch":
            if not a.names:
                raise SettingError("fetch names no data set, expected one or more of: " + ", ".join(data.FILES))
            data.fetch(name, report_line)
        rows.append(_looked_at(name, quick=a.action == "list"))
        print(rows[-1])
    print(f"data root: {data.data_root()}")
    write_json(a.json, [asdict(row) for row in rows])
    broken = [problem for row in rows for problem in row.problems]
    if broken and a.action == "verify" and (a.names or any(row.state == "damaged" for row in rows)):
        raise DataError(broken[0] + (f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""))


@dataclass
class _Row:
    """A data set's state, what is wrong with it, and how many samples are there, where they were counted."""

    name: str
    state: str
    about: str
    problems: list[str]
    train: int | None = None
    test: int | None = None

    def __str__(self) -> str:
        # A subset is as sound as what was published, and less.
        about = f"published: {self.about}" if self.name in (*data.FILES, *data.CARRIED) else self.about
        if self.train is not None:
            about = f"{self.train:,} training and {self.test:,} test samples ({about})"
        return f"{self.name:24} {self.state:10} {about}"


def _looked_at(name: str, *, quick: bool) -> _Row:
    """Quick: without the time that it takes to read many recordings, or to count."""
    unread = quick and data.has_events(name) and data.is_there(name)
    files = [] if unread else data.check(name)
    row = _Row(
        name, "verified", data.source_of(name).about, [f"{path}: {problem}" for path, problem in files if problem]
    )
    if not files:
        row.state = "there" if unread else "embedded"
    elif row.problems:
        row.state = "not there" if all(problem == "not there" for _, problem in files) else "damaged"
    if not quick and not row.problems:
        row.train, row.test = data.count(name)
    return row
