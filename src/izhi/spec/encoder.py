"""Encoders of samples as plain values: what becomes of a sample in each time step; ``izhi.encoding`` runs them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from izhi.errors import SettingError, shown, unknown
from izhi.spec.tables import Shape, Table, read, write

ValueCode = Literal["rate", "latency", "constant"]
SeriesCode = Literal["current", "rate", "delta", "level"]
#: Encodings of values, and of time series.
CODES: tuple[ValueCode, ...] = get_args(ValueCode)
SERIES_CODES: tuple[SeriesCode, ...] = get_args(SeriesCode)


class EncoderSpec(ABC):
    """The encoder of a network's samples.

    Attributes:
        steps: T.
    """

    steps: int
    #: Name of the encoder that runs it.
    kind: ClassVar[str]

    @property
    @abstractmethod
    def grid(self) -> Shape:
        """Features of a step, channels first: (1, 28, 28) of an image."""

    @property
    def features(self) -> int:
        """Width of one step, the number of inputs of the first connection."""
        return math.prod(self.grid)

    @property
    def is_random(self) -> bool:
        """Whether the spikes depend on the seed."""
        return False

    @property
    def is_constant(self) -> bool:
        """Whether every step of a sample is the same."""
        return False

    def table(self) -> Table:
        """Plain values, which ``encoder_of_table`` reads."""
        return {"kind": self.kind, **write(self, ENCODERS[self.kind])}


@dataclass(frozen=True)
class ValueEncoderSpec(EncoderSpec):
    """Values from 0 to 1 as spikes (``rate``, ``latency``), or as themselves (``constant``).

    Attributes:
        code: the encoding.
        steps: T.
        shape: of one sample, such as (28, 28).
        fields: Gaussian receptive fields per value; 0 for none.
        shift: largest shift of an image while training, in pixels.
    """

    code: ValueCode
    steps: int
    shape: Shape
    fields: int = 0
    shift: int = 0

    kind: ClassVar[str] = "ValueEncoder"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise unknown("encoding", self.code, CODES)

    @property
    def grid(self) -> Shape:
        return (math.prod(self.shape) * self.fields,) if self.fields else with_channels(self.shape)

    @property
    def is_random(self) -> bool:
        return self.code == "rate"

    @property
    def is_constant(self) -> bool:
        return self.code == "constant"


@dataclass(frozen=True)
class RowEncoderSpec(EncoderSpec):
    """Images row by row, each row as a current for T/H steps; or values over time, with H of them.

    Attributes:
        steps: T, a multiple of H; pixel by pixel a multiple of H·W.
        shape: (H, W), or (H, …).
        shift: largest shift of an image while training, in pixels.
        by_pixel: whether a step is one pixel instead of a row: one input, H·W steps (sequential MNIST).
        permutation: one order into which the pixels of every image are brought before it is read: the seed that
            draws it, or the place that each pixel is taken from; None for the order that they have.

    Raises:
        SettingError: if the places are not each of the H·W once.
    """

    steps: int
    shape: Shape
    shift: int = 0
    by_pixel: bool = False
    permutation: int | tuple[int, ...] | None = None

    kind: ClassVar[str] = "RowEncoder"

    def __post_init__(self) -> None:
        pixels, order = math.prod(self.shape), self.permutation
        # Their number first: a file may claim any shape.
        if isinstance(order, tuple) and (len(order) != pixels or sorted(order) != list(range(pixels))):
            raise SettingError(f"permutation has {len(order)} places, expected 0 to {pixels - 1}, each once")

    @property
    def grid(self) -> Shape:
        return (1,) if self.by_pixel else with_channels(self.shape[1:])


@dataclass(frozen=True)
class Augmentation:
    """Random changes of recordings while training, each recording its own.

    Attributes:
        shift: largest shift, in channels, or in pixels of both directions.
        stretch: times are multiplied by a factor from 1 − stretch to 1 + stretch.
        drop: share of events that are left out.
        equalize: counts are multiplied by a gain that varies smoothly over the channels and with loudness,
            as voices and microphones differ: the spread of its natural logarithm.
        onset: recordings begin up to this many milliseconds earlier or later.
        warp: time is bent, t/window becomes (t/window)^γ with ln γ from −warp to warp, as speech that
            begins slowly and ends fast, or the other way round.
    """

    shift: int = 0
    stretch: float = 0.0
    drop: float = 0.0
    equalize: float = 0.0
    onset: float = 0.0
    warp: float = 0.0


@dataclass(frozen=True)
class EventEncoderSpec(EncoderSpec):
    """Recorded events, binned into steps; see ``izhi.encoding.frames``.

    Attributes:
        steps: T.
        shape: of the sensor.
        window: milliseconds of a recording that fill the steps.
        pool: neighbours that become one unit.
        counted: whether events are counted.
        normalized: whether time is normalised.
        augmentation: random changes while training.
    """

    steps: int
    shape: Shape
    window: float
    pool: int = 1
    counted: bool = False
    normalized: bool = False
    augmentation: Augmentation = Augmentation()

    kind: ClassVar[str] = "EventEncoder"

    @property
    def grid(self) -> Shape:
        return with_channels(pooled(self.shape, self.pool))


@dataclass(frozen=True)
class SeriesEncoderSpec(EncoderSpec):
    """Time series as currents (``current``) or spikes (``rate``, ``delta``, ``level``), a step at a time.

    ``current`` gives the values themselves. The first connection weighs them, so that it is a linear encoder that is
    trained with the network. ``rate`` fires with the value as probability. ``delta`` is ``send_on_delta``, ``level``
    is ``level_crossing``.

    Attributes:
        code: the encoding.
        steps: T.
        channels: F.
        fields: Gaussian receptive fields for each channel, see ``population``; 0 for none (current, rate).
        delta: change that sends a spike (delta).
        crossings: levels of each channel (level).
        counted: whether several spikes may be sent in a step (delta).
        padded: whether series end early or are cut off, instead of being resampled to T steps; see ``present``.
    """

    code: SeriesCode
    steps: int
    channels: int
    fields: int = 0
    delta: float = 0.1
    crossings: int = 8
    counted: bool = False
    padded: bool = False

    kind: ClassVar[str] = "SeriesEncoder"

    def __post_init__(self) -> None:
        if self.code not in SERIES_CODES:
            raise unknown("encoding", self.code, SERIES_CODES)
        if self.fields and self.code not in ("current", "rate"):
            raise SettingError(f"population is {self.fields}, which the encoding {self.code!r} has no use for")

    @property
    def grid(self) -> Shape:
        units = {"delta": 2, "level": 2 * self.crossings}
        return (self.channels * units.get(self.code, max(1, self.fields)),)

    @property
    def is_random(self) -> bool:
        return self.code == "rate"


#: Descriptions of encoders by the names of their kinds.
ENCODERS: Mapping[str, type[EncoderSpec]] = {
    kind.kind: kind for kind in (ValueEncoderSpec, RowEncoderSpec, EventEncoderSpec, SeriesEncoderSpec)
}


def encoder_of_table(table: Mapping[str, object]) -> EncoderSpec:
    """The encoder that ``EncoderSpec.table`` wrote; SettingError if it is none."""
    kind = table.get("kind")
    if kind not in ENCODERS:
        raise unknown("encoder", kind, ENCODERS)
    try:
        return read(ENCODERS[str(kind)], table)
    except TypeError as error:
        raise SettingError(f"the encoder is {shown(dict(table))} ({shown(str(error))})") from None


def with_channels(shape: Shape) -> Shape:
    """Channels first, where an image has but one."""
    return (1, *shape) if len(shape) == 2 else shape


def pooled(shape: Shape, pool: int) -> Shape:
    """The shape of a sensor, (channels,) or (polarities, height, width), after pooling of neighbours."""
    first = shape[:-1] if len(shape) == 1 else shape[:1]
    return (*first, *(-(-size // pool) for size in shape[len(first) :]))


__all__ = [
    "Augmentation", "EncoderSpec", "EventEncoderSpec", "RowEncoderSpec", "SeriesEncoderSpec", "ValueEncoderSpec",
    "encoder_of_table",
]  # fmt: skip
