"""A matrix of numbers from a MATLAB file of version 5 to 7, in which variables may be compressed.

SciPy reads these files too, but crashes on some damaged ones, and allocates any memory that they declare.

A header of 128 bytes ends with the byte order. Then elements follow: kind and size, 32 bits each, then the bytes. Up to
four bytes replace the size, which then is the upper half of the kind. A variable is an element of elements: flags,
dimensions, name and values.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
#: Kind of an element → type of its numbers.
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
#: Classes of matrices of numbers: double to uint64; others are text, cells, objects.
_CLASSES = range(6, 16)


def matrix(raw: bytes, name: str, largest: int) -> NDArray[np.number]:
    """The variable of that name, in the type of its stored numbers.

    Args:
        raw: bytes of the file.
        name: of the variable.
        largest: limit of an inflated variable, bytes.

    Raises:
        ValueError: if it is missing, no matrix of numbers, damaged or too large.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("it is no MATLAB file of version 5 to 7")
    for kind, content in _variables(raw[_HEADER:], order, largest):
        if kind == _MATRIX:
            (_, flags), (_, dimensions), (_, label), *values = _elements(content, order)
            if label == name.encode():
                if flags[0 if order == "<" else 3] not in _CLASSES or len(values) != 1:
                    raise ValueError(f"{name} is no matrix of real numbers")
                return _shaped(*values[0], np.frombuffer(dimensions, f"{order}i4").tolist(), order)
    raise ValueError(f"no variable is named {name}")


def _variables(raw: bytes, order: str, largest: int) -> Iterator[tuple[int, bytes]]:
    for kind, content in _elements(raw, order):
        if kind != _COMPRESSED:
            yield kind, content
            continue
        inflated = zlib.decompressobj().decompress(content, largest + 1)
        if len(inflated) > largest:
            raise ValueError(f"a variable unpacks to more than {largest:,} bytes")
        yield from _elements(inflated, order)


def _elements(raw: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(raw):
        kind, size = struct.unpack_from(f"{order}2I", raw, offset)
        begin, small = offset + 8, kind >> 16
        if small:
            kind, size, begin = kind & 0xFFFF, small, offset + 4
        if begin + size > len(raw):
            raise ValueError("it is cut off within a variable")
        yield kind, raw[begin : begin + size]
        # Uncompressed elements are padded to multiples of 8 bytes.
        padding = 0 if kind == _COMPRESSED else -size % 8
        offset = offset + 8 if small else begin + size + padding


def _shaped(kind: int, content: bytes, shape: list[int], order: str) -> NDArray[np.number]:
    if kind not in _NUMBERS:
        raise ValueError(f"values are of kind {kind}, expected numbers")
    values = np.frombuffer(content, order + _NUMBERS[kind])
    if min(shape, default=-1) < 0:
        raise ValueError(f"its shape is {shape}")
    return values.reshape(shape, order="F")
