"""Samples on a device: accuracy, speed, what it counted, and whether it does what its model does."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi import files
from izhi.errors import DataError, DeviceError, ShapeError, shown
from izhi.hardware.artifact import Artifact
from izhi.hardware.devices.device import Counters, Device
from izhi.hardware.fixed import Outcome
from izhi.hardware.networks import Inputs

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DeviceEvaluation:
    """What a device made of some samples.

    Attributes:
        samples: how many.
        accuracy: the share whose class is right.
        seconds: that the device took, with the way to it and back.
        counters: what it counted meanwhile.
        groups: the accuracy of groups of samples.
        rates: spikes per neuron and step of each layer; empty where spikes were not asked for.
        spikes: of each layer, as the reference has them; empty where nothing was compared.
        different: of each layer, places (step, sample, neuron) where device and reference differ.
        scores: samples whose scores differ, where the reference is the device's own model.
        classes: samples that the reference gives another class.
        model: what the device was compared with: the integer model, say.
        answers: the class that each sample was given, in their order.
        labels: the class that it ought to have.
    """

    samples: int
    accuracy: float
    seconds: float
    counters: Counters
    groups: Mapping[str, float] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    spikes: tuple[int, ...] = ()
    different: tuple[int, ...] = ()
    scores: int = 0
    classes: int = 0
    model: str = "the integer model"
    answers: Labels = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    labels: Labels = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """(classes, classes): how many samples of a class, in rows, were given a class, in columns."""
        known = (self.labels >= 0) & (self.labels < classes)
        pairs = self.labels[known] * classes + self.answers[known]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def is_exact(self) -> bool:
        """Whether nothing differed from the reference."""
        return not (any(self.different) or self.scores or self.classes)

    def require_exact(self, device: Device[Any]) -> None:
        """Raise DeviceError unless the device did what its reference does."""
        if not self.is_exact:
            raise DeviceError(f"the device {device.name} does not do what {self.model} does; {device.remedy}")

    def summary(self) -> dict[str, Any]:
        """Everything but answers and labels, for scripts."""
        found = asdict(self)
        del found["answers"], found["labels"], found["counters"]["counted"]
        return {**found, "is_exact": self.is_exact}

    def lines(self) -> list[str]:
        """For people to read."""
        c = self.counters
        lines = [
            f"accuracy: {100 * self.accuracy:.2f} % of {self.samples:,} samples,"
            f" {self.samples / self.seconds:,.1f} samples/s",
            f"{c.spikes / self.samples:,.0f} {c.counted} per sample",
        ]
        if c.events is not None:
            lines[1] = f"{c.events / self.samples:,.0f} input spikes and {lines[1]}"
        if c.cycles is not None:
            lines.append(f"{c.cycles / self.samples:,.0f} clock cycles per sample")
        lines += [
            f"layer {number}: {fired:,} spikes, {off:,} different from {self.model}"
            for number, (fired, off) in enumerate(zip(self.spikes, self.different, strict=True), start=1)
        ]
        if self.spikes:
            lines.append(f"scores: {self.scores:,} samples different from {self.model}")
        return lines


@dataclass(frozen=True)
class Reference:
    """What a device's spikes are compared with.

    Attributes:
        run: the outcome of inputs; scores may be any numbers of which the largest names the class.
        name: for people.
        has_scores: whether its scores are the device's, number for number.
    """

    run: Callable[[Inputs], Outcome]
    name: str
    has_scores: bool = False


class _Comparison:
    """Counts what differs from a reference, layer by layer."""

    def __init__(self, reference: Reference, layers: int) -> None:
        self.reference = reference
        self.spikes, self.different = [0] * layers, [0] * layers
        self.scores = self.classes = 0

    def add(self, inputs: Inputs, outcome: Outcome) -> None:
        """Compare a batch.

        Raises:
            ShapeError: if the reference has other layers.
        """
        expected = self.reference.run(inputs)
        shapes, others = ([s.shape for s in x.spikes] for x in (outcome, expected))
        if shapes != others:
            raise ShapeError(
                f"{self.reference.name} gives spikes of shapes {others}, expected {shapes}:"
                " compare with the network that the device runs"
            )
        for k, (found, wanted) in enumerate(zip(outcome.spikes, expected.spikes, strict=True)):
            self.spikes[k] += int(wanted.sum(dtype=np.int64))
            self.different[k] += int((found != wanted).sum())
        self.classes += int((outcome.classes != expected.classes).sum())
        if self.reference.has_scores:
            self.scores += int((outcome.scores != expected.scores).any(1).sum())


def evaluate(
    device: Device[Any],
    batches: Iterable[tuple[Inputs, Labels]],
    *,
    groups: Mapping[str, NDArray[np.bool_]] | None = None,
    wants_rates: bool = False,
    compares: bool = False,
    reference: Reference | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> DeviceEvaluation:
    """Run samples on a device; the device's counters begin anew.

    Args:
        device: with a network.
        batches: what the network takes, spikes (T, batch, inputs) or for the FPGA IP currents
            (batch, inputs), and the classes they ought to have, (batch,); samples in their order.
        groups: names of groups of samples, and which samples they are, (samples,).
        wants_rates: whether the device is to send the spikes of every layer, for their rates.
        compares: whether every spike of every layer is compared with that of the device's model.
        reference: what they are compared with in the model's place.
        progress: told how many samples are done.

    Raises:
        ShapeError: if inputs do not fit the network, or the reference has other layers.
        DeviceError: if the device fails.
    """
    if reference is None and compares:
        reference = Reference(device.expected, device.model, has_scores=True)
    layers = len(device.network.layers)
    comparison = None if reference is None else _Comparison(reference, layers)
    sends_spikes = wants_rates or comparison is not None
    device.clear()
    seconds, done, fired = 0.0, 0, np.zeros(layers)
    answers, labels = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for inputs, wanted in batches:
        start = time.perf_counter()
        outcome = device.run(inputs, sends_spikes=True) if sends_spikes else device.answer(inputs)
        seconds += time.perf_counter() - start
        answers.append(outcome.classes)
        labels.append(wanted)
        done += len(wanted)
        if sends_spikes:
            fired += [len(wanted) * spikes.mean() for spikes in outcome.spikes]
        if comparison is not None:
            comparison.add(inputs, outcome)
        progress(done)
    answered, asked = np.concatenate(answers), np.concatenate(labels)
    right = answered == asked
    compared: dict[str, Any] = {}
    if comparison is not None:
        compared = {
            "spikes": tuple(comparison.spikes), "different": tuple(comparison.different),
            "scores": comparison.scores, "classes": comparison.classes,
            "model": comparison.reference.name,
        }  # fmt: skip
    return DeviceEvaluation(
        done, _share(right), seconds, device.counters,
        {name: _share(right[mask[:done]]) for name, mask in (groups or {}).items()},
        tuple(map(float, fired / max(done, 1))) if sends_spikes else (),
        answers=answered, labels=asked, **{"model": device.model, **compared},
    )  # fmt: skip


def _share(right: NDArray[np.bool_]) -> float:
    return float(right.mean()) if right.size else 0.0


def own_samples(artifact: Artifact[Any]) -> tuple[Inputs, Labels]:
    """The test vectors that an artifact carries, and the classes that their scores name.

    Raises:
        DataError: if it carries none.
    """
    if not len(artifact.test_scores):
        raise DataError("the artifact carries no test vectors; name a data set or a file of samples")
    return artifact.test_inputs, artifact.test_scores.argmax(1)


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
    files.write_bytes(Path(path), buffer.getvalue())


#: How often larger than its file samples may be: spikes are few, and pack well.
_MOST_PACKED = 100


def load_samples(path: str | Path) -> tuple[Inputs, Labels]:
    """Read what ``save_samples`` wrote; nothing in the file is executed.

    Raises:
        DataError: if the file is not there or holds something else.
    """
    arrays = files.arrays(Path(path), _MOST_PACKED, "samples", "izhi export")
    name = "currents" if "currents" in arrays else "spikes"
    if not {name, "labels"} <= arrays.keys():
        raise DataError(f"{path} holds no samples ({shown(list(arrays))}), expected a file of izhi export")
    inputs, labels = arrays[name], arrays["labels"]
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


__all__ = [
    "DeviceEvaluation",
    "Inputs",
    "Labels",
    "Reference",
    "evaluate",
    "load_samples",
    "own_samples",
    "save_samples",
]
