"""Evaluation: loss and accuracy of a classifier, and the firing rates of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.calls import with_room
from izhi.data import NO_LABEL, AnyBatch, AnySamples, has_step_labels, stream
from izhi.kernels import spikes_of_neurons
from izhi.seeds import Purpose, derive_seed
from izhi.training.classifier import Classifier
from izhi.training.losses import Loss

#: Samples that are evaluated at once, and coded from one seed.
EVALUATION_BATCH = 1000

#: Bytes of spikes and currents that the network computes at once.
EVALUATION_BYTES = 2**31

Row = dict[str, float]


@dataclass
class Evaluation:
    """Loss and accuracy over samples, accuracy of groups of them, and the layers' activity.

    Attributes:
        loss: mean over samples, or over steps.
        accuracy: share of samples whose class is right; of steps if each has a label.
        confusion: (classes, classes): the number of samples of a class (rows), or of steps, that were predicted as a
            class (columns).
        of_steps: whether each step has a label.
    """

    loss: float
    accuracy: float
    groups: dict[str, float]
    activity: Activity
    confusion: Tensor
    of_steps: bool = False

    @property
    def labelled(self) -> int:
        """Number of labels: of samples, or of steps."""
        return int(self.confusion.sum())

    def as_metrics(self, part: str) -> Row:
        """Loss and accuracies of training, validation or test samples, by the names of metrics."""
        groups = {f"{part}_accuracy_{name}": x for name, x in self.groups.items()}
        steps: Row = {f"{part}_steps": self.labelled} if self.of_steps else {}
        return {f"{part}_loss": self.loss, f"{part}_accuracy": self.accuracy, **groups, **steps}

    def rates(self) -> Row:
        """Spikes per neuron and step of each layer, by the names of metrics."""
        return {f"rate_{k}": x.rate for k, x in enumerate(self.activity.layers, start=1)}


@with_room
def evaluate(
    fabric: Fabric, model: nn.Module, samples: AnySamples, loss: Loss, *, seed: int, purpose: Purpose = Purpose.TEST,
    groups: Mapping[str, Tensor] | None = None,
) -> Evaluation:  # fmt: skip
    """Evaluate samples, and groups of them.

    Args:
        fabric: of precision and processes.
        model: set up by it.
        samples: that are evaluated.
        loss: of the network's output.
        seed: of the coding of samples, with the purpose.
        purpose: of the samples.
        groups: name → mask of samples with an accuracy of their own.
    """
    model.eval()
    # Sums of integers, and their samples, are exact in float32.
    classifier = cast(Classifier, model.module)
    run: nn.Module = classifier if classifier.network.is_exact else model
    activity, at_once = Activity(), samples_at_once(classifier)
    masks = torch.stack([torch.ones(len(samples), dtype=torch.bool), *(groups or {}).values()])
    # Rows: sums over all samples and over each group; columns: loss, correct, number.
    sums = torch.zeros(len(masks), 3, device=fabric.device)
    rank, world = fabric.global_rank, fabric.world_size
    confusion = torch.zeros(0, 0, device=fabric.device)
    every = torch.arange(len(samples))
    shares = [part[rank::world] for part in torch.split(every, EVALUATION_BATCH)]
    # Every process runs each batch, since they exchange buffers; without a share it runs a sample that does not count.
    parts = [own if len(own) else every[:1] for own in shares]
    with torch.no_grad():
        for step, (values, labels) in enumerate(stream(samples, parts)):
            values, labels = values.to(fabric.device), labels.to(fabric.device)
            output, spikes = run(precise(fabric, values), derive_seed(seed, purpose, step, rank), at_once)
            each, pairs = _measure(loss, output, labels)
            if not len(shares[step]):
                each, pairs = torch.zeros_like(each), torch.zeros_like(pairs)
            confusion = pairs + (confusion if step else torch.zeros_like(pairs))
            sums += masks[:, parts[step]].to(each) @ each
            activity.add(spikes)
    sums, confusion = summed(fabric, sums), summed(fabric, confusion)
    mean, accuracy = (sums[0, :2] / sums[0, 2]).tolist()
    of_groups = dict(zip(groups or {}, (sums[1:, 1] / sums[1:, 2]).tolist(), strict=True))
    return Evaluation(mean, accuracy, of_groups, activity, confusion.cpu(), has_step_labels(samples))


def samples_at_once(classifier: Classifier) -> int:
    """How many samples a network runs at once in the memory of ``EVALUATION_BYTES``."""
    inputs, steps = classifier.encoder.features, classifier.encoder.steps
    numbers = inputs + 2 * sum(classifier.network.neurons(inputs))
    return max(1, EVALUATION_BYTES // (4 * steps * numbers))


def _measure(loss: Loss, output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Of each sample loss, correct and known labels, (B, 3); and how often a class was predicted as each class.

    The loss is the batch's, times the number of labels.
    """
    classes, (predicted, wanted) = output.shape[-1], loss.compare(output, labels)
    correct, is_known = (predicted == wanted).sum(1).float(), wanted != NO_LABEL
    index = (wanted * classes + predicted)[is_known]
    pairs = torch.bincount(index, minlength=classes**2).reshape(classes, classes)
    number = is_known.sum(1).float()
    return torch.stack([loss(output, labels) * number, correct, number], 1), pairs


def precise(fabric: Fabric, values: AnyBatch) -> AnyBatch:
    """Values in the floating point format of the run."""
    wide = fabric.strategy.precision.precision == "64-true"
    return values.double() if wide and isinstance(values, Tensor) else values


def summed(fabric: Fabric, total: Tensor) -> Tensor:
    """A tensor summed over all processes."""
    if fabric.world_size == 1:
        return total
    reduced = fabric.all_reduce(total, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


#: A layer is reported when this share of its neurons never fires over a whole data set …
SILENT_SHARE = 0.9
#: … or when its mean rate passes this many spikes per neuron and step. The FPGA order cannot fire
#: more than every second step, so half of that is saturation.
SATURATED_RATE = 0.25


@dataclass
class LayerActivity:
    """Counts of one layer: spikes per neuron, and how many neuron-steps they came from."""

    spikes: Tensor
    steps: int

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        return float(self.spikes.double().mean()) / self.steps

    @property
    def silent(self) -> float:
        """Share of neurons that never fired."""
        return float((self.spikes == 0).float().mean())


class Activity:
    """Adds up the spikes of every layer over the batches of a data set."""

    def __init__(self) -> None:
        self.layers: list[LayerActivity] = []

    def add(self, spikes: list[Tensor]) -> None:
        """Count the spikes of each layer, (T, B, N) each."""
        counts = [spikes_of_neurons(x).cpu() for x in spikes]
        if not self.layers:
            self.layers = [LayerActivity(torch.zeros_like(c), 0) for c in counts]
        for layer, x, c in zip(self.layers, spikes, counts, strict=True):
            layer.spikes += c
            layer.steps += x.shape[0] * x.shape[1]

    def warnings(self) -> list[str]:
        """One line for each silent or saturated layer, with the settings to change."""
        lines = []
        for number, layer in enumerate(self.layers, start=1):
            if layer.silent >= SILENT_SHARE:
                state = f"silent: {layer.silent:.0%} of its neurons never fire; raise gain (input current) or steps"
            elif layer.rate >= SATURATED_RATE:
                rate = f"{layer.rate:.2f} spikes per neuron and step"
                state = f"saturated: {rate}; lower gain (input current) or learning_rate"
            else:
                continue
            lines.append(f"layer {number} is {state}")
        return lines
