"""Samples on a device: accuracy, speed, what it counted, and whether it does what its model does."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi.errors import DataError, DeviceError
from izhi.files import problem, write_bytes
from izhi.hardware.devices.device import Counters, Device

#: Spikes (T, batch, inputs), uint8, or for the FPGA IP currents (batch, inputs), float32.
Inputs = NDArray[np.uint8] | NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """What a device made of some samples.

    Attributes:
        samples: how many.
        accuracy: the share whose class is right.
        seconds: that the device took, with the way to it and back.
        counters: what it counted meanwhile.
        spikes: of each layer, as the device's model has them; empty where that was not asked for.
        different: of each layer, places (step, sample, neuron) where device and model differ.
        scores: samples whose scores differ.
        model: what the device was compared with: the integer model, or the arithmetic of the FPGA IP.
    """

    samples: int
    accuracy: float
    seconds: float
    counters: Counters
    spikes: tuple[int, ...] = ()
    different: tuple[int, ...] = ()
    scores: int = 0
    model: str = "the integer model"

    @property
    def is_exact(self) -> bool:
        """Whether nothing differed from the model."""
        return not any(self.different) and not self.scores

    def require_exact(self, device: Device[Any]) -> None:
        """Raise DeviceError unless the device did what its model does."""
        if not self.is_exact:
            raise DeviceError(
                f"the device {device.name} does not do what {self.model} does; {device.remedy}"
            )

    def lines(self) -> list[str]:
        """For people to read."""
        c = self.counters
        lines = [
            f"accuracy: {100 * self.accuracy:.2f} % of {self.samples:,} samples, {self.samples / self.seconds:,.1f} samples/s",
            f"{c.spikes / self.samples:,.0f} spikes per sample",
        ]  # fmt: skip
        if c.events is not None:
            lines[1] = f"{c.events / self.samples:,.0f} input spikes and {lines[1]}"
        if c.cycles is not None:
            lines.append(f"{c.cycles / self.samples:,.0f} clock cycles per sample")
        lines += [
            f"layer {number}: {fired:,} spikes, {off:,} different from {self.model}"
            for number, (fired, off) in enumerate(
                zip(self.spikes, self.different, strict=True), start=1
            )
        ]
        if self.spikes:
            lines.append(f"scores: {self.scores:,} samples different from {self.model}")
        return lines


def evaluate(
    device: Device[Any],
    batches: Iterable[tuple[Inputs, Labels]],
    *,
    compares: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Run samples on a device.

    Args:
        device: with a network.
        batches: what the network takes, spikes (T, batch, inputs) or for the FPGA IP currents
            (batch, inputs), and the classes they ought to have, (batch,).
        compares: whether every spike of every layer is compared with that of the device's model.
        progress: told how many samples are done.
    """
    device.clear()
    network = device.network
    spikes = np.zeros((2, len(network.layers)), np.int64)
    seconds, right, done, scores = 0.0, 0, 0, 0
    for arriving, labels in batches:
        start = time.perf_counter()
        outcome = device.run(arriving, sends_spikes=compares)
        seconds += time.perf_counter() - start
        right += int((outcome.classes == labels).sum())
        done += len(labels)
        if compares:
            expected = device.expected(arriving)
            scores += int((outcome.scores != expected.scores).any(1).sum())
            for k, (a, b) in enumerate(zip(outcome.spikes, expected.spikes, strict=True)):
                spikes[:, k] += int(b.sum(dtype=np.int64)), int((a != b).sum())
        progress(done)
    fired, different = (tuple(map(int, x)) for x in spikes) if compares else ((), ())
    share = right / done if done else 0.0
    return Evaluation(done, share, seconds, device.counters, fired, different, scores, device.model)


def save_samples(path: str | Path, inputs: Inputs, labels: Labels) -> None:
    """Write samples for a device where there is no data set, and their classes (samples,).

    Args:
        path: of the file.
        inputs: spikes (T, samples, inputs) in uint8, or for the FPGA IP currents (samples, inputs) in float32.
        labels: the classes.
    """
    name = "currents" if inputs.dtype == np.float32 else "spikes"
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: inputs, "labels": labels}
    np.savez_compressed(buffer, **arrays)
    write_bytes(Path(path), buffer.getvalue())


def load_samples(path: str | Path) -> tuple[Inputs, Labels]:
    """Read what ``save_samples`` wrote; nothing in the file is executed.

    Raises:
        DataError: if the file is not there or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            name = "currents" if "currents" in file else "spikes"
            inputs, labels = file[name], file["labels"]
    except OSError as error:
        raise DataError(f"cannot read {path}: {problem(error)}") from None
    except Exception as error:  # numpy raises many kinds for files that are none of its own
        raise DataError(
            f"{path} holds no samples ({error}), expected a file of izhi export"
        ) from None
    kind, rank, shape = {
        "spikes": (np.uint8, 3, "(T, samples, inputs)"),
        "currents": (np.float32, 2, "(samples, inputs)"),
    }[name]
    are_inputs = inputs.dtype == kind and inputs.ndim == rank
    are_labels = labels.dtype == np.int64 and labels.ndim == 1 and len(labels)
    if not are_inputs or not are_labels or inputs.shape[-2] != len(labels):
        raise DataError(
            f"{path} holds {name} {inputs.dtype} {inputs.shape} and labels {labels.dtype} {labels.shape},"
            f" expected {np.dtype(kind)} {shape} and int64 (samples,)"
        )
    return inputs, labels


__all__ = ["Evaluation", "Inputs", "Labels", "evaluate", "load_samples", "save_samples"]
