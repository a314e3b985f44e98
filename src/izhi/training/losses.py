"""Losses and predictions over a network's output (T, B, classes): spikes, or currents."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]

#: Rates that ``rate_mse`` asks of the right class and of the others, spikes per step.
RIGHT, WRONG = 0.4, 0.02


def count(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the sums over time (spike counts), the original experiment's loss."""
    return functional.cross_entropy(output.sum(0), labels)


def step(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every step, averaged (snnTorch's ce_rate_loss)."""
    steps, batch, classes = output.shape
    return functional.cross_entropy(output.reshape(steps * batch, classes), labels.repeat(steps))


def maximum(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the largest value over time, for membrane readouts."""
    return functional.cross_entropy(output.amax(0), labels)


def rate_mse(output: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the rates against RIGHT for the right class, WRONG for the others."""
    rates = output.mean(0)
    target = torch.full_like(rates, WRONG)
    target.scatter_(1, labels[:, None], RIGHT)
    return functional.mse_loss(rates, target)


#: Losses that a configuration can name.
LOSSES: dict[str, Loss] = {"count": count, "step": step, "max": maximum, "rate_mse": rate_mse}


def predict(output: Tensor, loss: str) -> Tensor:
    """The class of each sample, (B,): the largest sum over time, or maximum for ``"max"``."""
    return (output.amax(0) if loss == "max" else output.sum(0)).argmax(-1)
