"""The source of a data set: its download, its check and its loading."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import EventSamples
from izhi.errors import DataError

#: A file or folder of a data set, with its problem; None if it is sound.
Part = tuple[Path, str | None]


class Source(Protocol):
    """A data set by name. A new one is a file with its source, which ``izhi.data.loading`` names.

    Attributes:
        name: as on the command line, and of its folder below the data root.
        about: a line of description.
        window: default length of a recording, ms; None for a data set of vectors. A source of time series also has
            the attribute ``over_time``, which is True.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> str: ...

    @property
    def window(self) -> float | None: ...

    def is_there(self, folder: Path) -> bool:
        """Whether ``fetch`` has nothing to download."""
        ...

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download what the folder lacks; DataError with a fix if that fails."""
        ...

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder; DataError if it is damaged."""
        ...

    def check(self, folder: Path) -> list[Part]:
        """Every file or folder with its problem; an empty list for a source without files."""
        ...


class CheckedSource:
    """Base of sources without a download, whose ``check`` loads the data set and reads every recording."""

    def is_there(self, folder: Path) -> bool:
        """Whether the files exist."""
        raise NotImplementedError

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download nothing."""

    def load(self, folder: Path) -> Dataset:
        """The data set."""
        raise NotImplementedError

    def path(self, folder: Path) -> Path:
        """The path that ``check`` names."""
        return folder

    def check(self, folder: Path) -> list[Part]:
        """The path with the first problem of each file."""
        path = self.path(folder)
        if not self.is_there(folder):
            return [(path, "not there")]
        try:
            dataset = self.load(folder)
        except DataError as error:
            return [(path, str(error))]
        samples = (dataset.train, dataset.test)
        readers = {id(x.reader): x for x in samples if isinstance(x, EventSamples)}
        return [(path, x.first_problem()) for x in readers.values()] or [(path, None)]
