"""Encoders: objects that turn samples into spikes or currents for a network, from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from izhi.data import AnyBatch, Dataset, EventBatch, EventSamples, SeriesSamples
from izhi.deprecation import renamed_names
from izhi.errors import ShapeError, unknown
from izhi.kernels import PackedSpikes, Spikes, takes_bits
from izhi.network.encoding import (
    Augmentation,
    constant,
    frames,
    latency,
    permuted,
    pooled,
    population,
    rate,
    rate_packed,
    rows,
    shifted,
)
from izhi.network.series import SeriesEncoder
from izhi.seeds import Purpose, derive_seed


class Encoder(Protocol):
    """Samples (values, time series or events) → input of a network (spikes or currents), from a seed.

    Attributes:
        steps: T.
        features: width of one step, the number of inputs of the first connection.
        grid: the same for convolutions, channels first: (1, 28, 28) of an image.
        is_random: whether the spikes depend on the seed.
        is_constant: whether every step of a sample is the same.
    """

    @property
    def steps(self) -> int: ...
    @property
    def features(self) -> int: ...
    @property
    def grid(self) -> tuple[int, ...]: ...
    @property
    def is_random(self) -> bool: ...
    @property
    def is_constant(self) -> bool: ...

    def __call__(
        self, samples: AnyBatch, seed: int, *, training: bool = False,
        dtype: torch.dtype = torch.float32, device: torch.device | None = None,
    ) -> Spikes:  # fmt: skip
        """Spikes or currents (T, B, features).

        Args:
            samples: values (B, N) from 0 to 1, time series, or recordings.
            seed: of every random number; the same seed gives the same spikes.
            training: whether samples are augmented.
            dtype: of the result.
            device: where the network is; None for the CPU.
        """
        ...


def _device_of(samples: AnyBatch, device: torch.device | None) -> torch.device:
    if device is not None:
        return device
    return samples.device if isinstance(samples, Tensor) else torch.device("cpu")


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Channels first, where an image has but one."""
    return (1, *shape) if len(shape) == 2 else shape


#: Encodings of values.
CODES = ("rate", "latency", "constant")


@dataclass(frozen=True)
class ValueEncoder:
    """Values from 0 to 1 as spikes (``rate``, ``latency``), or as themselves (``constant``).

    Attributes:
        code: the encoding.
        steps: T.
        shape: of one sample, such as (28, 28).
        fields: Gaussian receptive fields per value; 0 for none.
        shift: largest shift of an image while training, in pixels.
        packs: whether spikes may be bit-packed, where that is faster, see ``izhi.kernels.devices.takes_bits``.
    """

    code: Literal["rate", "latency", "constant"]
    steps: int
    shape: tuple[int, ...]
    fields: int = 0
    shift: int = 0
    packs: bool = True

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise unknown("encoding", self.code, CODES)

    @property
    def grid(self) -> tuple[int, ...]:
        return (math.prod(self.shape) * self.fields,) if self.fields else _with_channels(self.shape)

    @property
    def features(self) -> int:
        return math.prod(self.grid)

    @property
    def is_random(self) -> bool:
        return self.code == "rate"

    @property
    def is_constant(self) -> bool:
        return self.code == "constant"

    def __call__(
        self, samples: AnyBatch, seed: int, *, training: bool = False,
        dtype: torch.dtype = torch.float32, device: torch.device | None = None,
    ) -> Spikes:  # fmt: skip
        values = _values(samples)
        if self.shift and training:
            values = shifted(values, self.shape, self.shift, seed=derive_seed(seed, Purpose.AUGMENTATION))
        if self.fields:
            values = population(values, self.fields)
        if self.code == "constant":
            return constant(values, self.steps, dtype=dtype)
        packs = self.packs and takes_bits(dtype, _device_of(samples, device).type)
        if self.code == "latency":
            spikes = latency(values, self.steps, dtype=dtype)
            return PackedSpikes.pack(spikes) if packs else spikes
        code = rate_packed if packs else rate
        return code(values, self.steps, seed=derive_seed(seed, Purpose.CODING), dtype=dtype)


@dataclass(frozen=True)
class RowEncoder:
    """Images row by row, each row as a current for T/H steps; or values over time, with H of them.

    Attributes:
        steps: T, a multiple of H; pixel by pixel a multiple of H·W.
        shape: (H, W), or (H, …).
        shift: largest shift of an image while training, in pixels.
        by_pixel: whether a step is one pixel instead of a row: one input, H·W steps (sequential MNIST).
        permutation: seed of one order into which the pixels of every image are brought before it is read; None for
            the order that they have.
    """

    steps: int
    shape: tuple[int, ...]
    shift: int = 0
    by_pixel: bool = False
    permutation: int | None = None

    is_random = is_constant = False

    @property
    def grid(self) -> tuple[int, ...]:
        return (1,) if self.by_pixel else _with_channels(self.shape[1:])

    @property
    def features(self) -> int:
        return math.prod(self.grid)

    def __call__(
        self, samples: AnyBatch, seed: int, *, training: bool = False,
        dtype: torch.dtype = torch.float32, device: torch.device | None = None,
    ) -> Spikes:  # fmt: skip
        values = _values(samples)
        if self.shift and training:
            values = shifted(values, self.shape, self.shift, seed=derive_seed(seed, Purpose.AUGMENTATION))
        if self.permutation is not None:
            values = permuted(values, self.permutation)
        return rows(values, self.steps, self.features, dtype=dtype)


@dataclass(frozen=True)
class EventEncoder:
    """Recorded events, binned into steps; see ``frames``.

    Attributes:
        steps: T.
        shape: of the sensor.
        window: milliseconds of a recording that fill the steps.
        pool: neighbours that become one unit.
        counted: whether events are counted.
        normalized: whether time is normalised.
        augmentation: random changes while training.
        packs: whether spikes may be bit-packed; elsewhere than on a CPU where that is faster.
    """

    steps: int
    shape: tuple[int, ...]
    window: float
    pool: int = 1
    counted: bool = False
    normalized: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    packs: bool = True

    is_random = is_constant = False

    @property
    def grid(self) -> tuple[int, ...]:
        return _with_channels(pooled(self.shape, self.pool))

    @property
    def features(self) -> int:
        return math.prod(self.grid)

    def __call__(
        self, samples: AnyBatch, seed: int, *, training: bool = False,
        dtype: torch.dtype = torch.float32, device: torch.device | None = None,
    ) -> Spikes:  # fmt: skip
        if not isinstance(samples, EventBatch):
            raise ShapeError("samples are values or time series, expected recordings")
        where = _device_of(samples, device)
        spikes = frames(
            samples, self.steps, self.window, dtype=dtype,
            augmentation=self.augmentation if training else None,
            seed=derive_seed(seed, Purpose.AUGMENTATION),
            pool=self.pool, counted=self.counted, normalized=self.normalized,
        )  # fmt: skip
        if isinstance(spikes, Tensor):
            return spikes.to(where)
        packs = self.packs and (where.type == "cpu" or takes_bits(dtype, where.type))
        return spikes.to(where) if packs else spikes.dense().to(where)


def _values(samples: AnyBatch) -> Tensor:
    if isinstance(samples, Tensor):
        return samples
    raise ShapeError("samples are recordings or time series, expected values (B, N)")


def default_encoder(dataset: Dataset, steps: int = 25) -> Encoder:
    """The encoder that a data set has by default: bins of events, values over time as currents, others by rate.

    Args:
        dataset: the samples.
        steps: T; of values over time it is that of the longest training sample.
    """
    if isinstance(dataset.train, EventSamples):
        return EventEncoder(steps, dataset.shape, dataset.window or 1000.0)
    if isinstance(dataset.train, SeriesSamples):
        return SeriesEncoder("current", dataset.train.longest, dataset.train.features)
    if dataset.over_time:
        return RowEncoder(dataset.shape[0], dataset.shape)
    return ValueEncoder("rate", steps, dataset.shape)


__getattr__ = renamed_names(__name__, {"usual": "default_encoder"})

__all__ = ["CODES", "Encoder", "EventEncoder", "RowEncoder", "ValueEncoder", "default_encoder"]
