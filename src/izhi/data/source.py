"""What a data set by name is: where it comes from, whether it is there and sound, and how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import EventSamples
from izhi.errors import DataError

#: A part of a data set, a file or a folder, with what is wrong with it; None where nothing is.
Part = tuple[Path, str | None]


class Source(Protocol):
    """A data set by name. To add one, write its source in a file of its own and name it in ``izhi.data``.

    Attributes:
        name: as on the command line; the folder that it has below the data root.
        about: what it is, in a line.
        window: milliseconds of a recording that are used unless a setting says otherwise; None for a
            data set of vectors. A source of time series also has ``over_time``, which is True.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def window(self) -> float | None: ...

    def is_there(self, folder: Path) -> bool:
        """Whether nothing need be fetched."""
        ...

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download what the folder lacks; DataError, with what to do, where that fails."""
        ...

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder, where it is; DataError if it is damaged."""
        ...

    def check(self, folder: Path) -> list[Part]:
        """Every part with what is wrong with it; none where there are no files."""
        ...


def problem_of(source: Source, folder: Path) -> str | None:
    """What is wrong with a data set, all of which is read; None if nothing is."""
    if not source.is_there(folder):
        return "not there"
    try:
        source.load(folder)
    except DataError as error:
        return str(error)
    return None


def check_recordings(source: Source, folder: Path) -> list[Part]:
    """The parts of a data set of recordings, every one of which is read."""
    if not source.is_there(folder):
        return [(folder, "not there")]
    try:
        dataset = source.load(folder)
    except DataError as error:
        return [(folder, str(error))]
    parts = (dataset.train, dataset.test)
    readers = {id(part.reader): part for part in parts if isinstance(part, EventSamples)}
    return [(folder, part.first_problem()) for part in readers.values()]
