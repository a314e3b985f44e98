"""Data sets in local files, by their path: a NumPy archive, time series in files .ts, or a folder for each class."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from izhi import files
from izhi.data import csv, functions, ts
from izhi.data.dataset import Array, Dataset
from izhi.data.events import first_index
from izhi.data.source import Part, Source
from izhi.errors import DataError, SettingError, shown
from izhi.files import problem

#: Largest ratio of unpacked arrays to the size of their archive.
_MOST_PACKED = 250
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
#: Formats of images by content; Pillow would try all, among them EPS, which starts Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF")


@dataclass(frozen=True)
class LocalSource(Source):
    """A data set at a path; see ``izhi.data.source.Source``."""

    name: str  #: the path
    about = "files of your own"

    def files(self, folder: Path) -> Sequence[Path]:
        return [Path(self.name)]


@dataclass(frozen=True)
class Arrays(LocalSource):
    """A file .npz with the arrays x and y, or x_train, y_train, x_test and y_test, and optionally classes.

    With ``over_time`` x is (samples, T, features), time series. ``lengths``, or lengths_train and lengths_test, give
    the valid steps of each sample. Labels are numbers, or names of classes.
    """

    about = "arrays of your own"
    as_series: bool | None = None  #: whether samples are time series; None for what the file says

    def load(self, folder: Path) -> Dataset:
        """The data set; no code in the file runs."""
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
        if "classes" in arrays and arrays["classes"].ndim != 1:
            raise DataError(f"{self.name} has classes of shape {arrays['classes'].shape}, expected a list of names")
        classes = [str(c) for c in arrays["classes"]] if "classes" in arrays else None
        says = bool(arrays.get("over_time", np.array(False)).any()) or isinstance(x, list)
        over_time = says if self.as_series is None else self.as_series
        return _named(self.name, x, y, test, classes, over_time=over_time)

    def _series(self, arrays: dict[str, Array], name: str, lengths: str) -> Array | list[Array] | None:
        """An array, each sample truncated to its length if the file has lengths."""
        x, ends = arrays.get(name), arrays.get(lengths)
        if x is None or ends is None:
            return x
        if x.ndim != 3 or ends.shape != x.shape[:1] or ends.dtype.kind not in "iu":
            raise DataError(
                f"{self.name} has {name} {x.shape} and {lengths} {ends.shape} of {ends.dtype}, expected (samples, T,"
                " features), and a whole number for each sample"
            )
        if (at := first_index((ends < 1) | (ends > x.shape[1]))) is not None:
            raise DataError(
                f"{self.name}: {lengths}[{at}] is {ends[at]}, expected 1 to {x.shape[1]}, the steps of {name}"
            )
        return [one[:end] for one, end in zip(x, ends, strict=True)]


@dataclass(frozen=True)
class LabelledTable(LocalSource):
    """A file .csv: a row for each sample, whose class is in the last column; a first row of names may precede."""

    about = "a table of your own, the class last"

    def load(self, folder: Path) -> Dataset:
        return _named(self.name, *csv.samples(Path(self.name)), None, None)


@dataclass(frozen=True)
class SeriesFiles(LocalSource):
    """A file .ts, or a folder with one file *_TRAIN.ts; *_TEST.ts beside it has the test samples."""

    about = "time series of your own"

    def load(self, folder: Path) -> Dataset:
        return ts.load(Path(self.name).name, *ts.file_pair(Path(self.name)))


@dataclass(frozen=True)
class ClassFolder(LocalSource):
    """A folder with a folder of images or arrays (.npy, .csv) for each class, optionally below train/ and test/."""

    about = "images or arrays of your own, a folder for each class"
    as_series: bool | None = None  #: whether arrays (T, features) are time series, whose T may differ

    def load(self, folder: Path) -> Dataset:
        path = Path(self.name)
        splits = [path / "train", path / "test"] if (path / "train").is_dir() else [path]
        classes = sorted(x.name for x in splits[0].iterdir() if x.is_dir())
        if not classes:
            raise DataError(f"{splits[0]} holds no folders, expected one for each class")
        listed = [list(_files(split, classes)) for split in splits]
        need = size = 0
        for split, found in zip(splits, listed, strict=True):
            if not found:
                raise DataError(
                    f"{split} holds no samples, expected {', '.join(_IMAGES)}, .npy or .csv in folders of classes"
                )
            for _, file in found:
                files.require_file(file)
                need, size = need + _declared(file), size + file.stat().st_size
                files.require_memory(2 * need, size, f"{path}")  # samples, and those of a split
        pairs: list[tuple[object, list[int]]] = []
        for found in listed:
            paths = [file for _, file in found]
            samples: object = [_sample(file) for file in paths] if self.as_series else _stacked(paths)
            pairs.append((samples, [label for label, _ in found]))
        return _named(
            self.name, *pairs[0], pairs[1] if len(pairs) > 1 else None, classes, over_time=bool(self.as_series)
        )


@dataclass(frozen=True)
class FunctionSource(LocalSource):
    """The result of a function, ``module:function``."""

    about = "result of a function of your own"

    @property
    def window(self) -> float | None:  # type: ignore[override]
        return functions.kind_of(self.name)[0]

    def is_there(self, folder: Path) -> bool:
        return not any(problem for _, problem in self.check(folder))

    def load(self, folder: Path) -> Dataset:
        return functions.call_once(self.name)

    def check(self, folder: Path) -> list[Part]:
        try:
            functions.call_once(self.name)
        except (DataError, SettingError) as error:
            return [(Path(self.name), str(error))]
        return [(Path(self.name), None)]


def _files(folder: Path, classes: list[str]) -> Iterator[tuple[int, Path]]:
    """The files of each class, with its number."""
    for label, name in enumerate(classes):
        for file in sorted((folder / name).iterdir()) if (folder / name).is_dir() else []:
            if file.suffix.lower() in (*_IMAGES, ".npy", ".csv"):
                yield label, file


def _stacked(samples: Sequence[Path]) -> Array:
    """Samples of one shape as one array."""
    first = _sample(samples[0])
    whole = np.empty((len(samples), *first.shape), first.dtype)
    for number, file in enumerate(samples):
        sample = _sample(file)
        if sample.shape != first.shape:
            raise DataError(f"{file} has shape {sample.shape}, expected {first.shape} as the first has")
        if sample.dtype != whole.dtype:
            whole = whole.astype(np.promote_types(whole.dtype, sample.dtype))
        whole[number] = sample
    return whole


def _sample(file: Path) -> Array:
    """An image, (height, width) in grey or (3, height, width), or an array."""
    with _opened(file) as content:
        if isinstance(content, np.ndarray):
            return np.array(content)
        is_grey = content.mode in _GREY
        pixels = np.asarray(content.convert("L" if is_grey else "RGB"))
        return pixels if is_grey else pixels.transpose(2, 0, 1)


def _declared(file: Path) -> int:
    """Bytes of a sample by the head of its file."""
    with _opened(file) as content:
        if isinstance(content, np.ndarray):
            return content.size * (1 if content.dtype == np.uint8 else max(4, content.itemsize))
        width, height = content.size
        return int(width) * int(height) * (1 if content.mode in _GREY else 3)


#: Modes of Pillow for images in grey.
_GREY = ("1", "L", "I", "F")


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """An image of Pillow whose pixels are not decoded, or an array in its file; DataError for other files."""
    try:
        if file.suffix.lower() == ".csv":
            yield csv.table(file)
            return
        if file.suffix.lower() == ".npy":
            yield np.load(file, mmap_mode="r", allow_pickle=False)
            return
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # memory is limited by ours
            image = Image.open(file, formats=_FORMATS)
        with image:
            yield image
    except DataError:
        raise
    except OSError as error:
        why = f"no {', '.join(_FORMATS)}" if type(error).__name__ == "UnidentifiedImageError" else problem(error)
        raise DataError(f"cannot read {file}: {why}") from None
    except Exception as error:  # Pillow and numpy raise many kinds for other files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file} is no image or array ({shown(reason)}); leave it out") from None


def _named(
    name: str, x: object, y: object, test: object, classes: list[str] | None, *, over_time: bool = False
) -> Dataset:
    """``Dataset.of``, whose errors name the file; labels may be texts."""
    held_out = test[1] if isinstance(test, tuple) else None
    texts = [_texts(labels) for labels in (y, held_out) if _are_texts(labels)]
    if texts:
        every = {*itertools.chain(*texts)}
        are_whole = all(text.isascii() and text.isdecimal() for text in every)
        classes = classes or sorted(every, key=lambda text: (int(text) if are_whole else 0, text))
        y = _in_numbers(name, y, classes)
        test = (test[0], _in_numbers(name, held_out, classes)) if isinstance(test, tuple) else test
    for one in (x, test[0] if isinstance(test, tuple) else None):
        if isinstance(one, np.ndarray) and one.dtype != np.uint8:  # others become float32
            files.require_memory(4 * one.size, one.nbytes, name)
    try:
        return Dataset.of(x, y, test=test, classes=classes, over_time=over_time, name=Path(name).stem)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def _are_texts(labels: object) -> bool:
    return isinstance(labels, np.ndarray) and labels.dtype.kind in "US"


def _texts(labels: object) -> list[str]:
    return [x.decode(errors="replace") if isinstance(x, bytes) else str(x) for x in np.asarray(labels).ravel().tolist()]


def _in_numbers(name: str, labels: object, classes: list[str]) -> Array:
    """Names of classes as their numbers."""
    numbers, texts = {text: number for number, text in enumerate(classes)}, _texts(labels)
    if (odd := next((x for x in texts if x not in numbers), None)) is not None:
        raise DataError(f"{name} has the label {shown(odd)}, expected one of its classes: {shown(classes)}")
    return np.array([numbers[x] for x in texts], np.int64).reshape(np.asarray(labels).shape)


def source(name: str) -> LocalSource:
    """The source of the data set that a path or a function names."""
    if functions.is_function(name):
        return FunctionSource(name)
    path = Path(name)
    if path.suffix == ".npz":
        return Arrays(name)
    if path.suffix == ".csv":
        return LabelledTable(name)
    if path.suffix == ".ts" or (path.is_dir() and any(path.glob(f"*{ts.TRAIN}"))):
        return SeriesFiles(name)
    return ClassFolder(name)
