"""MNIST and Fashion-MNIST: four IDX files, from the data root or downloaded once.

IDX (LeCun): two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension
as a big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from izhi.data.dataset import Dataset, Samples
from izhi.data.download import Progress, fetch
from izhi.errors import DataError

#: MD5 of each file's uncompressed bytes.
CHECKSUMS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "mnist": {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        "fashion_mnist": {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    }
)

_FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat",
            "sandal", "shirt", "sneaker", "bag", "ankle boot")  # fmt: skip
CLASSES = {"mnist": tuple("0123456789"), "fashion_mnist": _FASHION}

#: No file of either set is larger than this when unpacked (47,040,016 bytes).
_LARGEST = 60_000 * 28 * 28 + 16


def mirrors(name: str) -> list[str]:
    """Addresses of the folders that hold the gzipped files, as torchvision knows them."""
    from torchvision import datasets

    return list((datasets.MNIST if name == "mnist" else datasets.FashionMNIST).mirrors)


def parse_idx(raw: bytes, source: str) -> NDArray[np.uint8]:
    """The array in the bytes of an IDX file of unsigned bytes.

    Raises:
        DataError: if the header is not one, or the length is not what the header says.
    """
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or not 1 <= raw[3] <= 3:
        raise DataError(f"{source} is no IDX file of bytes: it begins with {raw[:4].hex(' ')!r},"
                        " expected '00 00 08 01' or '00 00 08 03'; delete it and fetch it again")  # fmt: skip
    header = 4 + 4 * raw[3]
    if len(raw) < header:
        raise DataError(f"{source} is truncated within its header; delete it and fetch it again")
    shape = struct.unpack(f">{raw[3]}I", raw[4:header])
    expected = header
    size = 1
    for length in shape:
        size *= length
    expected += size
    if len(raw) != expected:
        raise DataError(
            f"{source} holds {len(raw):,} bytes, expected {expected:,} for shape {shape}:"
            " it is truncated or damaged; delete it and fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def unpack(path: Path) -> bytes:
    """The bytes of a file, uncompressed if it ends in .gz; DataError if it is cut off or too long."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}); delete it and fetch it again"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(raw) > _LARGEST:
        raise DataError(
            f"{path} unpacks to more than {_LARGEST:,} bytes, more than any file of this set"
        )
    return raw


def verify(path: Path, raw: bytes, checksum: str) -> None:
    """Raise DataError unless the uncompressed bytes have that MD5."""
    digest = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if digest != checksum:
        raise DataError(
            f"{path} has MD5 {digest} (uncompressed), expected {checksum}: delete it and fetch it again"
        )


def find(folder: Path, stem: str) -> Path | None:
    """The file of that stem in the folder, gzipped or not; None if it is not there."""
    for candidate in (folder / stem, folder / f"{stem}.gz"):
        if candidate.is_file():
            return candidate
    return None


def missing(name: str, folder: Path) -> list[str]:
    """Stems of the files that the folder lacks."""
    return [stem for stem in CHECKSUMS[name] if find(folder, stem) is None]


def download(name: str, folder: Path, report: Progress = lambda line: None) -> None:
    """Fetch what the folder lacks; each file appears under its name only when whole and verified."""
    for stem in missing(name, folder):
        report(f"downloading {stem}.gz")
        _download_one(name, folder, stem)


def _download_one(name: str, folder: Path, stem: str) -> None:
    addresses = [f"{mirror}{stem}.gz" for mirror in mirrors(name)]

    def whole(path: Path, address: str) -> None:
        verify(Path(address), unpack(path), CHECKSUMS[name][stem])

    reason = fetch(addresses, folder / f"{stem}.gz", whole)
    if reason is not None:
        raise DataError(
            f"{name} is not in {folder} and cannot be downloaded ({reason});"
            f" put {stem}.gz and the other three files there, or set IZHI_DATA to the folder above them"
        )


def load(name: str, folder: Path, report: Progress = lambda line: None) -> Dataset:
    """The data set in the folder, downloaded if it is not there, every file checked."""
    download(name, folder, report)
    arrays = {}
    for stem, checksum in CHECKSUMS[name].items():
        path = find(folder, stem)
        if path is None:
            raise DataError(f"{folder / stem} has gone since it was looked for; try again")
        raw = unpack(path)
        arrays[stem] = parse_idx(raw, str(path))
        verify(path, raw, checksum)
    train = _samples(arrays, "train")
    test = _samples(arrays, "t10k")
    return Dataset(name, train, test, CLASSES[name], (28, 28))


def _samples(arrays: Mapping[str, NDArray[np.uint8]], part: str) -> Samples:
    images, labels = arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"]
    return Samples(
        torch.from_numpy(images.reshape(len(images), -1).copy()),
        torch.from_numpy(labels.astype(np.int64)),
    )


def check(name: str, folder: Path) -> list[tuple[Path, str | None]]:
    """Each file with what is wrong with it, or None where nothing is."""
    results: list[tuple[Path, str | None]] = []
    for stem, checksum in CHECKSUMS[name].items():
        path = find(folder, stem)
        if path is None:
            results.append((folder / f"{stem}.gz", "not there"))
            continue
        try:
            verify(path, unpack(path), checksum)
            results.append((path, None))
        except DataError as error:
            results.append((path, str(error)))
    return results
