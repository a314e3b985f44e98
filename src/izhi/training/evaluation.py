"""Evaluation: loss and accuracy of a classifier, and the firing rates of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.calls import with_room
from izhi.data import AnyBatch, AnySamples, stream
from izhi.seeds import Purpose, derive_seed
from izhi.training.activity import Activity
from izhi.training.classifier import Classifier
from izhi.training.losses import Loss

#: Samples that are evaluated at once, and coded from one seed.
EVALUATION_BATCH = 1000

Row = dict[str, float]


@dataclass
class Evaluation:
    """Loss and accuracy over samples, accuracy of groups of them, and the layers' activity.

    Attributes:
        confusion: (classes, classes): how many samples of a class, in rows, were given a class, in columns.
    """

    loss: float
    accuracy: float
    groups: dict[str, float]
    activity: Activity
    confusion: Tensor

    def as_metrics(self, part: str) -> Row:
        """Loss and accuracies under the names that a row of metrics has for a part of the samples."""
        groups = {f"{part}_accuracy_{name}": x for name, x in self.groups.items()}
        return {f"{part}_loss": self.loss, f"{part}_accuracy": self.accuracy, **groups}

    def rates(self) -> Row:
        """Spikes per neuron and step of each layer, as a row of metrics names them."""
        return {f"rate_{k}": x.rate for k, x in enumerate(self.activity.layers, start=1)}


@with_room
def evaluate(
    fabric: Fabric,
    model: nn.Module,
    samples: AnySamples,
    loss: Loss,
    *,
    seed: int,
    purpose: Purpose = Purpose.TEST,
    groups: Mapping[str, Tensor] | None = None,
) -> Evaluation:
    """Evaluate samples, and groups of them.

    Args:
        fabric: whose precision and processes are used.
        model: set up by it.
        samples: what is evaluated.
        loss: of the network's output.
        seed: by which, and the purpose, samples are coded.
        purpose: what they are.
        groups: name → mask of samples whose accuracy is given apart.
    """
    model.eval()
    # Sums of integers, and their samples, are exact in float32.
    classifier = cast(Classifier, model.module)
    run: nn.Module = classifier if classifier.network.is_exact else model
    activity = Activity()
    masks = torch.stack([torch.ones(len(samples), dtype=torch.bool), *(groups or {}).values()])
    # Rows: sums over all samples and over each group; columns: loss, correct, number.
    sums = torch.zeros(len(masks), 3, device=fabric.device)
    rank, world = fabric.global_rank, fabric.world_size
    confusion = torch.zeros(0, 0, device=fabric.device)
    every = torch.arange(len(samples))
    parts = [part[rank::world] for part in torch.split(every, EVALUATION_BATCH)]
    with torch.no_grad():
        for step, (values, labels) in enumerate(stream(samples, parts)):
            values, labels = values.to(fabric.device), labels.to(fabric.device)
            output, spikes = run(precise(fabric, values), derive_seed(seed, purpose, step, rank))
            predicted, classes = loss.predict(output), output.shape[-1]
            correct = (predicted == labels).float()
            pairs = torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
            confusion = pairs + (confusion if step else torch.zeros_like(pairs))
            each = [loss(output, labels).expand(len(labels)), correct, torch.ones_like(correct)]
            sums += masks[:, parts[step]].to(correct) @ torch.stack(each, 1)
            activity.add(spikes)
    sums, confusion = summed(fabric, sums), summed(fabric, confusion)
    mean, accuracy = (sums[0, :2] / sums[0, 2]).tolist()
    shares = (sums[1:, 1] / sums[1:, 2]).tolist()
    found = dict(zip(groups or {}, shares, strict=True))
    return Evaluation(mean, accuracy, found, activity, confusion.cpu())


def precise(fabric: Fabric, values: AnyBatch) -> AnyBatch:
    """Values in the floating point format of the run."""
    wide = fabric.strategy.precision.precision == "64-true"
    return values.double() if wide and isinstance(values, Tensor) else values


def summed(fabric: Fabric, total: Tensor) -> Tensor:
    """A tensor summed over all processes."""
    if fabric.world_size == 1:
        return total
    found = fabric.all_reduce(total, reduce_op="sum")
    assert isinstance(found, Tensor)
    return found
