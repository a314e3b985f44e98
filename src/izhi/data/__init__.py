"""Data sets by name. The data root is ``$IZHI_DATA``, else a cache folder of the user.

Beside the names below, any folder of the data root that holds ``<folder>_train.h5`` and
``<folder>_test.h5`` in the format of the Spiking Heidelberg Digits is a data set of that name.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from izhi import files
from izhi.data import embedded, mnist, nmnist, shd, stmnist
from izhi.data.dataset import AnySamples, Dataset, Samples, hold_out_speaker, split, stream
from izhi.data.download import Progress
from izhi.data.events import EventBatch, EventSamples
from izhi.data.source import Part, Source
from izhi.errors import SettingError, unknown

__all__ = [
    "DATASETS",
    "EMBEDDED",
    "FILES",
    "SOURCES",
    "AnySamples",
    "Dataset",
    "EventBatch",
    "EventSamples",
    "Samples",
    "Source",
    "check",
    "data_root",
    "fetch",
    "found",
    "has_events",
    "hold_out_speaker",
    "is_there",
    "load",
    "require_known",
    "source",
    "split",
    "stream",
    "usual_window",
]

#: Name → where the data set of that name comes from.
SOURCES: dict[str, Source] = {
    one.name: one
    for one in (
        embedded.DIGITS,
        embedded.IRIS,
        embedded.WINE,
        embedded.BREAST_CANCER,
        mnist.MNIST,
        mnist.FASHION_MNIST,
        nmnist.NMNIST,
        shd.SHD,
        stmnist.STMNIST,
    )
}
#: Name → what it is.
DATASETS = {name: one.about for name, one in SOURCES.items()}
#: Those that come inside scikit-learn, and those that have files.
EMBEDDED = [name for name, one in SOURCES.items() if isinstance(one, embedded.Embedded)]
FILES = [name for name in SOURCES if name not in EMBEDDED]


def data_root() -> Path:
    """``$IZHI_DATA``, else ``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    if root := os.environ.get("IZHI_DATA"):
        return Path(root)
    return files.cache_folder()


def found() -> list[str]:
    """Names of the folders of the data root that hold further files in SHD's format."""
    root = data_root()
    with files.reading(root):
        folders = sorted(x.name for x in root.iterdir() if x.is_dir()) if root.is_dir() else []
    return [name for name in folders if name not in SOURCES and shd.Recorded(name).is_there(root / name)]


def source(name: str) -> Source:
    """Where the data set of that name comes from; SettingError if there is none."""
    if name in SOURCES:
        return SOURCES[name]
    others = found()
    if name not in others:
        raise unknown("data set", name, [*SOURCES, *others])
    return shd.Recorded(name)


def require_known(name: str) -> None:
    """Raise SettingError unless there is a data set of that name."""
    source(name)


def has_events(name: str) -> bool:
    """Whether a known data set holds recorded events, not vectors."""
    return source(name).window is not None


def usual_window(name: str) -> float | None:
    """Milliseconds of a recording that are used unless a setting says otherwise; None for vectors."""
    return source(name).window


def load(
    name: str, report: Progress = lambda line: None, *, fold: int | None = None,
    best_inputs: int | None = None,
) -> Dataset:  # fmt: skip
    """The data set of that name, downloaded first where that is needed and possible.

    Args:
        name: one of ``DATASETS``, or of ``found()``.
        report: told what is downloaded.
        fold, best_inputs: (embedded data sets) see ``izhi.data.embedded.Embedded``.

    Raises:
        SettingError: for an unknown name, and for a fold or inputs of a data set that has files.
        DataError: if it is neither there nor downloadable, is truncated, or fails its checksum.
    """
    one = source(name)
    if isinstance(one, embedded.Embedded):
        one = replace(one, fold=fold, best_inputs=best_inputs)
    elif fold is not None or best_inputs is not None:
        raise SettingError(f"fold or best_inputs is given, but {name} is none of {', '.join(EMBEDDED)}; leave it out")
    folder = data_root() / name
    one.fetch(folder, report)
    return one.load(folder)


def fetch(name: str, report: Progress = lambda line: None) -> Path | None:
    """Download what is missing of a data set; the folder that holds it, None if it needs none."""
    one, folder = source(name), data_root() / name
    one.fetch(folder, report)
    return None if name in EMBEDDED else folder


def check(name: str) -> list[Part]:
    """Each part of a data set with what is wrong with it, or None where nothing is.

    A part is a file, or a folder or archive of recordings, every one of which is read.
    """
    return source(name).check(data_root() / name)


def is_there(name: str) -> bool:
    """Whether the files of a known data set are at hand."""
    return source(name).is_there(data_root() / name)
