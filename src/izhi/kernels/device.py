"""The kernels of a device, as the operations over time call them."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor

from izhi.kernels import cpu
from izhi.kernels.plan import Call, DelayKernels, Gradients, LayerKernels, Plan, PoolKernels, SampleKernels
from izhi.kernels.routes import FORMATS, device_of_kernels, this_machine


class Device(Protocol):
    """The kernels of a device: a module, such as ``izhi.kernels.cpu``."""

    COMPILER: str
    """What compiles them."""
    TAKES_FACTORS: bool
    """Whether ``backward``, in float32, takes gradients of spikes that are ``LowRankGradient``."""
    LOADS_DECAY: bool
    """Whether kernels load the decay of a synapse from the memory of the device; else it is one of the constants."""
    DELAYS: DelayKernels
    """Kernels that delay spikes."""
    LAYER: LayerKernels
    """Kernels that take the product in front of the neurons too."""
    POOLS: PoolKernels
    """Kernels of pools."""
    SAMPLES: SampleKernels
    """Kernels of whole samples: of recurrent neurons and, on a CPU, of those with few inputs."""

    def forward(
        self, plan: Plan, call: Call, state: Tensor, keep_every: int,
        into: tuple[Tensor, Tensor] | None = None, batch: int = 0,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Spikes (T, lanes), every k-th state (T/k, states, lanes), the state after the last step.

        Of ``batch`` samples, spikes are words (B, ⌈T/32⌉, N).
        """

    def backward(
        self, plan: Plan, call: Call, kept: Tensor, keep_every: int,
        grad_spikes: Tensor, grad_last: Tensor,
    ) -> Gradients:  # fmt: skip
        """Gradients of everything that went in; those of spikes (T, lanes), or factored."""

    def rate(self, values: Tensor, steps: int, seed: int, dtype: torch.dtype | None) -> Tensor:
        """Bernoulli spikes, see ``izhi.kernels.rate``."""


def kernels_on(device: str) -> Device:
    """The kernels of a kind of device."""
    if device == "cpu":
        return cast(Device, cpu)
    from izhi.kernels import cuda

    return cast(Device, cuda)


def kernels_for(x: Tensor) -> Device | None:
    """The kernels of a tensor's device, if they take its format."""
    device, _ = device_of_kernels("auto", x.device.type, this_machine())
    return None if device is None or x.dtype not in FORMATS[device] else kernels_on(device)
