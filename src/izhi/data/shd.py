"""The Spiking Heidelberg Digits (Cramer et al. 2020), and any other data in that file format.

``<name>_train.h5`` and ``<name>_test.h5`` hold, for each recording, ``spikes/times`` (seconds) and
``spikes/units`` (below 700), ``labels``, and ``extra/keys``, the classes' names; ``extra/speaker``, if
it is there, says who spoke, and accuracy is also reported for known and for new speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import damage, download, hdf5
from izhi.data.catalogue import DATASETS, RECORDED, RECORDED_WINDOW, recorded
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import Events, EventSamples, checked, microseconds
from izhi.data.source import Part, check_recordings
from izhi.errors import DataError, SettingError

CHANNELS = 700
#: An archive unpacks to no more than this.
_LARGEST = 8 << 30


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise SettingError("h5py is not installed, which reads this data; pip install 'izhi[events]'") from None
    return h5py


class File:
    """The recordings of one file.

    Raises:
        DataError: if it cannot be read through in the time and memory that its size justifies, see
            ``izhi.data.hdf5``, or its parts do not fit each other.
        SettingError: if h5py is not there to read it.
    """

    shape: tuple[int, ...] = (CHANNELS,)

    def __init__(self, path: Path) -> None:
        self.path = path
        h5py = _h5py()
        with damage.caught(f"{path} is truncated or not in SHD's format"):
            if not path.is_file():
                raise OSError("there is no such file")
            if (reason := hdf5.problem(path)) is not None:
                raise ValueError(reason)
            columns = hdf5.columns(h5py.File(path, "r"))
            self._times, self._units = columns.times, columns.units
            self.labels: NDArray[np.int64] = np.asarray(columns.labels[:], np.int64)
            self.classes = tuple(bytes(key).decode() for key in columns.keys[:])
            self.speakers: NDArray[np.int64] | None = (
                None if columns.speakers is None else np.asarray(columns.speakers[:], np.int64)
            )
        self._check(len(self._times), len(self._units))

    def _check(self, times: int, units: int) -> None:
        if not len(self.labels):
            raise DataError(f"{self.path} holds no recordings, expected one label for each; use an intact copy")
        counts = {"spikes/times": times, "spikes/units": units}
        if self.speakers is not None:
            counts["extra/speaker"] = len(self.speakers)
        for what, count in counts.items():
            if count != len(self.labels):
                raise DataError(
                    f"{self.path} has {count:,} {what} but {len(self.labels):,} labels, expected as many;"
                    " use an intact copy"
                )
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if len(bad):
            k = int(bad[0])
            raise DataError(
                f"{self.path}, record {k:,} has label {self.labels[k]}, expected below"
                f" {len(self.classes)}, the number of extra/keys; use an intact copy"
            )

    def read(self, record: int) -> Events:
        """One recording; DataError, naming file and record, if it is broken."""
        where = f"{self.path}, record {record:,}"
        with damage.caught(f"{where} cannot be read"):
            seconds = np.asarray(self._times[record], np.float64)
            units = np.asarray(self._units[record], np.int64)
        return checked(microseconds(seconds, where), units, CHANNELS, where)


def _by_speaker(train: File, test: File) -> Mapping[str, Tensor]:
    if train.speakers is None or test.speakers is None:
        return {}
    known = torch.from_numpy(np.isin(test.speakers, train.speakers))
    groups = {"known_speakers": known, "new_speakers": ~known}
    return groups if all(mask.any() for mask in groups.values()) else {}


@dataclass(frozen=True)
class Recorded:
    """A data set in this format that somebody put into the data root.

    Attributes:
        name, about: see ``izhi.data.source.Source``.
    """

    name: str
    about: str = RECORDED
    window = RECORDED_WINDOW

    def paths(self, folder: Path) -> tuple[Path, Path]:
        """Where the training and the test file are, or would be."""
        return recorded(folder)

    def is_there(self, folder: Path) -> bool:
        """Whether the folder holds both files."""
        return all(path.is_file() for path in self.paths(folder))

    def fetch(self, folder: Path, report: Progress) -> None:
        """Nothing to do: it is known by its files alone."""

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder."""
        train, test = (File(path) for path in self.paths(folder))
        if train.classes != test.classes:
            raise DataError(
                f"{test.path} has the classes {', '.join(test.classes)}, expected those of"
                f" {train.path}: {', '.join(train.classes)}"
            )
        speakers = None if train.speakers is None else torch.from_numpy(train.speakers)
        return Dataset(
            self.name, EventSamples.of(train), EventSamples.of(test), train.classes, (CHANNELS,),
            _by_speaker(train, test), speakers,
        )  # fmt: skip

    def check(self, folder: Path) -> list[Part]:
        """Each file with the first of its recordings that is broken."""
        return check_recordings(self, folder)


@dataclass(frozen=True)
class Published(Recorded):
    """A data set in this format that is published, each file in an archive of its own.

    Attributes:
        place: address of the folder that holds the archives, ``<file>.zip``.
        checksums: name of each file → MD5 of its archive.
    """

    place: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)

    def fetch(self, folder: Path, report: Progress) -> None:
        """Fetch and unpack what the folder lacks."""
        for file in self.checksums:
            if not (folder / file).is_file():
                report(f"downloading {file}.zip")
                self._fetch_one(folder, file)

    def _fetch_one(self, folder: Path, file: str) -> None:
        archive = folder / f"{file}.zip"
        reason = download.fetch_once([f"{self.place}{file}.zip"], archive, md5=self.checksums[file])
        if reason is not None:
            raise DataError(
                f"{self.name} is not in {folder} and cannot be downloaded ({reason}); put"
                f" {' and '.join(self.checksums)} there, or set IZHI_DATA to the folder above them"
            )
        download.unpack(archive, folder / file, _LARGEST)


# Addresses and checksums as tonic has them (``tonic.datasets.SHD``).
SHD = Published(
    "shd",
    DATASETS["shd"],
    "https://zenkelab.org/datasets/",
    {
        "shd_train.h5": "f3252aeb598ac776c1b526422d90eecb",
        "shd_test.h5": "1503a5064faa34311c398fb0a1ed0a6f",
    },
)
