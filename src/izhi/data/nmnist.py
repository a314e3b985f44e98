"""N-MNIST (Orchard et al. 2015): MNIST before a moving event camera of 34 × 34 pixels.

``Train/<label>/<number>.bin`` and ``Test/…``; an event is 5 bytes: x, y, then polarity in bit 23 and
the time in microseconds in the 23 bits below. An event with y = 240 marks an overflow of the clock, by
2¹³ µs for it and all later ones.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from izhi.data.dataset import Dataset
from izhi.data.download import Progress, expect_md5, fetch, unzip
from izhi.data.events import Events, EventSamples, checked
from izhi.errors import DataError

SHAPE = (2, 34, 34)
#: The whole recording: three saccades of 100 ms.
WINDOW = 300.0
_EVENT_BYTES, _OVERFLOW, _INCREMENT = 5, 240, 1 << 13
#: Address and MD5 of each archive, as tonic has them (``tonic.datasets.NMNIST``).
_PLACE = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
ARCHIVES = {
    "Train": (
        f"{_PLACE}39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        "20959b8e626244a1b502305a9e6e2031",
    ),
    "Test": (
        f"{_PLACE}05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        "69ca8762b2fe404d9b9bad1103e97832",
    ),
}
_LARGEST = 4 << 30


def parse(raw: bytes, where: str) -> Events:
    """The events in the bytes of a recording.

    Raises:
        DataError: if it is cut off, or an event's time or address cannot be.
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
    outside = np.flatnonzero(proper & ((x >= SHAPE[2]) | (y >= SHAPE[1])))
    if len(outside):
        k = int(outside[0])
        raise DataError(
            f"{where}, event {k:,} is at x = {x[k]}, y = {y[k]}, expected below {SHAPE[2]}:"
            " use an intact copy"
        )
    units = ((high >> 7) * SHAPE[1] + y) * SHAPE[2] + x
    return checked(times[proper], units[proper], SHAPE[0] * SHAPE[1] * SHAPE[2], where)


class Folder:
    """The recordings below ``Train`` or ``Test``, in the order of their labels and names."""

    shape: tuple[int, ...] = SHAPE

    def __init__(self, path: Path) -> None:
        # As bytes, one behind another: 70,000 paths would take as much memory as their events.
        self.path = path
        names, labels = [], []
        for label in range(10):
            below = path / str(label)
            found = (
                sorted(x.name for x in os.scandir(below) if x.name.endswith(".bin"))
                if below.is_dir()
                else []
            )
            names += found
            labels += [label] * len(found)
        self.names = np.array(names, np.bytes_)
        self.labels: NDArray[np.int64] = np.array(labels, np.int64)

    def file(self, record: int) -> Path:
        """Where a recording is."""
        return self.path / str(self.labels[record]) / bytes(self.names[record]).decode()

    def read(self, record: int) -> Events:
        """One recording; DataError, naming its file, if it is broken."""
        path = self.file(record)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        return parse(raw, str(path))


def is_there(folder: Path) -> bool:
    """Whether the folder holds both parts."""
    return all((folder / part).is_dir() for part in ARCHIVES)


def download(folder: Path, report: Progress = lambda line: None) -> None:
    """Fetch and unpack what the folder lacks, about 1.2 GB."""
    for part, (address, checksum) in ARCHIVES.items():
        if (folder / part).is_dir():
            continue
        report(f"downloading N-MNIST, {part}")
        archive = folder / f"{part}.zip"
        if not archive.is_file():

            def whole(path: Path, source: str, checksum: str = checksum) -> None:
                expect_md5(path, checksum, source)

            reason = fetch([address], archive, whole)
            if reason is not None:
                raise DataError(
                    f"nmnist is not in {folder} and cannot be downloaded ({reason}); put the folders"
                    " Train and Test there, or set IZHI_DATA to the folder above it"
                )
        report(f"unpacking {archive}")
        unpacked = folder / f".{part}"
        unzip(archive, unpacked, _LARGEST)
        os.replace(unpacked / part, folder / part)
        unpacked.rmdir()
        archive.unlink()


def load(folder: Path, report: Progress = lambda line: None) -> Dataset:
    """The data set in the folder, downloaded if it is not there."""
    download(folder, report)
    parts = {part: Folder(folder / part) for part in ARCHIVES}
    for part, reader in parts.items():
        if not len(reader.labels):
            raise DataError(
                f"{folder / part} holds no recordings, expected <label>/<number>.bin; fetch it again"
            )
    return Dataset(
        "nmnist", EventSamples.of(parts["Train"]), EventSamples.of(parts["Test"]),
        tuple("0123456789"), SHAPE,
    )  # fmt: skip
