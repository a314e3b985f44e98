"""Data sets in files of one's own, named by their path: a NumPy archive, time series in files .ts, or a folder for each
class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from izhi import files
from izhi.data import ts
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.own import Array
from izhi.data.source import Part, problem_of
from izhi.errors import DataError, shown
from izhi.files import problem

#: How often larger than its file an archive may be.
_MOST_PACKED = 250
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
#: The most bytes that the samples of a folder may take.
_MOST_BYTES = 8 << 30


@dataclass(frozen=True)
class _Place:
    """What a path of one's own names; see ``izhi.data.source.Source``.

    Attributes:
        name: the path.
    """

    name: str
    about = "files of your own"
    window = None

    def fetch(self, folder: Path, report: Progress) -> None:
        """Nothing to do."""

    def check(self, folder: Path) -> list[Part]:
        """The path, all of which is read."""
        return [(Path(self.name), problem_of(self, folder))]

    def is_there(self, folder: Path) -> bool:
        """Whether the path is there."""
        return Path(self.name).exists()

    def load(self, folder: Path) -> Dataset:
        """The data set."""
        raise NotImplementedError


@dataclass(frozen=True)
class Arrays(_Place):
    """A file .npz with the arrays x and y, or x_train, y_train, x_test and y_test, and if wished classes.

    With ``over_time`` x is (samples, T, features), time series. With ``lengths``, or lengths_train and lengths_test, of
    each only so many steps count.
    """

    about = "arrays of your own"

    def load(self, folder: Path) -> Dataset:
        """The data set; nothing in the file is executed."""
        arrays = files.arrays(Path(self.name), _MOST_PACKED, "arrays", "np.savez")
        if "x_train" in arrays:
            x, y = self._series(arrays, "x_train", "lengths_train"), arrays.get("y_train")
            has_test = "x_test" in arrays
            test = (self._series(arrays, "x_test", "lengths_test"), arrays.get("y_test")) if has_test else None
        else:
            x, y, test = self._series(arrays, "x", "lengths"), arrays.get("y"), None
        if x is None:
            raise DataError(
                f"{self.name} holds {', '.join(sorted(arrays)) or 'nothing'}, expected x and y, or x_train, y_train,"
                " x_test and y_test"
            )
        classes = [str(c) for c in arrays["classes"]] if "classes" in arrays else None
        over_time = bool(arrays.get("over_time", np.array(False)).any()) or isinstance(x, list)
        return _named(self.name, x, y, test, classes, over_time=over_time)

    def _series(self, arrays: dict[str, Array], name: str, lengths: str) -> Array | list[Array] | None:
        """An array, of which each sample is cut off at its length, if the file gives lengths."""
        x, ends = arrays.get(name), arrays.get(lengths)
        if x is None or ends is None:
            return x
        if x.ndim != 3 or ends.shape != x.shape[:1] or ends.dtype.kind not in "iu":
            raise DataError(
                f"{self.name} has {name} {x.shape} and {lengths} {ends.shape} of {ends.dtype}, expected (samples, T,"
                " features), and a whole number for each sample"
            )
        odd = (ends < 1) | (ends > x.shape[1])
        if odd.any():
            at = int(odd.argmax())
            raise DataError(
                f"{self.name}: {lengths}[{at}] is {ends[at]}, expected 1 to {x.shape[1]}, the steps of {name}"
            )
        return [one[:end] for one, end in zip(x, ends, strict=True)]


@dataclass(frozen=True)
class SeriesFiles(_Place):
    """A file .ts, or a folder with one file *_TRAIN.ts; *_TEST.ts beside it has the test samples."""

    about = "time series of your own"

    def load(self, folder: Path) -> Dataset:
        """The data set."""
        return ts.load(Path(self.name).name, *ts.pair(Path(self.name)))


@dataclass(frozen=True)
class ClassFolder(_Place):
    """A folder with a folder for each class, which holds images or arrays (.npy); if wished below train/ and test/."""

    about = "images or arrays of your own, a folder for each class"

    def load(self, folder: Path) -> Dataset:
        """The data set."""
        path = Path(self.name)
        parts = [path / "train", path / "test"] if (path / "train").is_dir() else [path]
        classes = sorted(x.name for x in parts[0].iterdir() if x.is_dir())
        if not classes:
            raise DataError(f"{parts[0]} holds no folders, expected one for each class")
        room = _MOST_BYTES
        found = []
        for part in parts:
            samples, labels = [], []
            for label, name in enumerate(classes):
                for file in sorted((part / name).iterdir()) if (part / name).is_dir() else []:
                    if file.suffix.lower() in (*_IMAGES, ".npy"):
                        samples.append(_sample(file))
                        labels.append(label)
                        room -= samples[-1].nbytes
                        if room < 0:
                            raise DataError(f"{path} holds more than {_MOST_BYTES:,} bytes of samples; use fewer")
                        if samples[-1].shape != samples[0].shape:
                            raise DataError(
                                f"{file} has shape {samples[-1].shape}, expected {samples[0].shape} as the first has"
                            )
            if not samples:
                raise DataError(f"{part} holds no samples, expected {', '.join(_IMAGES)} or .npy in folders of classes")
            found.append((np.stack(samples), labels))
        return _named(self.name, *found[0], found[1] if len(found) > 1 else None, classes)


def _sample(file: Path) -> Array:
    """An image, (height, width) in grey or (3, height, width), or an array."""
    try:
        found: Array
        if file.suffix.lower() == ".npy":
            found = np.load(file, allow_pickle=False)
            return found
        from PIL import Image

        with Image.open(file) as image:
            is_grey = image.mode in ("1", "L", "I", "F")
            found = np.asarray(image.convert("L" if is_grey else "RGB"))
        return found if is_grey else found.transpose(2, 0, 1)
    except OSError as error:
        raise DataError(f"cannot read {file}: {problem(error)}") from None
    except Exception as error:  # Pillow and numpy raise many kinds for files that are none
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file} is no image or array ({shown(reason)}); leave it out") from None


def _named(
    name: str, x: object, y: object, test: object, classes: list[str] | None, *, over_time: bool = False
) -> Dataset:
    """``Dataset.of``, whose errors name the file."""
    try:
        return Dataset.of(x, y, test=test, classes=classes, over_time=over_time, name=Path(name).stem)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def place(name: str) -> Arrays | SeriesFiles | ClassFolder:
    """What a path names."""
    path = Path(name)
    if path.suffix == ".npz":
        return Arrays(name)
    if path.suffix == ".ts" or (path.is_dir() and any(path.glob(f"*{ts.TRAIN}"))):
        return SeriesFiles(name)
    return ClassFolder(name)
