"""Encoders: objects that turn samples into spikes or currents for a network, from a seed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from izhi.data import AnyBatch, Dataset, EventBatch, EventSamples, SeriesBatch, SeriesSamples
from izhi.deprecation import renamed_names
from izhi.errors import ShapeError
from izhi.kernels import PackedSpikes, Spikes, takes_bits
from izhi.kernels.lazy import materialize
from izhi.network import encoding
from izhi.network.encoding import constant, frames, latency, permuted, population, rate, rate_packed, rows, shifted
from izhi.seeds import Purpose, derive_seed
from izhi.spec.encoder import (
    CODES,
    SERIES_CODES,
    EncoderSpec,
    EventEncoderSpec,
    RowEncoderSpec,
    SeriesEncoderSpec,
    ValueEncoderSpec,
)


@dataclass(frozen=True)
class Encoder(EncoderSpec):
    """Samples (values, time series or events) → input of a network (spikes or currents), from a seed.

    A description that runs: base of all encoders.

    Attributes:
        steps: T.
        features: width of one step, the number of inputs of the first connection.
        grid: the same for convolutions, channels first: (1, 28, 28) of an image.
        is_random: whether the spikes depend on the seed.
        is_constant: whether every step of a sample is the same.
        packs: whether spikes may be bit-packed, where that is faster, see ``izhi.kernels.takes_bits``.
    """

    packs: bool = True

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
        where = device or (samples.device if isinstance(samples, Tensor) else torch.device("cpu"))
        return self._run(samples, seed, training, dtype, where)

    @abstractmethod
    def _run(
        self, samples: AnyBatch, seed: int, training: bool, dtype: torch.dtype, device: torch.device
    ) -> Spikes: ...


def _values(samples: AnyBatch, spec: ValueEncoderSpec | RowEncoderSpec, seed: int, training: bool) -> Tensor:
    """Values (B, N), shifted while training."""
    if not isinstance(samples, Tensor):
        raise ShapeError("samples are recordings or time series, expected values (B, N)")
    if not (spec.shift and training):
        return samples
    return shifted(samples, spec.shape, spec.shift, seed=derive_seed(seed, Purpose.AUGMENTATION))


@dataclass(frozen=True)
class ValueEncoder(Encoder, ValueEncoderSpec):
    __doc__ = ValueEncoderSpec.__doc__

    def _run(self, samples: AnyBatch, seed: int, training: bool, dtype: torch.dtype, device: torch.device) -> Spikes:
        values = _values(samples, self, seed, training)
        if self.fields:
            values = population(values, self.fields)
        if self.code == "constant":
            return constant(values, self.steps, dtype=dtype)
        packs = self.packs and takes_bits(dtype, device.type)
        if self.code == "latency":
            spikes = latency(values, self.steps, dtype=dtype)
            return PackedSpikes.pack(spikes) if packs else spikes
        seed = derive_seed(seed, Purpose.CODING)
        if packs:
            return rate_packed(values, self.steps, seed=seed, dtype=dtype)
        return materialize(rate(values, self.steps, seed=seed, dtype=dtype))


@dataclass(frozen=True)
class RowEncoder(Encoder, RowEncoderSpec):
    __doc__ = RowEncoderSpec.__doc__

    def _run(self, samples: AnyBatch, seed: int, training: bool, dtype: torch.dtype, device: torch.device) -> Spikes:
        values = _values(samples, self, seed, training)
        if self.permutation is not None:
            values = permuted(values, self.permutation)
        return rows(values, self.steps, self.features, dtype=dtype)


@dataclass(frozen=True)
class EventEncoder(Encoder, EventEncoderSpec):
    __doc__ = EventEncoderSpec.__doc__

    def _run(self, samples: AnyBatch, seed: int, training: bool, dtype: torch.dtype, device: torch.device) -> Spikes:
        if not isinstance(samples, EventBatch):
            raise ShapeError("samples are values or time series, expected recordings")
        spikes = frames(
            samples, self.steps, self.window, dtype=dtype,
            augmentation=self.augmentation if training else None,
            seed=derive_seed(seed, Purpose.AUGMENTATION),
            pool=self.pool, counted=self.counted, normalized=self.normalized,
        )  # fmt: skip
        if isinstance(spikes, Tensor):
            return spikes.to(device)
        packs = self.packs and (device.type == "cpu" or takes_bits(dtype, device.type))
        return spikes.to(device) if packs else spikes.dense().to(device)


@dataclass(frozen=True)
class SeriesEncoder(Encoder, SeriesEncoderSpec):
    __doc__ = SeriesEncoderSpec.__doc__

    def present(self, samples: AnyBatch) -> Tensor | None:
        """Whether each sample has not ended yet, (T, B): output after it does not count. None if none ends early."""
        return encoding.present(_series(samples), self.steps) if self.padded else None

    def _run(self, samples: AnyBatch, seed: int, training: bool, dtype: torch.dtype, device: torch.device) -> Spikes:
        batch, resample = _series(samples), encoding.padded if self.padded else encoding.resampled
        spikes = self._coded(resample(batch, self.steps), derive_seed(seed, Purpose.CODING))
        if self.padded:
            spikes = spikes * encoding.present(batch, self.steps)[..., None]
        is_binary = self.code in ("rate", "level") or (self.code == "delta" and not self.counted)
        if is_binary and self.packs and takes_bits(dtype, device.type):
            return PackedSpikes.pack(spikes.to(dtype)).to(device)
        return spikes.to(device, dtype)

    def _coded(self, values: Tensor, seed: int) -> Tensor:
        """(T, B, features) of values (T, B, F)."""
        if self.code == "delta":
            return encoding.send_on_delta(values, self.delta, counted=self.counted)
        if self.code == "level":
            return encoding.level_crossing(values, self.crossings)
        steps = values.flatten(0, 1)
        if self.fields:
            steps = population(steps, self.fields)
        if self.code == "rate":
            steps = rate(steps, 1, seed=seed)[0]
        return steps.view(*values.shape[:2], -1)


def _series(samples: AnyBatch) -> SeriesBatch:
    if isinstance(samples, SeriesBatch):
        return samples
    raise ShapeError("samples are no time series, expected values over time; choose the encoder of their kind")


def build_encoder(spec: EncoderSpec, *, packs: bool = True) -> Encoder:
    """The encoder of a description; ``packs`` says whether its spikes may be bit-packed, where that is faster."""
    make: type[Encoder] = {x.kind: x for x in (ValueEncoder, RowEncoder, EventEncoder, SeriesEncoder)}[spec.kind]
    return make(**{**vars(spec), "packs": packs})


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

__all__ = [
    "CODES", "SERIES_CODES", "Encoder", "EventEncoder", "RowEncoder", "SeriesEncoder", "ValueEncoder",
    "default_encoder",
]  # fmt: skip
