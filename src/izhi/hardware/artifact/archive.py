"""Files of arrays and a manifest, written whole or not at all, and checked so that files from strangers can be loaded.

Such a file is an uncompressed zip archive of .npy arrays, which ``numpy.load`` reads by itself; its entry
``manifest`` holds the text of a JSON object with the file's format, its version and the checksum of every other
entry. Nothing in it is ever executed, and sizes and shapes are checked before memory is taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from izhi.errors import ArtifactError, IzhiError, shown
from izhi.files import problem, write_bytes
from izhi.hardware.networks import Array

#: Networks for hardware are far smaller; a larger file is refused. In memory a network takes up to some tens of times
#: as much.
MOST_BYTES = 1 << 26


def write(path: str | os.PathLike[str], manifest: Mapping[str, object], arrays: Mapping[str, Array]) -> None:
    """Write a file; the checksums are added to the manifest.

    Raises:
        ArtifactError: if the manifest holds what is no JSON, or the path is none.
        FileError: if the file cannot be written.
    """
    contents = {name: _npy(array) for name, array in arrays.items()}
    sums = {name: hashlib.sha256(raw).hexdigest() for name, raw in contents.items()}
    try:
        text = json.dumps({**manifest, "sha256": sums}, indent=1, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"the artifact's settings or provenance are no JSON ({error}); use plain values") from None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in (("manifest", _npy(np.frombuffer(text, np.uint8))), *contents.items()):
            # A fixed date, so that equal networks make equal files.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), raw)
    write_bytes(path_of(path), buffer.getvalue())


def path_of(path: object) -> Path:
    """A path; ArtifactError if it is something else."""
    if not isinstance(path, (str, os.PathLike)) or "\0" in str(path):
        raise ArtifactError(f"the path of an artifact is {shown(path)}, expected a string or a Path")
    return Path(path)


def are_names(value: object, count: int) -> bool:
    """Whether a value is the names of so many classes."""
    return isinstance(value, (list, tuple)) and len(value) == count and all(isinstance(name, str) for name in value)


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


class ArtifactArchive:
    """A file that ``write`` wrote, whose entries are checked before they are used.

    Args:
        path: of the file.

    Raises:
        ArtifactError: if it is no such file, or damaged.

    Attributes:
        manifest: the JSON object.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path_of(path)
        try:
            size = self.path.stat().st_size
            if size > MOST_BYTES:
                raise ArtifactError(f"{self.path} has {size:,} bytes, expected at most {MOST_BYTES:,}")
            raw = self.path.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {self.path}: {problem(error)}") from None
        self._entries: dict[str, bytes] = {}
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                for entry in archive.infolist():
                    self._admit(entry, len(raw))
                    self._entries[entry.filename.removesuffix(".npy")] = archive.read(entry)
        except ArtifactError:
            raise
        except Exception as error:  # zipfile has many ways to fail on damaged bytes
            raise self.problem(f"is truncated or damaged ({error})") from None
        text = self.array("manifest", np.uint8, None).tobytes()
        try:
            manifest = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise self.problem(f"has a manifest that is no JSON ({error})") from None
        self.manifest: dict[str, object] = manifest if isinstance(manifest, dict) else {}

    @property
    def format(self) -> str:
        """The format that the manifest names."""
        return str(self.manifest.get("format"))

    def problem(self, problem: str) -> ArtifactError:
        """The error that says what is wrong with the file."""
        return ArtifactError(f"{self.path} {problem}; export it again or use an intact copy")

    @contextlib.contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """Errors within name the file."""
        try:
            yield
        except IzhiError as error:
            raise ArtifactError(f"{self.path}: {error}") from None

    def check(self, name: str, *versions: int) -> None:
        """Raise ArtifactError unless the file has the format, one of the versions, and the manifest's checksums."""
        if self.format != name:
            raise self.problem(f"is no {name}")
        version = self.manifest.get("version")
        if version not in versions or isinstance(version, bool):
            expected = " or ".join(map(str, versions))
            raise ArtifactError(
                f"{self.path} has version {shown(version)}, expected {expected}; export it again, or use the izhi that"
                " wrote it"
            )
        sums = self.manifest.get("sha256")
        others = set(self._entries) - {"manifest"}
        if not isinstance(sums, dict) or set(sums) != others:
            raise self.problem("holds other arrays than its manifest names")
        for name in sorted(others):
            if hashlib.sha256(self._entries[name]).hexdigest() != sums[name]:
                raise self.problem(f"has a wrong checksum of {name!r}")

    def _admit(self, entry: zipfile.ZipInfo, most: int) -> None:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise self.problem(f"has {shown(entry.filename)} compressed or encrypted, expected it stored")
        size = sum(map(len, self._entries.values()))
        if entry.file_size > most - size or entry.filename.removesuffix(".npy") in self._entries:
            raise self.problem(f"has {shown(entry.filename)} twice, or larger than the file")

    def array(self, name: str, kind: Any, shape: tuple[int | None, ...] | None) -> Array:
        """An entry as an array of numbers; its size is checked before memory is taken.

        Args:
            name: of the entry.
            kind: its dtype, or a list of those that are possible.
            shape: its shape, with None for a length that does not matter; None for any shape.
        """
        if name not in self._entries:
            raise self.problem(f"lacks {name!r}")
        raw = self._entries[name]
        file = io.BytesIO(raw)
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"npy version {version}")
            stored, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # the header is parsed as a Python literal
            raise self.problem(f"has no array of numbers in {name!r} ({error})") from None
        if dtype.hasobject or dtype.kind not in "iuf" or fortran or dtype not in np.atleast_1d(kind):
            raise self.problem(f"has {name!r} of {dtype}, expected {kind}")
        size = math.prod(stored) * dtype.itemsize
        if any(type(n) is not int or n < 0 for n in stored) or len(raw) - file.tell() != size:
            raise self.problem(f"has {name!r} of shape {stored} in {len(raw):,} bytes")
        if shape is not None and (
            len(stored) != len(shape) or any(b is not None and a != b for a, b in zip(stored, shape, strict=True))
        ):
            raise self.problem(f"has {name!r} of shape {stored}, expected {shape}")
        return np.frombuffer(raw, dtype, offset=file.tell()).reshape(stored)

    def table(self, name: str) -> dict[str, object]:
        """An object of the manifest."""
        value = self.manifest.get(name)
        if not isinstance(value, dict):
            raise self.problem(f"has no table {name!r} in its manifest")
        return value

    def classes(self, count: int) -> tuple[str, ...]:
        """The names of so many classes."""
        value = self.manifest.get("classes")
        if not isinstance(value, list) or not are_names(value, count):
            raise self.problem(f"has the classes {shown(value)}, expected {count} names")
        return tuple(value)


class ManifestTable:
    """An object of a manifest, whose values are checked; empty if the manifest has something else in its place.

    Args:
        file: of the manifest.
        values: by name.
        where: precedes the names in messages.
    """

    def __init__(self, file: ArtifactArchive, values: object, where: str = "") -> None:
        self.file, self.where = file, where
        self.values: dict[str, object] = values if isinstance(values, dict) else {}

    def table(self, name: str) -> ManifestTable:
        """A table within it."""
        return ManifestTable(self.file, self.values.get(name), f"{self.where}{name}.")

    def problem(self, problem: str) -> ArtifactError:
        """The error that says what is wrong with a value, whose name the text begins with."""
        return self.file.problem(f"has {self.where}{problem}")

    def number(self, name: str, low: int, high: int) -> int:
        """A whole number from low to high."""
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.problem(f"{name} {shown(value)}, expected a whole number from {low:,} to {high:,}")
        return value

    def numbers(self, name: str, count: int, low: int, high: int) -> list[int]:
        """A list of so many whole numbers from low to high."""
        values = self.values.get(name)
        if not isinstance(values, list) or len(values) != count:
            raise self.problem(f"{name} {shown(values)}, expected {count} numbers")
        named = ManifestTable(self.file, {f"{name}.{k}": value for k, value in enumerate(values)}, self.where)
        return [named.number(key, low, high) for key in named.values]

    def flag(self, name: str, default: object = None) -> bool:
        """True or false."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.problem(f"{name} {shown(value)}, expected true or false")
        return value


def _no_constant(name: str) -> None:
    raise ValueError(f"the number {name}")
