"""Losses and predictions over a network's output (T, B, classes): spikes, or currents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from izhi.data import NO_LABEL


def total(output: Tensor) -> Tensor:
    """Sums over time, (B, classes): spike counts."""
    return output.sum(0)


def largest(output: Tensor) -> Tensor:
    """Largest values over time, (B, classes)."""
    return output.amax(0)


def average(output: Tensor) -> Tensor:
    """Means over time, (B, classes)."""
    return output.mean(0)


def final(output: Tensor) -> Tensor:
    """The last step, (B, classes)."""
    return output[-1]


def zero_padding(output: Tensor, present: Tensor) -> Tensor:
    """The output, 0 after the end of each sample; ``present`` (T, B) is False there."""
    return output * present[..., None]


def scale_padding(output: Tensor, present: Tensor) -> Tensor:
    """The output, 0 after the end of each sample and scaled so that its mean is that of the steps before the end."""
    return zero_padding(output, present) * (len(output) / present.sum(0))[:, None]


def last_present(output: Tensor, present: Tensor) -> Tensor:
    """The output of each sample's last step, (1, B, classes)."""
    return output[present.sum(0) - 1, torch.arange(output.shape[1], device=output.device)][None]


@dataclass(frozen=True)
class Loss:
    """The loss of training, and the prediction of a class from the output.

    Attributes:
        value: (output (T, B, classes), labels (B,), or (B, T) of each step) → loss; None for the cross-entropy of the
            scores.
        scores: output → scores (B, classes), of which the largest is the class.
        pad: (output, present (T, B)) → the output without an effect of the steps after the end of padded time series.
    """

    value: Callable[[Tensor, Tensor], Tensor] | None = None
    scores: Callable[[Tensor], Tensor] = total
    pad: Callable[[Tensor, Tensor], Tensor] = zero_padding
    has_steps: bool = False  #: whether labels may be (B, T)

    @property
    def reads(self) -> Literal["sum", "max", "last"]:
        """What the scores are of those of the steps, for hardware: means have the classes of sums."""
        readings: dict[Callable[[Tensor], Tensor], Literal["sum", "max", "last"]] = {
            total: "sum", average: "sum", largest: "max", final: "last"
        }  # fmt: skip
        return readings[self.scores]

    def __call__(self, output: Tensor, labels: Tensor) -> Tensor:
        if self.value is None:
            return functional.cross_entropy(self.scores(output), labels)
        return self.value(output, labels)

    def predict(self, output: Tensor) -> Tensor:
        """The class of each sample, (B,)."""
        return self.scores(output).argmax(-1)

    def compare(self, output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted classes and labels, (B, 1), or (B, T) for labels of each step; NO_LABEL where there is none."""
        if labels.dim() == 1:
            return self.predict(output)[:, None], labels[:, None]
        output, labels = labelled(output, labels)
        return output.argmax(-1).T, labels


#: Rates that ``rate_mse`` asks of the right class and of the others, spikes per step.
RIGHT, WRONG = 0.4, 0.02


def labelled(output: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Output (T, B, classes) and labels (B, T) of the steps that both have."""
    steps = min(len(output), labels.shape[1])
    return output[:steps], labels[:, :steps]


def step(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every step, averaged (snnTorch's ce_rate_loss); of steps with labels if labels are (B, T)."""
    if labels.dim() == 2:
        output, labels = labelled(output, labels)
        return functional.cross_entropy(output.flatten(0, 1), labels.T.flatten(), ignore_index=NO_LABEL)
    steps, batch, classes = output.shape
    return functional.cross_entropy(output.reshape(steps * batch, classes), labels.repeat(steps))


def rate_mse(output: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of the rates against RIGHT for the right class, WRONG for the others."""
    rates = output.mean(0)
    target = torch.full_like(rates, WRONG)
    target.scatter_(1, labels[:, None], RIGHT)
    return functional.mse_loss(rates, target)


#: Losses that a configuration can name.
LOSSES: dict[str, Loss] = {
    "count": Loss(),  # of spike counts, the original experiment's loss
    "step": Loss(step, has_steps=True),
    "max": Loss(scores=largest),  # for membrane readouts, as "last"
    "mean": Loss(scores=average, pad=scale_padding),  # logits as large as those of one step, however many there are
    "last": Loss(scores=final, pad=last_present),
    "rate_mse": Loss(rate_mse),
}
