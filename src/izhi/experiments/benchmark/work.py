"""The work of every contender of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

#: Side of the images that a convolutional network sees.
SIDE = 28
#: Learning rate of every contender.
RATE = 5e-4


@dataclass(frozen=True)
class Work:
    """A network over T steps, and a batch of samples for it.

    It is inputs → hidden → classes, linear layers with neurons behind each, and as many hidden ones as ``layers``
    (libraries that give no single layers build one); or, convolutional, that of snnTorch's sixth tutorial:
    12C5-MP2-64C5-MP2-classes with neurons behind each convolution and the linear layer.
    """

    steps: int = 25
    batch: int = 256
    inputs: int = 784
    hidden: int = 512
    classes: int = 10
    layers: int = 1
    network: Literal["linear", "convolutional"] = "linear"

    @property
    def text(self) -> str:
        """The network in a line."""
        if self.network == "linear":
            return "-".join(str(width) for width in self.widths)
        return f"12C5-MP2-64C5-MP2-{self.classes}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the linear network's inputs, hidden layers and outputs."""
        return (self.inputs, *[self.hidden] * self.layers, self.classes)

    def row(self) -> list[nn.Module | None]:
        """The network's modules of torch, called with (samples, …); None for each layer of neurons."""
        if self.network == "linear":
            return [x for before, after in pairwise(self.widths) for x in (nn.Linear(before, after), None)]
        return [
            nn.Unflatten(1, (1, SIDE, SIDE)),
            nn.Conv2d(1, 12, 5), None, nn.MaxPool2d(2),
            nn.Conv2d(12, 64, 5), None, nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(1024, self.classes), None,
        ]  # fmt: skip

    def samples(self) -> tuple[Tensor, Tensor]:
        """Values (batch, inputs) and labels: like MNIST, a fifth of the values above 0, mean 0.1."""
        generator = torch.Generator().manual_seed(0)
        values = torch.rand(self.batch, self.inputs, generator=generator)
        lit = torch.rand(self.batch, self.inputs, generator=generator) < 0.2
        labels = torch.randint(self.classes, (self.batch,), generator=generator)
        return values * lit, labels


class Steps(NamedTuple):
    """A contender, ready to run."""

    #: values (batch, inputs) and labels → encoding as Bernoulli spikes, forward, cross-entropy of spike counts,
    #: backward, and a step of Adam
    train: Callable[[Tensor, Tensor], None]
    infer: Callable[[Tensor], None]  #: values → encoding and forward without gradients


def torch_steps(
    count: Callable[[Tensor], Tensor],
    parameters: Iterable[nn.Parameter],
    without_gradients: Callable[[], AbstractContextManager[object]] = torch.inference_mode,
) -> Steps:
    """Steps of a torch library from ``count``: values → encoding, forward, spike counts (B, C)."""
    optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)

    def train(values: Tensor, labels: Tensor) -> None:
        loss = nn.functional.cross_entropy(count(values), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()

    def infer(values: Tensor) -> None:
        with without_gradients():
            count(values).sum().item()

    return Steps(train, infer)
