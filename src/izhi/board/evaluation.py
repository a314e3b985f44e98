"""Samples on a device: accuracy, speed, what it counted, and whether it does what the integer model does."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi.board.device import Counters, Device
from izhi.board.emulator import model
from izhi.errors import DataError, DeviceError
from izhi.files import write_bytes

Spikes = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """What a device made of some samples.

    Attributes:
        samples: how many.
        accuracy: the share whose class is right.
        seconds: that the device took, with the way to it and back.
        counters: what it counted meanwhile.
        spikes: of each layer, as the integer model has them; empty where that was not asked for.
        different: of each layer, places (step, sample, neuron) where device and integer model differ.
        scores: samples whose scores differ.
    """

    samples: int
    accuracy: float
    seconds: float
    counters: Counters
    spikes: tuple[int, ...] = ()
    different: tuple[int, ...] = ()
    scores: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether nothing differed from the integer model."""
        return not any(self.different) and not self.scores

    def require_exact(self, device: str) -> None:
        """Raise DeviceError unless the device of that name did what the integer model does."""
        if not self.is_exact:
            raise DeviceError(
                f"the device {device} does not do what the integer model does; build its core anew"
            )

    def lines(self) -> list[str]:
        """For people to read."""
        c = self.counters
        lines = [
            f"accuracy: {100 * self.accuracy:.2f} % of {self.samples:,} samples, {self.samples / self.seconds:,.1f} samples/s",
            f"{c.events / self.samples:,.0f} input spikes and {c.spikes / self.samples:,.0f} spikes per sample",
        ]  # fmt: skip
        if c.cycles is not None:
            lines.append(f"{c.cycles / self.samples:,.0f} clock cycles per sample")
        lines += [
            f"layer {number}: {fired:,} spikes, {off:,} different from the integer model"
            for number, (fired, off) in enumerate(
                zip(self.spikes, self.different, strict=True), start=1
            )
        ]
        if self.spikes:
            lines.append(f"scores: {self.scores:,} samples different from the integer model")
        return lines


def evaluate(
    device: Device,
    batches: Iterable[tuple[Spikes, Labels]],
    *,
    compares: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Run samples on a device.

    Args:
        device: with a network.
        batches: spikes (T, batch, inputs) and the classes they ought to have, (batch,).
        compares: whether every spike of every layer is compared with the integer model's.
        progress: told how many samples are done.
    """
    device.clear()
    run, network = model(), device.network
    spikes = np.zeros((2, len(network.layers)), np.int64)
    seconds, right, done, scores = 0.0, 0, 0, 0
    for arriving, labels in batches:
        start = time.perf_counter()
        outcome = device.run(arriving, sends_spikes=compares)
        seconds += time.perf_counter() - start
        right += int((outcome.classes == labels).sum())
        done += len(labels)
        if compares:
            expected = run(network, arriving)
            scores += int((outcome.scores != expected.scores).any(1).sum())
            for k, (a, b) in enumerate(zip(outcome.spikes, expected.spikes, strict=True)):
                spikes[:, k] += int(b.sum(dtype=np.int64)), int((a != b).sum())
        progress(done)
    fired, different = (tuple(map(int, x)) for x in spikes) if compares else ((), ())
    share = right / done if done else 0.0
    return Evaluation(done, share, seconds, device.counters, fired, different, scores)


def save_samples(path: str | Path, spikes: Spikes, labels: Labels) -> None:
    """Write samples for a device where there is no data set: spikes (T, samples, inputs) and classes (samples,)."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, spikes=spikes, labels=labels)
    write_bytes(Path(path), buffer.getvalue())


def load_samples(path: str | Path) -> tuple[Spikes, Labels]:
    """Read what ``save_samples`` wrote; nothing in the file is executed.

    Raises:
        DataError: if the file is not there or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            spikes, labels = file["spikes"], file["labels"]
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # numpy raises many kinds for files that are none of its own
        raise DataError(
            f"{path} holds no samples ({error}), expected a file of izhi export"
        ) from None
    if not _fit(spikes, labels):
        raise DataError(
            f"{path} holds spikes {spikes.dtype} {spikes.shape} and labels {labels.dtype} {labels.shape},"
            " expected uint8 (T, samples, inputs) and int64 (samples,)"
        )
    return spikes, labels


def _fit(spikes: NDArray[Any], labels: NDArray[Any]) -> bool:
    kinds = spikes.dtype == np.uint8 and labels.dtype == np.int64
    return bool(kinds and spikes.ndim == 3 and labels.shape == spikes.shape[1:2] and len(labels))


__all__ = ["Evaluation", "evaluate", "load_samples", "save_samples"]
