"""Data sets by name. The data root is ``$IZHI_DATA``, else a cache folder of the user.

Beside the names below, any folder of the data root that holds ``<folder>_train.h5`` and
``<folder>_test.h5`` in the format of the Spiking Heidelberg Digits is a data set of that name.
"""

from __future__ import annotations

import os
from pathlib import Path

from izhi import files
from izhi.data import embedded, mnist, nmnist, shd, stmnist
from izhi.data.dataset import AnySamples, Dataset, Samples, hold_out_speaker, split, stream
from izhi.data.download import Progress
from izhi.data.events import EventBatch, EventSamples
from izhi.errors import DataError, unknown

__all__ = [
    "DATASETS",
    "AnySamples",
    "Dataset",
    "EventBatch",
    "EventSamples",
    "Samples",
    "check",
    "data_root",
    "fetch",
    "found",
    "has_events",
    "hold_out_speaker",
    "load",
    "require_known",
    "split",
    "stream",
    "usual_window",
]

EMBEDDED = {
    "digits": "1,797 handwritten digits of 8×8 pixels, in scikit-learn",
    "iris": "150 flowers, 4 measurements, 3 species, in scikit-learn",
    "wine": "178 wines, 13 measurements, 3 growers, in scikit-learn",
    "breast_cancer": "569 tumours, 30 measurements, benign or malignant, in scikit-learn",
}
FILES = {
    "mnist": "70,000 handwritten digits of 28×28 pixels, 12 MB",
    "fashion_mnist": "70,000 pieces of clothing of 28×28 pixels, 31 MB",
    "nmnist": "70,000 recordings of MNIST by an event camera of 34×34 pixels, 1.2 GB",
    "shd": "10,420 spoken digits as spikes of 700 channels, 0.4 GB",
    "stmnist": "6,953 digits written on a skin of 10×10 taxels; its authors give it on request",
}
_WINDOWS = {"nmnist": nmnist.WINDOW, "shd": shd.WINDOW, "stmnist": stmnist.WINDOW}

#: Name → what it is.
DATASETS = {**EMBEDDED, **FILES}


def data_root() -> Path:
    """``$IZHI_DATA``, else ``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    if root := os.environ.get("IZHI_DATA"):
        return Path(root)
    return files.cache_folder()


def found() -> list[str]:
    """Names of the folders of the data root that hold further files in SHD's format."""
    root = data_root()
    folders = sorted(x.name for x in root.iterdir() if x.is_dir()) if root.is_dir() else []
    return [name for name in folders if name not in DATASETS and shd.is_there(name, root / name)]


def require_known(name: str) -> None:
    """Raise SettingError unless there is a data set of that name."""
    if name not in DATASETS and name not in found():
        raise unknown("data set", name, [*DATASETS, *found()])


def has_events(name: str) -> bool:
    """Whether a known data set holds recorded events, not vectors."""
    return name not in DATASETS or name in _WINDOWS


def usual_window(name: str) -> float:
    """Milliseconds of a recording of that data set that are used unless a setting says otherwise."""
    return _WINDOWS.get(name, shd.WINDOW)


def load(
    name: str, report: Progress = lambda line: None, *, fold: int | None = None,
    best_inputs: int | None = None,
) -> Dataset:  # fmt: skip
    """The data set of that name, downloaded first where that is needed and possible.

    Args:
        name: one of ``DATASETS``, or of ``found()``.
        report: told what is downloaded.
        fold, best_inputs: (embedded data sets) see ``izhi.data.embedded.load``.

    Raises:
        SettingError: for an unknown name.
        DataError: if it is neither there nor downloadable, is truncated, or fails its checksum.
    """
    require_known(name)
    if name in EMBEDDED:
        return embedded.load(name, fold, best_inputs)
    folder = data_root() / name
    if name in mnist.CHECKSUMS:
        return mnist.load(name, folder, report)
    if name == "nmnist":
        return nmnist.load(folder, report)
    if name == "stmnist":
        return stmnist.load(folder)
    return shd.load(name, folder, report)


def fetch(name: str, report: Progress = lambda line: None) -> Path | None:
    """Download what is missing of a data set; the folder that holds it, None if it needs none."""
    require_known(name)
    if name in EMBEDDED:
        return None
    folder = data_root() / name
    if name in mnist.CHECKSUMS:
        mnist.download(name, folder, report)
    elif name == "nmnist":
        nmnist.download(folder, report)
    elif name == "shd":
        shd.download(folder, report)
    elif name == "stmnist":
        stmnist.load(folder)
    return folder


def check(name: str) -> list[tuple[Path, str | None]]:
    """Each part of a data set with what is wrong with it, or None where nothing is.

    A part is a file, or a folder or archive of recordings, every one of which is read.
    """
    require_known(name)
    if name in EMBEDDED:
        return []
    folder = data_root() / name
    if name in mnist.CHECKSUMS:
        return mnist.check(name, folder)
    if not is_there(name):
        return [(folder, "not there")]
    try:
        dataset = load(name)
    except DataError as error:
        return [(folder, str(error))]
    parts = (dataset.train, dataset.test)
    readers = {id(part.reader): part for part in parts if isinstance(part, EventSamples)}
    return [(folder, part.first_problem()) for part in readers.values()]


def is_there(name: str) -> bool:
    """Whether the files of a known data set are at hand."""
    folder = data_root() / name
    if name in EMBEDDED:
        return True
    if name in mnist.CHECKSUMS:
        return not mnist.missing(name, folder)
    if name == "nmnist":
        return nmnist.is_there(folder)
    if name == "stmnist":
        return stmnist.find(folder) is not None
    return shd.is_there(name, folder)
