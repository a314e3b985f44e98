"""The source of a data set: its download, its check and its loading."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import EventSamples
from izhi.errors import DataError

#: A file or folder of a data set, with its problem; None if it is sound.
Part = tuple[Path, str | None]


class Source:
    """Base of data sets by name. A new one is a file with its source, which ``izhi.data.loading`` names.

    Attributes:
        name: as on the command line, and of its folder below the data root.
        about: a line of description.
        window: default length of a recording, ms; None for a data set of vectors.
        over_time: whether samples are time series.
    """

    name: str
    about: str
    window: float | None = None
    over_time: bool = False

    def files(self, folder: Path) -> Sequence[Path]:
        """Its files and folders in the folder."""
        return [folder]

    def is_there(self, folder: Path) -> bool:
        """Whether ``fetch`` has nothing to download."""
        return all(path.exists() for path in self.files(folder))

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download what the folder lacks; DataError with a fix if that fails."""

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder; DataError if it is damaged."""
        raise NotImplementedError

    def check(self, folder: Path) -> list[Part]:
        """Every file or folder with its problem, for which it reads every recording; [] for a source without files."""
        paths = self.files(folder)
        if not self.is_there(folder):
            return [(folder, "not there")]
        path = paths[0] if len(paths) == 1 else folder
        try:
            dataset = self.load(folder)
        except DataError as error:
            return [(path, str(error))]
        samples = (dataset.train, dataset.test)
        readers = {id(x.reader): x for x in samples if isinstance(x, EventSamples)}
        return [(path, x.first_problem()) for x in readers.values()] or [(path, None)]
