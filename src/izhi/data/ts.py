"""Time series in files .ts, the text format of the UCR and UEA archives, which sktime and aeon read too.

Lines that begin with # or % are comments. ``@name value`` lines follow, up to ``@data``; then each line is a sample:
the values of each channel separated by commas, then channels and the class separated by colons. Izhi refuses files
with time stamps, missing values or numbers to predict.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.data.dataset import MOST_CLASSES, Dataset
from izhi.errors import DataError, shown

#: Suffixes of the training and the test file of a data set.
TRAIN, TEST = "_TRAIN.ts", "_TEST.ts"
#: Largest line, bytes, and largest number of values of a file, eight bytes each.
_LONGEST_LINE, _MOST_VALUES = 1 << 26, 1 << 28
_MOST_CHANNELS = 1 << 16


class _Header(NamedTuple):
    """The lines before ``@data``."""

    classes: tuple[str, ...]
    channels: int | None  #: None if missing


def load(name: str, train: Path, test: Path | None) -> Dataset:
    """The data set of a training file, and a test file if there is one; DataError if a file is damaged."""
    series, labels, classes = read(train)
    held_out = None
    if test is not None:
        test_series, test_labels, others = read(test)
        if set(others) != set(classes):
            raise DataError(f"{test} has the classes {shown(others)}, expected {shown(classes)}, those of {train.name}")
        held_out = test_series, [classes.index(others[label]) for label in test_labels]
    try:
        return Dataset.of(series, labels, test=held_out, classes=classes, over_time=True, name=name)
    except DataError as error:
        raise DataError(f"{train}: {error}") from None


def read(path: Path) -> tuple[list[NDArray[np.float64]], list[int], tuple[str, ...]]:
    """Samples (T, channels), their labels, and the names of the classes.

    Raises:
        DataError: naming file and line, if the file has another format, is damaged, or too large.
    """
    samples: list[NDArray[np.float64]] = []
    labels: list[int] = []
    files.require_file(path)
    with files.reading(path), path.open("rb") as file:
        lines = _lines(file, path)
        header = _header(lines, path)
        numbers = {name: number for number, name in enumerate(header.classes)}
        room, channels = _MOST_VALUES, header.channels
        names = ", ".join(header.classes[:8])
        names += f", or {len(header.classes) - 8} more" if len(header.classes) > 8 else ""
        for where, line in lines:
            if line.count(":") > _MOST_CHANNELS:
                raise DataError(f"{where} has {line.count(':'):,} channels, expected at most {_MOST_CHANNELS:,}")
            *columns, label = line.split(":")
            if label.strip() not in numbers:
                raise DataError(f"{where} has the class {shown(label.strip())}, expected {names}")
            channels = channels or len(columns)
            if len(columns) != channels or not columns:
                raise DataError(f"{where} has {len(columns)} channels, expected {channels or 'one or more'}")
            room -= line.count(",") + len(columns)
            if room < 0:
                raise DataError(f"{path} holds more than {_MOST_VALUES:,} values; use fewer samples")
            steps = {column.count(",") + 1 for column in columns}
            values = _numbers(",".join(columns), where)
            if len(steps) > 1:
                raise DataError(f"{where} has channels of {min(steps)} to {max(steps)} steps, expected as many in each")
            samples.append(np.ascontiguousarray(values.reshape(len(columns), -1).T))
            labels.append(numbers[label.strip()])
    if not samples:
        raise DataError(f"{path} holds no samples, expected one on each line after @data")
    return samples, labels, header.classes


def univariate(name: str, values: NDArray[np.float64], labels: NDArray[np.int64], classes: NDArray[np.int64]) -> str:
    """The text of a file .ts of series (samples, T) of one channel, and their classes (samples,)."""
    head = f"@problemName {name}\n@univariate true\n@classLabel true {' '.join(map(str, classes))}\n@data\n"
    lines = (f"{','.join(map(repr, x))}:{k}\n" for x, k in zip(values.tolist(), labels.tolist(), strict=True))
    return head + "".join(lines)


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[str, str]]:
    """Position, for messages, and text of each line but comments and empty ones."""
    number = 0
    while data := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(data) > _LONGEST_LINE:
            raise DataError(f"{path}, line {number} has more than {_LONGEST_LINE:,} bytes, expected a sample")
        text = data.decode(errors="replace").strip().removeprefix("\ufeff")
        if text and text[0] not in "#%":
            yield f"{path}, line {number}", text


def _header(lines: Iterator[tuple[str, str]], path: Path) -> _Header:
    classes: tuple[str, ...] = ()
    channels = None
    for where, line in lines:
        name, *words = line.split()
        name, first = name.lower(), words[0].lower() if words else ""
        if name == "@data":
            if not classes:
                raise DataError(f"{path} names no classes, expected @classLabel true and their names before @data")
            return _Header(classes, channels)
        if not name.startswith("@"):
            raise DataError(f"{where} is {shown(line)}, expected @data before the samples: is it a file .ts?")
        if name == "@timestamps" and first == "true":
            raise DataError(f"{where}: samples have time stamps, expected @timeStamps false: steps of the same length")
        if name == "@targetlabel" and first == "true":
            raise DataError(f"{where}: samples have numbers to predict, expected @classLabel true and names of classes")
        if name == "@classlabel" and first == "true":
            classes = tuple(words[1:])
            if not 0 < len(classes) == len(set(classes)):
                raise DataError(f"{where} names {len(classes)} classes, expected one or more, each once")
            if len(classes) > MOST_CLASSES:
                raise DataError(f"{where} names {len(classes):,} classes, expected at most {MOST_CLASSES:,}")
        if name in ("@dimensions", "@dimension"):
            if not (first.isascii() and first.isdecimal() and 0 < int(first[:9]) < 1 << 20 and len(first) < 9):
                raise DataError(f"{where}: dimensions is {shown(first)}, expected the number of channels")
            channels = int(first)
    raise DataError(f"{path} has no @data, expected a file .ts: is it cut off?")


def _numbers(text: str, where: str) -> NDArray[np.float64]:
    """Values separated by commas; DataError for anything else, and for missing values."""
    if "?" in text or "nan" in text.lower():
        raise DataError(f"{where} lacks values (?), expected all; fill them in, or leave the sample out")
    values = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns about text that it cannot read
        with contextlib.suppress(DeprecationWarning, ValueError):
            values = np.fromstring(text, sep=",")
    if values is None or len(values) != text.count(",") + 1 or not np.isfinite(values).all():
        raise DataError(f"{where} holds {shown(text)}, expected finite numbers with commas between them")
    return values


def file_pair(path: Path) -> tuple[Path, Path | None]:
    """The training file, and the test file if it exists, of a file .ts or a folder with one *_TRAIN.ts.

    Raises:
        DataError: unless the folder has exactly one.
    """
    if path.is_dir():
        matches = sorted(path.glob(f"*{TRAIN}"))
        if len(matches) != 1:
            raise DataError(f"{path} holds {len(matches)} files *{TRAIN}, expected one; name it")
        path = matches[0]
    if not path.name.endswith(TRAIN):
        return path, None
    test = path.with_name(path.name.removesuffix(TRAIN) + TEST)
    return path, test if test.is_file() else None
