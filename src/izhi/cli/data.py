"""The command that lists, fetches and verifies data sets."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass

from izhi import data
from izhi.cli.common import report_line, write_json
from izhi.errors import DataError, SettingError


def data_sets(a: argparse.Namespace) -> None:
    names = a.names or [*data.DATASETS, *data.MEMORY_TASKS, *data.CARRIED, *data.recorded_names()]
    for name in names:
        data.require_known(name)
    states = []
    for name in names:
        if a.action == "fetch":
            if not a.names:
                raise SettingError("fetch names no data set, expected one or more of: " + ", ".join(data.FILES))
            data.fetch(name, report_line)
        states.append(_state_of(name, quick=a.action == "list"))
        print(states[-1])
    print(f"data root: {data.data_root()}")
    write_json(a.json, [asdict(state) for state in states])
    problems = [problem for state in states for problem in state.problems]
    if problems and a.action == "verify" and (a.names or any(state.state == "damaged" for state in states)):
        raise DataError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


@dataclass
class DatasetState:
    """State and problems of a data set, and its numbers of samples if they were counted."""

    name: str
    state: str
    about: str
    problems: list[str]
    train: int | None = None
    test: int | None = None

    def __str__(self) -> str:
        # A subset of a published data set is valid, but smaller.
        about = f"published: {self.about}" if self.name in (*data.FILES, *data.CARRIED) else self.about
        if self.train is not None:
            about = f"{self.train:,} training and {self.test:,} test samples ({about})"
        return f"{self.name:24} {self.state:10} {about}"


def _state_of(name: str, *, quick: bool) -> DatasetState:
    """The state of a data set; ``quick`` skips the reading of recordings and the counting."""
    is_unread = quick and data.has_events(name) and data.is_there(name)
    files = [] if is_unread else data.check(name)
    problems = [f"{path}: {problem}" for path, problem in files if problem]
    state = DatasetState(name, "verified", data.source_of(name).about, problems)
    if not files:
        state.state = "there" if is_unread else "embedded"
    elif problems:
        state.state = "not there" if all(problem == "not there" for _, problem in files) else "damaged"
    if not quick and not problems:
        state.train, state.test = data.count(name)
    return state
