"""ST-MNIST (See et al. 2020): digits written on a tactile skin of 10 × 10 taxels.

The authors give the archive on request only. It belongs, unchanged, into the folder ``stmnist`` of the data root.
The archive holds a MATLAB file per recording, ``…/<label>/<name>.mat``, in which ``spiketrain`` is 101 × events: rows 0
to 99 are the taxels with −1, 0 or +1, several of which may be set in one column, and row 100 is the time in seconds.
Files with LUT in their names are no recordings. A fifth of each digit, drawn by a fixed seed, is the test set.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data import matlab
from izhi.data.catalogue import DATASETS, WINDOWS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.embedded import stratified_split
from izhi.data.events import EventSamples, Recording, checked, microseconds
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error, shown

SHAPE = (2, 10, 10)
_TAXELS = 100
#: Largest size of an unpacked recording, bytes.
_LARGEST = 64 << 20


def find(folder: Path) -> Path | None:
    """The archive in the folder, if there is one."""
    return next(iter(sorted(folder.glob("*.zip"))), None)


class STMNISTArchive:
    """The recordings in the archive, in the order of their names."""

    shape: tuple[int, ...] = SHAPE

    def __init__(self, path: Path) -> None:
        self.path = path
        with as_data_error(f"{path} is truncated or no archive"):
            # Stays open: reading its directory for each recording would take most of the time.
            self._archive = zipfile.ZipFile(path)
        self.names = sorted(member.filename for member in self._archive.infolist() if _is_recording(member.filename))
        if not self.names:
            raise DataError(f"{path} holds no recordings, expected …/<label>/<name>.mat")
        self.labels: NDArray[np.int64] = np.array([int(Path(name).parent.name) for name in self.names])

    def read(self, record: int) -> Recording:
        name = self.names[record]
        where = f"{self.path}, {name}"
        with as_data_error(f"{where} cannot be read"):
            member = self._archive.getinfo(name)
            if member.file_size > _LARGEST:
                raise DataError(f"{where} unpacks to {member.file_size:,} bytes, expected at most {_LARGEST:,}")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is neither stored nor deflated")
            with self._archive.open(member) as file:
                # A size limits what zipfile inflates, whatever follows.
                raw = file.read(member.file_size)
        return parse(raw, where)


def _is_recording(name: str) -> bool:
    path = Path(name)
    return path.suffix == ".mat" and "LUT" not in path.name and path.parent.name in set("0123456789")


def parse(raw: bytes, where: str) -> Recording:
    """The events in the bytes of a MATLAB file.

    Raises:
        DataError: if it is another file, or an event has an impossible time or value.
    """
    with as_data_error(f"{where} is truncated or holds no spiketrain"):
        train = matlab.matrix(raw, "spiketrain", _LARGEST)
    if train.ndim != 2 or len(train) != _TAXELS + 1:
        raise DataError(
            f"{where} has a spiketrain of shape {shown(train.shape)}, expected ({_TAXELS + 1}, events); use an"
            " intact copy"
        )
    values, seconds = train[:_TAXELS], train[_TAXELS].astype(np.float64)
    if not np.isin(values, (-1, 0, 1)).all():
        raise DataError(f"{where} has values other than −1, 0 and 1; use an intact copy")
    event, taxel = np.nonzero(values.T)
    positive = values.T[event, taxel] > 0
    return checked(microseconds(seconds, where)[event], positive * _TAXELS + taxel, 2 * _TAXELS, where)


@dataclass(frozen=True)
class STMNISTSource(Source):
    """The recordings of the archive in the folder; see ``izhi.data.source.Source``."""

    name = "stmnist"
    about = DATASETS["stmnist"]
    window = WINDOWS["stmnist"]

    def is_there(self, folder: Path) -> bool:
        return find(folder) is not None

    def fetch(self, folder: Path, report: Progress) -> None:
        self._archive(folder)

    def _archive(self, folder: Path) -> Path:
        path = find(folder)
        if path is None:
            raise DataError(
                f"stmnist is not in {folder}, and its authors give it on request only: put their zip"
                " archive there, unchanged, or set IZHI_DATA to the folder above it"
            )
        return path

    def load(self, folder: Path) -> Dataset:
        """The data set in the folder's archive."""
        path = self._archive(folder)
        samples = EventSamples.of(STMNISTArchive(path))
        try:
            _, held_out = stratified_split(samples.labels.numpy())
        except ValueError:  # too few samples, of a digit or in total
            counts = ", ".join(str(x) for x in samples.labels.bincount(minlength=10).tolist())
            raise DataError(
                f"{path} holds {counts} recordings of the digits 0 to 9, too few to set a fifth of each apart:"
                " use the complete archive"
            ) from None
        test = torch.zeros(len(samples), dtype=torch.bool)
        test[torch.from_numpy(held_out)] = True
        return Dataset(self.name, samples.subset(~test), samples.subset(test), tuple("0123456789"), SHAPE)


STMNIST = STMNISTSource()
