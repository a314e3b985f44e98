"""Samples on a device: accuracy, speed, counters, and differences from its model."""

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
from izhi.hardware.networks import Array, Inputs

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class DeviceEvaluation:
    """The result of a device for some samples.

    Attributes:
        samples: their number.
        accuracy: the share of right classes, of steps if each has a label.
        seconds: of the device, with transfers to it and back.
        counters: of these samples.
        groups: the accuracy of groups of samples.
        rates: spikes per neuron and step of each layer; empty unless spikes were requested.
        spikes: of each layer in the reference; empty without a comparison.
        different: of each layer, the number of (step, sample, neuron) where device and reference differ.
        scores: samples whose scores differ, if the reference is the device's own model.
        classes: samples of another class in the reference, in any step if each has a label.
        model: the name of the reference, such as the integer model.
        answers: the class of each sample by the device, in their order, (samples,), or of each step (samples, T).
        labels: their true classes; below 0 where there is none.
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
        """(classes, classes): the number of samples of each true class, in rows, by their answer, in columns."""
        known = (self.labels >= 0) & (self.labels < classes)
        pairs = self.labels[known] * classes + self.answers[known]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    @property
    def labelled(self) -> str:
        """The number of samples, or of their steps if each has a label."""
        steps = f"{(self.labels >= 0).sum():,} steps of " if self.labels.ndim == 2 else ""
        return f"{steps}{self.samples:,}"

    @property
    def is_exact(self) -> bool:
        """Whether the device and the reference do not differ."""
        return not (any(self.different) or self.scores or self.classes)

    def require_exact(self, device: Device[Any]) -> None:
        """Raise DeviceError if the device and the reference differ."""
        if not self.is_exact:
            raise DeviceError(f"the device {device.name} does not do what {self.model} does; {device.remedy}")

    def summary(self) -> dict[str, Any]:
        """All fields but answers and labels, for scripts."""
        summary = asdict(self)
        del summary["answers"], summary["labels"], summary["counters"]["counted"]
        return {**summary, "is_exact": self.is_exact}

    def lines(self) -> list[str]:
        """The evaluation as text."""
        c = self.counters
        lines = [
            f"accuracy: {100 * self.accuracy:.2f} % of {self.labelled} samples,"
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
    """A model with which a device's spikes are compared.

    Attributes:
        run: the outcome of inputs; the class is that of the largest score, in any unit.
        name: for messages.
        has_scores: whether its scores are those of the device, number for number.
    """

    run: Callable[[Inputs], Outcome]
    name: str
    has_scores: bool = False


def _differences(reference: Reference, inputs: Inputs, outcome: Outcome) -> NDArray[np.int64]:
    """A batch compared: spikes and differences of each layer, then samples of other scores, and of another class.

    Raises:
        ShapeError: if the reference has other layers.
    """
    expected = reference.run(inputs)
    shapes, others = ([s.shape for s in x.spikes] for x in (outcome, expected))
    if shapes != others:
        raise ShapeError(
            f"{reference.name} gives spikes of shapes {others}, expected {shapes}:"
            " compare with the network that the device runs"
        )
    fired = [spikes.sum(dtype=np.int64) for spikes in expected.spikes]
    different = [(a != b).sum() for a, b in zip(outcome.spikes, expected.spikes, strict=True)]
    scores = _odd_samples(outcome.scores, expected.scores) if reference.has_scores else 0
    return np.array([*fired, *different, scores, _odd_samples(outcome.classes, expected.classes)], np.int64)


def _odd_samples(a: Array, b: Array) -> int:
    """How many samples (batch, …) differ."""
    return int((a != b).any(tuple(range(1, a.ndim))).sum())


def evaluate(
    device: Device[Any], batches: Iterable[tuple[Inputs, Labels]], *,
    groups: Mapping[str, NDArray[np.bool_]] | None = None, wants_rates: bool = False, compares: bool = False,
    reference: Reference | None = None, progress: Callable[[int], None] = lambda done: None,
) -> DeviceEvaluation:  # fmt: skip
    """Run samples on a device, whose counters start at 0.

    Args:
        batches: inputs as those of ``Device.run``, and their classes (batch,); samples in their order.
        groups: names of groups of samples, and their masks (samples,).
        wants_rates: whether the device sends the spikes of every layer, for their rates.
        compares: whether every spike of every layer is compared with the device's model.
        reference: takes the place of that model.
        progress: called with the number of samples that are done.

    Raises:
        ShapeError: if inputs do not fit the network, or the reference has other layers.
        DeviceError: if the device fails.
    """
    reference = reference or (Reference(device.expected, device.model, has_scores=True) if compares else None)
    sends_spikes, layers = wants_rates or reference is not None, len(device.network.layers)
    compared = 0 if reference is None else layers
    seconds, fired, counts = 0.0, np.zeros(layers), np.zeros(2 * compared + 2, np.int64)
    answers, labels, done = list[Labels](), list[Labels](), 0
    device.clear()
    for inputs, true in batches:
        start = time.perf_counter()
        outcome = device.run(inputs, sends_spikes=True) if sends_spikes else device.answer(inputs)
        seconds += time.perf_counter() - start
        answers.append(outcome.classes)
        labels.append(true)
        done += len(true)
        fired += [len(true) * spikes.mean() for spikes in outcome.spikes] if sends_spikes else 0
        counts += 0 if reference is None else _differences(reference, inputs, outcome)
        progress(done)
    every = np.zeros(0, np.int64)
    predicted, wanted = np.concatenate(answers or [every]), np.concatenate(labels or [every])
    total = tuple(counts.tolist())
    return DeviceEvaluation(
        done, _share(predicted, wanted), seconds, device.counters,
        {name: _share(predicted[mask[:done]], wanted[mask[:done]]) for name, mask in (groups or {}).items()},
        tuple((fired / max(done, 1)).tolist()) if sends_spikes else (), total[:compared], total[compared:-2],
        total[-2], total[-1], device.model if reference is None else reference.name, predicted, wanted,
    )  # fmt: skip


def _share(answers: Labels, labels: Labels) -> float:
    """The share of right answers, among steps with a label if each has one."""
    if answers.shape != labels.shape:
        raise ShapeError(
            f"labels have shape {labels.shape}, but the network gives classes {answers.shape}: a label for each sample,"
            " or for each step; choose the samples of its data set"
        )
    is_known = labels >= 0 if labels.ndim == 2 else np.ones(labels.shape, bool)
    return float((answers == labels)[is_known].mean()) if is_known.any() else 0.0


def own_samples(artifact: Artifact[Any]) -> tuple[Inputs, Labels]:
    """The test vectors of an artifact, and the classes of their scores.

    Raises:
        DataError: if it has none.
    """
    if not len(artifact.test_scores):
        raise DataError("the artifact carries no test vectors; name a data set or a file of samples")
    return artifact.test_inputs, artifact.test_scores.argmax(-1)


def save_samples(path: str | Path, inputs: Inputs, labels: Labels) -> None:
    """Write samples and their classes to a file, for devices without data sets.

    Args:
        path: of the file.
        inputs: spikes (T, samples, inputs) in uint8, or for the FPGA IP currents (samples, inputs) in float32.
        labels: the classes (samples,), or of each step (samples, T).
    """
    name = "currents" if inputs.dtype == np.float32 else "spikes"
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: inputs, "labels": labels}
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(Path(path), buffer.getvalue())


#: Bytes of samples for each byte of their file at most: spikes are few, and compress well.
_MOST_PACKED = 100


def load_samples(path: str | Path) -> tuple[Inputs, Labels]:
    """Read what ``save_samples`` wrote; nothing in the file is executed.

    Raises:
        DataError: if the file does not exist or holds something else.
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
    of_steps = labels.ndim == 2 and labels.shape[1] == len(inputs) and rank == 3
    are_labels = labels.dtype == np.int64 and (labels.ndim == 1 or of_steps) and len(labels)
    if not are_inputs or not are_labels or inputs.shape[-2] != len(labels):
        raise DataError(
            f"{path} holds {name} {inputs.dtype} {inputs.shape} and labels {labels.dtype} {labels.shape},"
            f" expected {np.dtype(kind)} {shape} and int64 (samples,)"
        )
    return inputs, labels
