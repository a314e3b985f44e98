"""Losses and predictions over a network's output (T, B, classes): spikes, or currents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def total(output: Tensor) -> Tensor:
    """Sums over time, (B, classes): spike counts."""
    return output.sum(0)


def largest(output: Tensor) -> Tensor:
    """Largest values over time, (B, classes)."""
    return output.amax(0)


@dataclass(frozen=True)
class Loss:
    """The loss of training, and the prediction of a class from the output.

    Attributes:
        value: (output (T, B, classes), labels (B,)) → loss.
        scores: output → scores (B, classes), of which the largest is the class.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    scores: Callable[[Tensor], Tensor] = total

    def __call__(self, output: Tensor, labels: Tensor) -> Tensor:
        return self.value(output, labels)

    def predict(self, output: Tensor) -> Tensor:
        """The class of each sample, (B,)."""
        return self.scores(output).argmax(-1)


#: Rates that ``rate_mse`` asks of the right class and of the others, spikes per step.
RIGHT, WRONG = 0.4, 0.02


def count(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the sums over time (spike counts), the original experiment's loss."""
    return functional.cross_entropy(total(output), labels)


def step(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every step, averaged (snnTorch's ce_rate_loss)."""
    steps, batch, classes = output.shape
    return functional.cross_entropy(output.reshape(steps * batch, classes), labels.repeat(steps))


def maximum(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the largest value over time, for membrane readouts."""
    return functional.cross_entropy(largest(output), labels)


def rate_mse(output: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the rates against RIGHT for the right class, WRONG for the others."""
    rates = output.mean(0)
    target = torch.full_like(rates, WRONG)
    target.scatter_(1, labels[:, None], RIGHT)
    return functional.mse_loss(rates, target)


#: Losses that a configuration can name.
LOSSES: dict[str, Loss] = {
    "count": Loss(count),
    "step": Loss(step),
    "max": Loss(maximum, largest),
    "rate_mse": Loss(rate_mse),
}
