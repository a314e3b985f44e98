"""Data sets by their names: sources, loading, downloads and checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from izhi.data import embedded, hapt, local_files, memory, mnist, nmnist, qtdb, shd, smartwatch, stmnist, ucr
from izhi.data.catalogue import CARRIED, EMBEDDED, folder_of, is_archived, is_made, is_path, provided, require_known
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.functions import is_function
from izhi.data.source import Part, Source
from izhi.errors import SettingError

_ALL = (*embedded.ALL, *mnist.ALL, nmnist.NMNIST, shd.SHD, stmnist.STMNIST, qtdb.ECG, hapt.HAPT, smartwatch.SMARTWATCH)
#: Name → source of the data set.
SOURCES: dict[str, Source] = {one.name: one for one in _ALL}


def source_of(name: str) -> Source:
    """The source of a data set; SettingError for an unknown name."""
    require_known(name)
    if name in SOURCES:
        return SOURCES[name]
    if is_archived(name):
        return ucr.UCRSource(name, *CARRIED[name][1:]) if name in CARRIED else ucr.UCRSource(name)
    if is_made(name):
        return memory.MemoryTask(name)
    if is_function(name) or is_path(name):
        return local_files.source(name)
    entry = provided().get(name)
    if entry is None:
        return shd.SHDSource(name)
    source: Source = entry.load()
    return source


def load(
    name: str, report: Progress = lambda line: None, *, fold: int | None = None, best_inputs: int | None = None,
    over_time: bool | None = None,
) -> Dataset:  # fmt: skip
    """The data set of that name, after a download if it is missing.

    Args:
        name: one of ``DATASETS``, or another that ``izhi.data.catalogue`` describes.
        report: receives a line for each download.
        fold, best_inputs: (embedded data sets) see ``izhi.data.embedded.Embedded``.
        over_time: (files .npz, folders of arrays) whether samples (T, features) are time series; None for what the file
            says.

    Raises:
        SettingError: for an unknown name, and for a fold or inputs of a data set that has files.
        DataError: if it is missing and cannot be downloaded, is truncated, or fails its checksum.
    """
    one = source_of(name)
    if isinstance(one, embedded.Embedded):
        one = replace(one, fold=fold, best_inputs=best_inputs)
    elif fold is not None or best_inputs is not None:
        raise SettingError(f"fold or best_inputs is given, but {name} is none of {', '.join(EMBEDDED)}; leave it out")
    if over_time is not None:
        if not isinstance(one, (local_files.Arrays, local_files.ClassFolder)):
            raise SettingError(
                f"over_time is {over_time}, but {name} is no file .npz or folder of arrays; leave it out"
            )
        one = replace(one, as_series=over_time)
    folder = folder_of(name)
    one.fetch(folder, report)
    return one.load(folder)


def fetch(name: str, report: Progress = lambda line: None) -> Path | None:
    """Download the missing files of a data set; its folder, None for data without files."""
    one, folder = source_of(name), folder_of(name)
    one.fetch(folder, report)
    return None if name in EMBEDDED or is_made(name) else folder


def check(name: str) -> list[Part]:
    """Each file of a data set, or folder or archive of recordings, with its problem; None if it is sound.

    The check reads every recording.
    """
    return source_of(name).check(folder_of(name))


def count(name: str) -> tuple[int, int]:
    """Numbers of training and of test samples; DataError if the data set cannot be loaded."""
    dataset = source_of(name).load(folder_of(name))
    return len(dataset.train), len(dataset.test)


def is_there(name: str) -> bool:
    """Whether the files of a known data set exist."""
    return source_of(name).is_there(folder_of(name))
