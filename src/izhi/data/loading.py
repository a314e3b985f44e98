"""Data sets from their names: where each comes from, loaded, downloaded and checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from izhi.data import embedded, functions, mnist, nmnist, places, shd, smartwatch, stmnist, ucr
from izhi.data.catalogue import EMBEDDED, folder_of, is_archived, is_path, provided, require_known
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.source import Part, Source
from izhi.errors import SettingError

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
        smartwatch.SMARTWATCH,
    )
}


def source_of(name: str) -> Source:
    """Where the data set of that name comes from; SettingError if there is none."""
    require_known(name)
    if name in SOURCES:
        return SOURCES[name]
    if functions.is_function(name):
        return functions.Function(name)
    if is_archived(name):
        return ucr.Archived(name)
    if is_path(name):
        return places.place(name)
    brought = provided().get(name)
    if brought is None:
        return shd.Recorded(name)
    found: Source = brought.load()
    return found


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
    one = source_of(name)
    if isinstance(one, embedded.Embedded):
        one = replace(one, fold=fold, best_inputs=best_inputs)
    elif fold is not None or best_inputs is not None:
        raise SettingError(f"fold or best_inputs is given, but {name} is none of {', '.join(EMBEDDED)}; leave it out")
    folder = folder_of(name)
    one.fetch(folder, report)
    return one.load(folder)


def fetch(name: str, report: Progress = lambda line: None) -> Path | None:
    """Download what is missing of a data set; the folder that holds it, None if it needs none."""
    one, folder = source_of(name), folder_of(name)
    one.fetch(folder, report)
    return None if name in EMBEDDED else folder


def check(name: str) -> list[Part]:
    """Each part of a data set with what is wrong with it, or None where nothing is.

    A part is a file, or a folder or archive of recordings, every one of which is read.
    """
    return source_of(name).check(folder_of(name))


def count(name: str) -> tuple[int, int]:
    """Training and test samples of a data set as it is there; DataError if it cannot be loaded."""
    dataset = source_of(name).load(folder_of(name))
    return len(dataset.train), len(dataset.test)


def is_there(name: str) -> bool:
    """Whether the files of a known data set are at hand."""
    return source_of(name).is_there(folder_of(name))
