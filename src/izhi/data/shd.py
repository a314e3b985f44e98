"""The Spiking Heidelberg Digits (Cramer et al. 2020), and any other data in that file format.

``<name>_train.h5`` and ``<name>_test.h5`` hold ``spikes/times`` (seconds), ``spikes/units`` (below 700) and ``labels``
of each recording, and ``extra/keys``, the names of the classes. With ``extra/speaker``, accuracy is also reported for
known and for new speakers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.data import download, hdf5
from izhi.data.catalogue import DATASETS, RECORDED, RECORDED_WINDOW, recording_files
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import EventSamples, Recording, checked, first_index, microseconds
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error, of_extra

CHANNELS = 700
#: Largest size of an unpacked archive, bytes.
_LARGEST = 8 << 30


class SHDFile:
    """The recordings of one file.

    Raises:
        DataError: if h5py cannot read it in the time and memory that its size justifies (see ``izhi.data.hdf5``), or
            its columns do not match.
        SettingError: if h5py is not installed.
    """

    shape: tuple[int, ...] = (CHANNELS,)

    def __init__(self, path: Path) -> None:
        self.path = path
        with of_extra("h5py, the reader of this data,", "events"):
            import h5py
        with as_data_error(f"{path} is truncated or not in SHD's format"):
            if not path.is_file():
                raise OSError("there is no such file")
            if (reason := hdf5.problem(path)) is not None:
                raise ValueError(reason)
            columns = hdf5.columns(h5py.File(path, "r"))
            self._times, self._units = columns.times, columns.units
            self.labels: NDArray[np.int64] = np.asarray(columns.labels[:], np.int64)
            self.classes = tuple(bytes(key).decode() for key in columns.keys[:])
            self.speakers = None if columns.speakers is None else np.asarray(columns.speakers[:], np.int64)
        self._check({"spikes/times": self._times, "spikes/units": self._units, "extra/speaker": self.speakers})

    def _check(self, columns: Mapping[str, Sized | None]) -> None:
        if not len(self.labels):
            raise DataError(f"{self.path} holds no recordings, expected one label for each; use an intact copy")
        for name, column in columns.items():
            if column is not None and len(column) != len(self.labels):
                raise DataError(
                    f"{self.path} has {len(column):,} {name} but {len(self.labels):,} labels, expected as many;"
                    " use an intact copy"
                )
        if (k := first_index((self.labels < 0) | (self.labels >= len(self.classes)))) is not None:
            raise DataError(
                f"{self.path}, record {k:,} has label {self.labels[k]}, expected below"
                f" {len(self.classes)}, the number of extra/keys; use an intact copy"
            )

    def read(self, record: int) -> Recording:
        where = f"{self.path}, record {record:,}"
        with as_data_error(f"{where} cannot be read"):
            seconds = np.asarray(self._times[record], np.float64)
            units = np.asarray(self._units[record], np.int64)
        return checked(microseconds(seconds, where), units, CHANNELS, where)


def _by_speaker(train: SHDFile, test: SHDFile) -> Mapping[str, Tensor]:
    if train.speakers is None or test.speakers is None:
        return {}
    known = torch.from_numpy(np.isin(test.speakers, train.speakers))
    groups = {"known_speakers": known, "new_speakers": ~known}
    return groups if all(mask.any() for mask in groups.values()) else {}


@dataclass(frozen=True)
class SHDSource(Source):
    """A data set in this format in the data root."""

    #: see ``izhi.data.source.Source``
    name: str
    about: str = RECORDED
    window = RECORDED_WINDOW

    def files(self, folder: Path) -> Sequence[Path]:
        return recording_files(folder)

    def load(self, folder: Path) -> Dataset:
        train, test = (SHDFile(path) for path in recording_files(folder))
        if train.classes != test.classes:
            raise DataError(
                f"{test.path} has the classes {', '.join(test.classes)}, expected those of"
                f" {train.path}: {', '.join(train.classes)}"
            )
        speakers = None if train.speakers is None else torch.from_numpy(train.speakers)
        samples = EventSamples.of(train), EventSamples.of(test)
        return Dataset(self.name, *samples, train.classes, (CHANNELS,), _by_speaker(train, test), speakers)


@dataclass(frozen=True)
class PublishedSHD(SHDSource):
    """A published data set in this format, each file in an archive of its own."""

    place: str = ""  #: address of the folder that holds the archives, ``<file>.zip``
    checksums: Mapping[str, str] = field(default_factory=dict)  #: name of each file → MD5 of its archive

    def fetch(self, folder: Path, report: Progress) -> None:
        archives = {file: (f"{self.place}{file}.zip", md5) for file, md5 in self.checksums.items()}
        download.fetch_archives(self.name, folder, archives, " and ".join(self.checksums), _LARGEST, report)


# Addresses and checksums as tonic has them (``tonic.datasets.SHD``).
SHD = PublishedSHD(
    "shd",
    DATASETS["shd"],
    "https://zenkelab.org/datasets/",
    {"shd_train.h5": "f3252aeb598ac776c1b526422d90eecb", "shd_test.h5": "1503a5064faa34311c398fb0a1ed0a6f"},
)
