"""Data sets that have a name, and what is known of each before it is loaded.

Beside these, a path names a file or folder of one's own (``izhi.data.places``), ``module:function`` a function
(``izhi.data.functions``), packages bring data sets of theirs, and
any folder of the data root that holds ``<folder>_train.h5`` and ``<folder>_test.h5`` in the
format of the Spiking Heidelberg Digits is a data set of that name.
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from izhi import files
from izhi.data import functions
from izhi.errors import SettingError, shown, unknown

#: Name → what it is.
DATASETS = {
    "digits": "1,797 handwritten digits of 8×8 pixels, in scikit-learn",
    "iris": "150 flowers, 4 measurements, 3 species, in scikit-learn",
    "wine": "178 wines, 13 measurements, 3 growers, in scikit-learn",
    "breast_cancer": "569 tumours, 30 measurements, benign or malignant, in scikit-learn",
    "mnist": "70,000 handwritten digits of 28×28 pixels, 12 MB",
    "fashion_mnist": "70,000 pieces of clothing of 28×28 pixels, 31 MB",
    "nmnist": "70,000 recordings of MNIST by an event camera of 34×34 pixels, 1.2 GB",
    "shd": "10,420 spoken digits as spikes of 700 channels, 0.4 GB",
    "stmnist": "6,953 digits written on a skin of 10×10 taxels; its authors give it on request",
}
#: Those that come inside scikit-learn, and those that have files.
EMBEDDED = ("digits", "iris", "wine", "breast_cancer")
FILES = tuple(name for name in DATASETS if name not in EMBEDDED)
#: Milliseconds of a recording that are used unless a setting says otherwise.
WINDOWS = {"nmnist": 300.0, "shd": 1000.0, "stmnist": 2000.0}
#: What is known of a further folder of recordings.
RECORDED, RECORDED_WINDOW = "recordings in the format of the Spiking Heidelberg Digits", 1000.0
#: Parts of an embedded data set, each of which can be the one to test on.
FOLDS = 5


def data_root() -> Path:
    """``$IZHI_DATA``, else ``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    if root := os.environ.get("IZHI_DATA"):
        return Path(root)
    return files.cache_folder()


def recorded(folder: Path) -> tuple[Path, Path]:
    """Where a folder of recordings in SHD's format has its training and its test file, or would have."""
    return folder / f"{folder.name}_train.h5", folder / f"{folder.name}_test.h5"


def found() -> list[str]:
    """Names of the folders of the data root that hold further files in SHD's format."""
    root = data_root()
    with files.reading(root):
        folders = sorted(x for x in root.iterdir() if x.is_dir()) if root.is_dir() else []
    return [x.name for x in folders if x.name not in DATASETS and all(p.is_file() for p in recorded(x))]


def is_path(name: str) -> bool:
    """Whether a data set is named by the path of its file or folder."""
    return name.endswith(".npz") or os.sep in name


def provided() -> dict[str, EntryPoint]:
    """Data sets that installed packages bring, by name: a ``Source`` each, of the entry points ``izhi.datasets``."""
    return {one.name: one for one in entry_points(group="izhi.datasets")}


def require_known(name: str) -> None:
    """Raise SettingError unless there is a data set of that name."""
    if functions.is_function(name):
        functions.require_trusted(name)
        return
    if is_path(name):
        if not Path(name).exists():
            raise SettingError(f"data set {shown(name)} is not there, expected a file .npz or a folder of classes")
        return
    if name not in DATASETS and name not in (others := [*provided(), *found()]):
        raise unknown("data set", name, [*DATASETS, *others])


def usual_window(name: str) -> float | None:
    """Milliseconds of a recording that are used unless a setting says otherwise; None for vectors."""
    require_known(name)
    if functions.is_function(name):
        return functions.window(name)
    if name in DATASETS or is_path(name):
        return WINDOWS.get(name)
    brought = provided().get(name)
    window: float | None = RECORDED_WINDOW if brought is None else brought.load().window
    return window


def has_events(name: str) -> bool:
    """Whether a known data set holds recorded events, not vectors."""
    return usual_window(name) is not None
