"""MNIST and Fashion-MNIST: four IDX files each, in the data root or downloaded once.

IDX (LeCun): two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension
as a big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from izhi import files
from izhi.data import download
from izhi.data.catalogue import DATASETS
from izhi.data.dataset import Dataset
from izhi.data.download import Progress
from izhi.data.samples import Samples
from izhi.data.source import Part, Source
from izhi.errors import DataError

#: Largest unpacked file of either set (47,040,016 bytes).
_LARGEST = 60_000 * 28 * 28 + 16


def parse_idx(raw: bytes, source: str) -> NDArray[np.uint8]:
    """The array in the bytes of an IDX file of unsigned bytes.

    Raises:
        DataError: if the header is wrong or declares no values, or the length differs from it.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or not 1 <= raw[3] <= 3:
        raise DataError(f"{source} is no IDX file of bytes: it begins with {raw[:4].hex(' ')!r},"
                        " expected '00 00 08 01' or '00 00 08 03'; delete it and fetch it again")  # fmt: skip
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise DataError(f"{source} is truncated within its header; delete it and fetch it again")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    if 0 in shape:
        raise DataError(f"{source} holds nothing, its shape is {shape}; delete it and fetch it again")
    expected = header + prod(shape)
    if len(raw) != expected:
        raise DataError(
            f"{source} holds {len(raw):,} bytes, expected {expected:,} for shape {shape}:"
            " it is truncated or damaged; delete it and fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def unpack(path: Path) -> bytes:
    """The uncompressed bytes of a file, gzipped or not; DataError if it is truncated or too long."""
    with files.reading(path, DataError), path.open("rb") as file:
        is_gzipped = file.peek(2)[:2] == b"\x1f\x8b"
        try:
            with gzip.open(file) if is_gzipped else file as plain:
                raw = plain.read(_LARGEST + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path} is truncated or damaged ({error}); delete it and fetch it again") from None
    if len(raw) > _LARGEST:
        raise DataError(f"{path} unpacks to more than {_LARGEST:,} bytes, more than any file of this set")
    return raw


def verify(path: Path | str, raw: bytes, checksum: str) -> None:
    """Raise DataError unless the uncompressed bytes have that MD5."""
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if digest != checksum:
        raise DataError(f"{path} has MD5 {digest} (uncompressed), expected {checksum}: delete it and fetch it again")


def _verify_download(checksum: str, path: Path, address: str) -> None:
    verify(address, unpack(path), checksum)


def find(folder: Path, stem: str) -> Path:
    """The file of that stem in the folder, gzipped or not; the gzipped one if it is missing."""
    return folder / stem if (folder / stem).is_file() else folder / f"{stem}.gz"


@dataclass(frozen=True)
class IDX(Source):
    """Training and test samples in four IDX files, gzipped or not."""

    #: see ``izhi.data.source.Source``
    name: str
    about: str
    classes: tuple[str, ...]  #: in the order of the labels
    mirrors: tuple[str, ...]  #: addresses of folders with the gzipped files, in the order of attempts
    checksums: Mapping[str, str]  #: stem of each file → MD5 of its uncompressed bytes

    def files(self, folder: Path) -> Sequence[Path]:
        return [find(folder, stem) for stem in self.checksums]

    def fetch(self, folder: Path, report: Progress) -> None:
        for stem, checksum in self.checksums.items():
            if find(folder, stem).exists():
                continue
            report(f"downloading {stem}.gz")
            addresses = [f"{mirror}{stem}.gz" for mirror in self.mirrors]
            reason = download.fetch(addresses, folder / f"{stem}.gz", check=partial(_verify_download, checksum))
            if reason is not None:
                raise DataError(
                    f"{self.name} is missing and cannot be downloaded ({reason}); put its four files into {folder}"
                    " or set IZHI_DATA"
                )

    def load(self, folder: Path) -> Dataset:
        arrays = {}
        for stem, checksum in self.checksums.items():
            path = find(folder, stem)
            if not path.exists():
                raise DataError(f"{folder / stem} has been removed; run izhi data fetch {self.name}")
            raw = unpack(path)
            arrays[stem] = parse_idx(raw, str(path))
            verify(path, raw, checksum)
        train, test = _samples(arrays, "train"), _samples(arrays, "t10k")
        return Dataset(self.name, train, test, self.classes, (28, 28))

    def check(self, folder: Path) -> list[Part]:
        return [_check(path, md5) for path, md5 in zip(self.files(folder), self.checksums.values(), strict=True)]


def _check(path: Path, checksum: str) -> Part:
    try:
        verify(path, unpack(path), checksum)
    except DataError as error:
        return path, str(error) if path.exists() else "not there"
    return path, None


def _samples(arrays: Mapping[str, NDArray[np.uint8]], part: str) -> Samples:
    images, labels = arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"]
    return Samples(torch.from_numpy(images.reshape(len(images), -1).copy()), torch.from_numpy(labels.astype(np.int64)))


# Mirrors as torchvision 0.28 has them (``torchvision.datasets.MNIST.mirrors``, BSD-3-Clause).
MNIST = IDX(
    "mnist",
    DATASETS["mnist"],
    tuple("0123456789"),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
)
FASHION_MNIST = IDX(
    "fashion_mnist",
    DATASETS["fashion_mnist"],
    ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)
ALL = MNIST, FASHION_MNIST
