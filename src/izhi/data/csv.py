"""Tables of numbers in files .csv: a row for each sample with its class last, or a row for each step of a series."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import DataError, shown


def samples(path: Path) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Samples (M, N), and the last column, their classes as text.

    Raises:
        DataError: naming file and line, for rows of different lengths, or values that are no numbers.
    """
    rows, labels = [], []
    for where, row in _rows(path, text_columns=1):
        rows.append(_numbers(row[:-1], where))
        labels.append(row[-1].strip())
    return np.stack(rows), np.array(labels)


def table(path: Path) -> NDArray[np.float64]:
    """All columns as numbers, (T, features); DataError as in ``samples``."""
    return np.stack([_numbers(row, where) for where, row in _rows(path, text_columns=0)])


def _rows(path: Path, text_columns: int) -> Iterator[tuple[str, list[str]]]:
    """Position, for messages, and columns of each row but a heading, which is a first row without any number."""
    files.require_file(path)
    columns, count = 0, 0
    with files.reading(path, DataError), path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            for number, row in enumerate(csv.reader(file), start=1):
                where = f"{path}, line {number}"
                if not row or (not count and not columns and not any(map(_is_number, row))):
                    columns = len(row)
                    continue
                columns = columns or len(row)
                if len(row) != columns or columns <= text_columns:
                    raise DataError(f"{where} has {len(row)} columns, expected {max(columns, text_columns + 1)}")
                count += 1
                yield where, row
        except csv.Error as error:
            raise DataError(f"{path} is no table with commas ({error}); use an intact file") from None
    if not count:
        raise DataError(f"{path} holds no rows of numbers, expected one for each sample or step")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(row: list[str], where: str) -> NDArray[np.float64]:
    try:
        return np.array(list(map(float, row)))
    except ValueError:
        odd = next(text for text in row if not _is_number(text))
        raise DataError(f"{where} has {shown(odd)}, expected a number") from None
