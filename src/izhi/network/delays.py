"""Delays of spikes between layers, learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.kernels import Spikes, delayed, delayed_product
from izhi.spec.connection import at_least_one

Weighed = TypeVar("Weighed")
#: Spikes and weights → weighted spikes: the map of a connection.
Product = Callable[[Spikes, Tensor], Weighed]


class Delay(nn.Module):
    """Base of all delays of spikes to a layer, in time steps, learned.

    Args:
        shape: of the delays.
        largest: the longest delay D, at least 1.
        learn: whether delays are learned.

    Delays are real numbers from 0 to D, rounded in the forward pass. Initial values are uniform between 0 and D/2.
    The gradient is that of a spike train shifted by a small time.
    """

    def __init__(self, *shape: int, largest: int, learn: bool = True) -> None:
        super().__init__()
        if min(shape) < 1:
            raise SettingError(f"delays have shape {shape}, expected sizes of at least 1")
        at_least_one(largest=largest)
        self.largest = largest
        self.steps = nn.Parameter(0.5 * largest * torch.rand(*shape), requires_grad=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The delayed spikes, which a connection multiplies by its weights with ``weigh``.

        Args:
            spikes: (T, B, *features), dense or packed.
            past: the second value of an earlier call, to continue from; None for the initial state.

        Returns:
            The delayed spikes, and the last inputs, (steps, B, *features).
        """
        raise NotImplementedError

    def weigh(self, arriving: Spikes, weight: Tensor, product: Product[Weighed]) -> Weighed:
        """Arriving spikes weighted by the weights and the product of a connection."""
        raise NotImplementedError

    def _with_past(self, spikes: Spikes, past: Tensor | None, steps: int) -> tuple[Tensor, Tensor]:
        x = spikes if isinstance(spikes, Tensor) else spikes.dense()
        return x, x.new_zeros(steps, *x.shape[1:]) if past is None else past

    def extra_repr(self) -> str:
        return f"{' × '.join(str(n) for n in self.steps.shape)}, up to {self.largest} steps"


class AxonalDelay(Delay):
    """Spikes of each presynaptic neuron arrive some steps later, at all of the layer's neurons.

        y[t] = x[t − round(d)],   0 ≤ d ≤ largest

    Args:
        in_features: presynaptic neurons; of a convolution its channels, whose neurons share a delay.
        largest: the longest delay, in steps, at least 1.
        learn: whether delays are learned.
    """

    def __init__(self, in_features: int, largest: int, *, learn: bool = True) -> None:
        super().__init__(in_features, largest=largest, learn=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, past = self._with_past(spikes, past, self.largest + 1)
        features = x.shape[2:]
        steps = self.steps.view(-1, *[1] * (len(features) - 1)).expand(features).reshape(-1)
        arriving = delayed(x.flatten(2), past.flatten(2), steps).view(x.shape)
        return arriving, torch.cat([past, x])[-self.largest - 1 :]

    def weigh(self, arriving: Spikes, weight: Tensor, product: Product[Weighed]) -> Weighed:
        return product(arriving, weight)


class SynapticDelay(Delay):
    """Each synapse has its own delay: I_j[t] = Σ_i w_ji·x_i[t − round(d_ji)] (Hammouamri et al. 2024).

    A layer costs largest + 1 times the products of one without delays.

    Args:
        in_features: presynaptic neurons.
        out_features: postsynaptic neurons.
        largest: the longest delay, in steps, at least 1.
        learn: whether delays are learned.
        kernel: size of a convolution's kernel, of which each weight has a delay; features are then channels.
    """

    def __init__(
        self, in_features: int, out_features: int, largest: int, *, learn: bool = True, kernel: Sequence[int] = ()
    ) -> None:
        super().__init__(out_features, in_features, *kernel, largest=largest, learn=learn)

    def forward(self, spikes: Spikes, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, past = self._with_past(spikes, past, self.largest)
        whole = torch.cat([past, x])
        return whole, whole[-self.largest :]

    def weigh(self, arriving: Spikes, weight: Tensor, product: Product[Weighed]) -> Weighed:
        return delayed_product(cast(Tensor, arriving), weight, self.steps, self.largest, product)
