"""What every contender of the benchmark is given to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Work:
    """A network inputs → hidden → classes over T steps, and a batch of samples for it."""

    steps: int = 25
    batch: int = 256
    inputs: int = 784
    hidden: int = 512
    classes: int = 10

    def samples(self) -> tuple[Tensor, Tensor]:
        """Values (batch, inputs) and labels: like MNIST, a fifth of the values above 0, mean 0.1."""
        generator = torch.Generator().manual_seed(0)
        values = torch.rand(self.batch, self.inputs, generator=generator)
        lit = torch.rand(self.batch, self.inputs, generator=generator) < 0.2
        labels = torch.randint(self.classes, (self.batch,), generator=generator)
        return values * lit, labels


class Steps(NamedTuple):
    """A contender, ready to run.

    Attributes:
        train: values (batch, inputs) and labels → encoding as Bernoulli spikes, forward, cross-entropy
            of spike counts, backward, and a step of Adam.
        infer: values → encoding and forward without gradients.
    """

    train: Callable[[Tensor, Tensor], None]
    infer: Callable[[Tensor], None]
