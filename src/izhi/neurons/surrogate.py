"""Surrogate derivatives of the spike, in closed form.

The spike is S = 1 if x ≥ 0 else 0, whose derivative is replaced in the backward pass. Each class here
holds the derivative, and the smooth step that it is the true derivative of, against which gradients
are tested. They are the functions of ``snntorch.surrogate`` of the same names; any function from
there works as well, through autograd, where the kernels take these directly.

For Izhikevich neurons x = (v − threshold)/(threshold − c), so that one slope serves models whose v is
in mV and models whose v is near one. For LIF x = v − threshold, as in snnTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from izhi.errors import SettingError

SpikeGradient = Callable[[Tensor], Tensor]


class ClosedForm(Protocol):
    """What a surrogate offers so that a kernel can use it without autograd."""

    @property
    def slope(self) -> float: ...
    def derivative(self, x: Tensor) -> Tensor: ...
    def smooth(self, x: Tensor) -> Tensor: ...


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: ClosedForm) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None


@dataclass(frozen=True)
class _Surrogate:
    slope: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope > 0):
            raise SettingError(
                f"surrogate slope is {self.slope!r}, expected a finite number above 0"
            )

    def __call__(self, x: Tensor) -> Tensor:
        return _Step.apply(x, self)  # type: ignore[no-untyped-call, no-any-return]

    def derivative(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def smooth(self, x: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class ATan(_Surrogate):
    """S' = (α/2) / (1 + (π/2·α·x)²), α the slope (Fang et al. 2021; snntorch.surrogate.atan)."""

    slope: float = 2.0

    def derivative(self, x: Tensor) -> Tensor:
        return (self.slope / 2) / (1 + (math.pi / 2 * self.slope * x) ** 2)

    def smooth(self, x: Tensor) -> Tensor:
        return torch.atan(math.pi / 2 * self.slope * x) / math.pi + 0.5


@dataclass(frozen=True)
class FastSigmoid(_Surrogate):
    """S' = 1 / (1 + k·|x|)², k the slope (Zenke & Ganguli 2018; snntorch.surrogate.fast_sigmoid)."""

    slope: float = 25.0

    def derivative(self, x: Tensor) -> Tensor:
        return 1 / (1 + self.slope * x.abs()) ** 2

    def smooth(self, x: Tensor) -> Tensor:
        return x / (1 + self.slope * x.abs()) + 0.5


@dataclass(frozen=True)
class Sigmoid(_Surrogate):
    """S' = k·σ(k·x)·(1 − σ(k·x)), k the slope; finite for every x, unlike snnTorch's own form."""

    slope: float = 25.0

    def derivative(self, x: Tensor) -> Tensor:
        s = torch.sigmoid(self.slope * x)
        return self.slope * s * (1 - s)

    def smooth(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * x)


#: Surrogates that a configuration can name.
SURROGATES: dict[str, type[_Surrogate]] = {
    "atan": ATan,
    "fast_sigmoid": FastSigmoid,
    "sigmoid": Sigmoid,
}


def is_closed_form(surrogate: SpikeGradient) -> bool:
    """Whether a kernel can use the surrogate's formula instead of autograd."""
    return isinstance(surrogate, (ATan, FastSigmoid, Sigmoid))


def spike(x: Tensor, surrogate: SpikeGradient, *, strict: bool = False) -> Tensor:
    """1 where x ≥ 0 (x > 0 if ``strict``, as snnTorch does), with the surrogate's derivative."""
    fires = ((x > 0) if strict else (x >= 0)).to(x.dtype)
    soft = surrogate(x)
    return fires + (soft - soft.detach())
