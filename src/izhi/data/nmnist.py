"""N-MNIST (Orchard et al. 2015): MNIST digits recorded by a moving event camera of 34 × 34 pixels.

``Train/<label>/<number>.bin`` and ``Test/…``; an event is 5 bytes: x, y, then polarity in bit 23 and
the time in microseconds in the 23 bits below. An event with y = 240 marks an overflow of the clock, by
2¹³ µs for it and all later ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.data import download
from izhi.data.catalogue import DATASETS, WINDOWS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.events import EventSamples, Recording, checked, first_index
from izhi.data.source import Source
from izhi.errors import DataError

SHAPE = (2, 34, 34)
_EVENT_BYTES, _OVERFLOW, _INCREMENT = 5, 240, 1 << 13
#: Largest size of an unpacked archive, bytes.
_LARGEST = 4 << 30
#: Largest size of a recording, bytes: a million events; a typical one has 4,000.
_LARGEST_RECORDING = 1_000_000 * _EVENT_BYTES


def parse(raw: bytes, where: str) -> Recording:
    """The events in the bytes of a recording.

    Raises:
        DataError: if it is truncated, or an event has an impossible time or address.
    """
    if len(raw) % _EVENT_BYTES:
        raise DataError(
            f"{where} holds {len(raw):,} bytes, expected a multiple of {_EVENT_BYTES}: it is truncated;"
            " use an intact copy"
        )
    table = np.frombuffer(raw, np.uint8).reshape(-1, _EVENT_BYTES).astype(np.int64)
    x, y, high, middle, low = table.T
    times = ((high & 127) << 16) | (middle << 8) | low
    overflow = y == _OVERFLOW
    times = times + _INCREMENT * np.cumsum(overflow)
    proper = ~overflow
    if (k := first_index(proper & ((x >= SHAPE[2]) | (y >= SHAPE[1])))) is not None:
        raise DataError(
            f"{where}, event {k:,} is at x = {x[k]}, y = {y[k]}, expected below {SHAPE[2]}: use an intact copy"
        )
    units = ((high >> 7) * SHAPE[1] + y) * SHAPE[2] + x
    return checked(times[proper], units[proper], SHAPE[0] * SHAPE[1] * SHAPE[2], where)


class NMNISTFolder:
    """The recordings below ``Train`` or ``Test``, in the order of their labels and names."""

    shape: tuple[int, ...] = SHAPE

    def __init__(self, path: Path) -> None:
        # As bytes in one array: 70,000 paths would take as much memory as their events.
        self.path = path
        names, labels = [], []
        for label in range(10):
            below = path / str(label)
            with files.reading(below):
                entries = os.listdir(below) if below.is_dir() else []
            recordings = sorted(name for name in entries if name.endswith(".bin"))
            names += recordings
            labels += [label] * len(recordings)
        self.names = np.array([os.fsencode(name) for name in names], np.bytes_)
        self.labels: NDArray[np.int64] = np.array(labels, np.int64)

    def file(self, record: int) -> Path:
        """Path of a recording."""
        return self.path / str(self.labels[record]) / os.fsdecode(bytes(self.names[record]))

    def read(self, record: int) -> Recording:
        path = self.file(record)
        if not path.is_file():
            raise DataError(f"{path} is gone, or is no file; use an intact copy")
        with files.reading(path, DataError), path.open("rb") as file:
            raw = file.read(_LARGEST_RECORDING + 1)
        if len(raw) > _LARGEST_RECORDING:
            raise DataError(
                f"{path} holds more than {_LARGEST_RECORDING:,} bytes, expected a million events at most: it is"
                " no recording of N-MNIST; use an intact copy"
            )
        return parse(raw, str(path))


@dataclass(frozen=True)
class NMNISTSource(Source):
    """The recordings of both parts."""

    archives: Mapping[str, tuple[str, str]]  #: part, ``Train`` or ``Test`` → address and MD5 of its archive
    name = "nmnist"
    about = DATASETS["nmnist"]
    #: The complete recording: three saccades of 100 ms.
    window = WINDOWS["nmnist"]

    def files(self, folder: Path) -> Sequence[Path]:
        return [folder / part for part in self.archives]

    def fetch(self, folder: Path, report: Progress) -> None:
        download.fetch_archives(self.name, folder, self.archives, "the folders Train and Test", _LARGEST, report)

    def load(self, folder: Path) -> Dataset:
        train, test = (NMNISTFolder(folder / part) for part in ("Train", "Test"))
        for reader in (train, test):
            if not len(reader.labels):
                raise DataError(f"{reader.path} holds no recordings, expected <label>/<number>.bin; fetch it again")
        return Dataset(self.name, EventSamples.of(train), EventSamples.of(test), tuple("0123456789"), SHAPE)


_ADDRESS = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
# Addresses and checksums as tonic has them (``tonic.datasets.NMNIST``).
NMNIST = NMNISTSource(
    {
        "Train": (
            f"{_ADDRESS}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
            "20959b8e626244a1b502305a9e6e2031",
        ),
        "Test": (f"{_ADDRESS}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded", "69ca8762b2fe404d9b9bad1103e97832"),
    }
)
