"""Recordings of events, read for each batch, so that memory does not grow with the data set."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.errors import DataError

#: Bytes of events in the cache of a reader.
CACHE_BYTES = 512 << 20
Self = TypeVar("Self")


class Recording(NamedTuple):
    """One recording: the time, µs, and the unit of each event, int32."""

    times: NDArray[np.int32]
    units: NDArray[np.int32]


class Reader(Protocol):
    """Recordings of one file or folder."""

    shape: tuple[int, ...]  #: of the sensor: (channels,), or (polarities, height, width); units are its flat indices
    labels: NDArray[np.int64]  #: class of each recording, int64

    def read(self, record: int) -> Recording:
        """One recording; DataError, naming file and record, if it is damaged."""
        ...


class Batch:
    """Samples of any lengths, concatenated: sample b lies from offsets[b] to offsets[b + 1]."""

    # No dataclass: Fabric converts tensors within one, and fails if it is frozen.
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self: Self, device: torch.device) -> Self:
        """Itself: the CPU encodes such samples, whatever the device of the network."""
        return self


class EventBatch(Batch):
    """Concatenated recordings.

    Args:
        times: (M,) int32, microseconds.
        units: (M,) int32.
        offsets: (B + 1,) int64; recording b has the events from offsets[b] to offsets[b + 1].
        shape: of the sensor.
    """

    def __init__(self, times: Tensor, units: Tensor, offsets: Tensor, shape: tuple[int, ...]) -> None:
        self.times, self.units, self.offsets, self.shape = times, units, offsets, shape

    @property
    def features(self) -> int:
        """Units of the sensor."""
        return prod(self.shape)


class CachedReader:
    """A reader with a cache of at most ``limit`` bytes, CACHE_BYTES by default."""

    def __init__(self, reader: Reader, limit: int | None = None) -> None:
        self.reader = reader
        self.left = CACHE_BYTES if limit is None else limit
        self.shape, self.labels = reader.shape, reader.labels
        self._cache: dict[int, Recording] = {}

    def read(self, record: int) -> Recording:
        events = self._cache.get(record)
        if events is None:
            events = self.reader.read(record)
            size = events.times.nbytes + events.units.nbytes
            if size <= self.left:
                self.left -= size
                self._cache[record] = events
        return events


@dataclass(frozen=True)
class EventSamples:
    """A selection of a reader's recordings, records (M,), with their labels (M,), int64."""

    reader: Reader
    records: NDArray[np.int64]
    labels: Tensor

    @classmethod
    def of(cls, reader: Reader) -> EventSamples:
        """All of a reader's recordings."""
        return cls(
            CachedReader(reader), np.arange(len(reader.labels)), torch.from_numpy(np.asarray(reader.labels, np.int64))
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def features(self) -> int:
        """Units of the sensor."""
        return prod(self.reader.shape)

    def batch(self, index: Tensor | slice) -> tuple[EventBatch, Tensor]:
        """The recordings of an index, read by this call, and their labels."""
        where = index.numpy() if isinstance(index, Tensor) else index
        events = [self.reader.read(int(record)) for record in self.records[where]]
        sizes = np.array([0, *(len(e.times) for e in events)], np.int64)
        empty = np.zeros(0, np.int32)
        times = np.concatenate([empty, *(e.times for e in events)])
        units = np.concatenate([empty, *(e.units for e in events)])
        batch = EventBatch(
            torch.from_numpy(times), torch.from_numpy(units), torch.from_numpy(sizes.cumsum()), self.reader.shape
        )
        return batch, self.labels[index]

    def first_problem(self) -> str | None:
        """Problem of the reader's first damaged recording; None if all are sound."""
        for record in range(len(self.reader.labels)):
            try:
                self.reader.read(record)
            except DataError as error:
                return str(error)
        return None

    def subset(self, mask: Tensor) -> EventSamples:
        """The recordings where mask (M,) is True."""
        return EventSamples(self.reader, self.records[mask.numpy()], self.labels[mask])


def first_index(mask: NDArray[np.bool_] | np.bool_) -> int | None:
    """Index of the first True; None if there is none."""
    indices = np.flatnonzero(mask)
    return int(indices[0]) if len(indices) else None


def microseconds(seconds: NDArray[np.float64], where: str) -> NDArray[np.int64]:
    """Seconds as integer microseconds; DataError, naming file and record, if one is not finite."""
    if (k := first_index(~np.isfinite(seconds))) is not None:
        raise DataError(f"{where}, event {k:,} has time {seconds[k]}, expected seconds; use an intact copy")
    # The clip prevents an overflow of int64; ``checked`` refuses such times.
    return np.rint(np.clip(seconds, -1e9, 1e9) * 1e6).astype(np.int64)


def checked(times: NDArray[np.int64], units: NDArray[np.int64], size: int, where: str) -> Recording:
    """Events of one recording, after the checks of all formats.

    Args:
        times: microseconds.
        units: below size.
        size: units of the sensor.
        where: file and record, for the message.

    Raises:
        DataError: for times that are negative, too late or out of order, and for units out of range.
    """
    if len(times) != len(units):
        raise DataError(
            f"{where} has {len(times):,} times but {len(units):,} units, expected as many; it is damaged:"
            " use an intact copy"
        )
    if not len(times):
        return Recording(np.zeros(0, np.int32), np.zeros(0, np.int32))
    if (k := first_index(np.diff(times) < 0)) is not None:
        raise DataError(
            f"{where}, event {k + 1:,} is at {times[k + 1]:,} µs, before event {k:,} at {times[k]:,} µs;"
            " expected times in order: use an intact copy"
        )
    if times[0] < 0 or times[-1] > np.iinfo(np.int32).max:
        bad = times[0] if times[0] < 0 else times[-1]
        raise DataError(
            f"{where} has an event at {bad:,} µs, expected 0 to {np.iinfo(np.int32).max:,}: use an intact copy"
        )
    if (k := first_index((units < 0) | (units >= size))) is not None:
        raise DataError(f"{where}, event {k:,} is from unit {units[k]:,}, expected below {size:,}: use an intact copy")
    return Recording(times.astype(np.int32), units.astype(np.int32))
