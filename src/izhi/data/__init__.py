"""Data sets by name. The data root is ``$IZHI_DATA``, else a cache folder of the user."""

from __future__ import annotations

import os
from pathlib import Path

from izhi.data import embedded, mnist
from izhi.data.dataset import Dataset, Samples, split
from izhi.data.mnist import Progress
from izhi.errors import DataError, unknown

__all__ = [
    "DATASETS",
    "Dataset",
    "Samples",
    "check",
    "data_root",
    "fetch",
    "load",
    "require_known",
    "split",
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
}

#: Name → what it is.
DATASETS = {**EMBEDDED, **FILES}


def data_root() -> Path:
    """``$IZHI_DATA``, else ``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    if root := os.environ.get("IZHI_DATA"):
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "izhi"


def require_known(name: str) -> None:
    """Raise SettingError unless there is a data set of that name."""
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)


def load(name: str, report: Progress = lambda line: None) -> Dataset:
    """The data set of that name, downloaded first where that is needed and possible.

    Raises:
        SettingError: for an unknown name.
        DataError: if it is neither there nor downloadable, is truncated, or fails its checksum.
    """
    require_known(name)
    if name in EMBEDDED:
        return embedded.load(name)
    return mnist.load(name, data_root() / name, report)


def fetch(name: str, report: Progress = lambda line: None) -> Path | None:
    """Download what is missing of a data set; the folder that holds it, None if it needs none."""
    require_known(name)
    if name in EMBEDDED:
        return None
    folder = data_root() / name
    mnist.download(name, folder, report)
    return folder


def check(name: str) -> list[tuple[Path, str | None]]:
    """Each file of a data set with what is wrong with it, or None where nothing is."""
    require_known(name)
    results: list[tuple[Path, str | None]] = []
    if name in EMBEDDED:
        return results
    folder = data_root() / name
    for stem, checksum in mnist.CHECKSUMS[name].items():
        path = mnist.find(folder, stem)
        if path is None:
            results.append((folder / f"{stem}.gz", "not there"))
            continue
        try:
            mnist.verify(path, mnist.unpack(path), checksum)
            results.append((path, None))
        except DataError as error:
            results.append((path, str(error)))
    return results
