"""Surrogate derivatives of the spike, in closed form.

The spike is S = 1 if x ≥ 0 else 0, whose derivative is replaced in the backward pass. Each class here
holds the derivative, written once in ops that torch and every kernel compiler give (``OpSet``),
and the smooth step that it is the true derivative of, against which gradients are tested. They are the
functions of ``snntorch.surrogate`` of the same names, which neurons recognise; a class of your own with
a formula runs in kernels too, and any other function works through autograd in the reference.

For Izhikevich neurons x = (v − threshold)/(threshold − c), so that one slope serves models whose v is
in mV and models whose v is near one. For leaky neurons x = v − threshold, as in snnTorch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from izhi.errors import SettingError
from izhi.kernels.ops import OpSet, Scalar
from izhi.kernels.synaptic_input import SpikeGradient
from izhi.kernels.torch_step import OPS, spike
from izhi.kernels.tracing import is_in_trace
from izhi.spec import SurrogateSpec

__all__ = [
    "SURROGATES",
    "ATan",
    "ClosedForm",
    "FastSigmoid",
    "Heaviside",
    "Sigmoid",
    "SpikeGradient",
    "SpikeRateEscape",
    "StraightThrough",
    "Triangular",
    "closed_form",
    "recognised",
    "spike",
]


class _Step(torch.autograd.Function):
    """1 where x ≥ 0, with a surrogate derivative; also for torch.func, forward-mode autograd and second derivatives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, surrogate: ClosedForm) -> Tensor:
        return (x >= 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ClosedForm], output: Tensor) -> None:
        x, ctx.surrogate = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(x), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = ctx.surrogate.derivative(x)
        return tangent * slope


@dataclass(frozen=True)
class ClosedForm:
    """A surrogate whose derivative is a formula, which kernels use without autograd."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
                raise SettingError(f"surrogate {field.name} is {value!r}, expected a finite number above 0")

    def __call__(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or is_in_trace():  # in operations of torch alone
            slope = self.derivative(x).detach() * x
            return (x >= 0).to(x.dtype) + (slope - slope.detach())
        return _Step.apply(x, self)  # type: ignore[no-untyped-call, no-any-return]

    @property
    def constants(self) -> tuple[float, float]:
        """The two constants of the formula; 1 for one that it does not use."""
        first, second, *_ = (*(getattr(self, field.name) for field in fields(self)), 1.0, 1.0)
        return first, second

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        """The surrogate derivative of the spike: (x, first constant, second constant) → value."""
        raise NotImplementedError

    def derivative(self, x: Tensor) -> Tensor:
        """The surrogate derivative of the spike at x."""
        value = self.formula(OPS)(x, *self.constants)
        return torch.as_tensor(value, dtype=x.dtype, device=x.device).expand_as(x)

    def smooth(self, x: Tensor) -> Tensor:
        """The function that ``derivative`` is the true derivative of."""
        raise NotImplementedError


@dataclass(frozen=True)
class ATan(ClosedForm):
    """S' = (α/2) / (1 + (π/2·α·x)²), α the slope (Fang et al. 2021; snntorch.surrogate.atan)."""

    slope: float = 2.0

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        half, one, half_pi = ops.number(0.5), ops.number(1.0), ops.number(math.pi / 2)

        @ops.inlined
        def atan(x, slope, unused):  # type: ignore[no-untyped-def]
            y = half_pi * slope * x
            return half * slope / (one + y * y)

        return atan

    def smooth(self, x: Tensor) -> Tensor:
        return torch.atan(math.pi / 2 * self.slope * x) / math.pi + 0.5


@dataclass(frozen=True)
class FastSigmoid(ClosedForm):
    """S' = 1 / (1 + k·|x|)², k the slope (Zenke & Ganguli 2018; snntorch.surrogate.fast_sigmoid)."""

    slope: float = 25.0

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        absolute, one = ops.absolute, ops.number(1.0)

        @ops.inlined
        def fast_sigmoid(x, slope, unused):  # type: ignore[no-untyped-def]
            y = one + slope * absolute(x)
            return one / (y * y)

        return fast_sigmoid

    def smooth(self, x: Tensor) -> Tensor:
        return x / (1 + self.slope * x.abs()) + 0.5


@dataclass(frozen=True)
class Sigmoid(ClosedForm):
    """S' = k·σ(k·x)·(1 − σ(k·x)), k the slope; finite for every x, unlike snnTorch's own form."""

    slope: float = 25.0

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        exp, one = ops.exp, ops.number(1.0)

        @ops.inlined
        def sigmoid(x, slope, unused):  # type: ignore[no-untyped-def]
            y = one / (one + exp(-slope * x))
            return slope * y * (one - y)

        return sigmoid

    def smooth(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.slope * x)


@dataclass(frozen=True)
class StraightThrough(ClosedForm):
    """S' = 1 (snntorch.surrogate.straight_through_estimator)."""

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        one = ops.number(1.0)

        @ops.inlined
        def straight_through(x, unused, other):  # type: ignore[no-untyped-def]
            return one

        return straight_through

    def smooth(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class Heaviside(ClosedForm):
    """S' = 1 for x > 0, else 0 (snntorch.surrogate.heaviside)."""

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        select, zero, one = ops.select, ops.number(0.0), ops.number(1.0)

        @ops.inlined
        def heaviside(x, unused, other):  # type: ignore[no-untyped-def]
            return select(x > zero, one, zero)

        return heaviside

    def smooth(self, x: Tensor) -> Tensor:
        return x.clamp(min=0)


@dataclass(frozen=True)
class Triangular(ClosedForm):
    """S' = θ for x < 0, −θ for x ≥ 0 (snntorch.surrogate.triangular, whose sign this is)."""

    threshold: float = 1.0

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        select, zero = ops.select, ops.number(0.0)

        @ops.inlined
        def triangular(x, threshold, unused):  # type: ignore[no-untyped-def]
            return select(x >= zero, -threshold, threshold)

        return triangular

    def smooth(self, x: Tensor) -> Tensor:
        return -self.threshold * x.abs()


@dataclass(frozen=True)
class SpikeRateEscape(ClosedForm):
    """S' = k·exp(−β·|x − 1|), k the slope (Gerstner & Kistler 2002; snntorch.surrogate)."""

    beta: float = 1.0
    slope: float = 25.0

    @staticmethod
    def formula(ops: OpSet) -> Scalar:
        exp, absolute, one = ops.exp, ops.absolute, ops.number(1.0)

        @ops.inlined
        def spike_rate_escape(x, beta, slope):  # type: ignore[no-untyped-def]
            return slope * exp(-beta * absolute(x - one))

        return spike_rate_escape

    def smooth(self, x: Tensor) -> Tensor:
        y = x - 1
        return self.slope / self.beta * torch.sign(y) * (1 - torch.exp(-self.beta * y.abs()))


#: Surrogates that a configuration can name.
SURROGATES: dict[str, Callable[[float], ClosedForm]] = {
    "atan": ATan,
    "fast_sigmoid": FastSigmoid,
    "sigmoid": Sigmoid,
}


def surrogate_of(spec: SurrogateSpec | None) -> ClosedForm:
    """The surrogate gradient of a description; ATan(2) for None."""
    return ATan() if spec is None else SURROGATES[spec.name](*spec.values)


def spec_of(surrogate: SpikeGradient) -> SurrogateSpec | None:
    """The description of a surrogate gradient; None for one that settings do not name."""
    for name, kind in SURROGATES.items():
        if isinstance(surrogate, ClosedForm) and type(surrogate) is kind:
            return SurrogateSpec(name, tuple(asdict(surrogate).values()))
    return None


#: Functions of snntorch.surrogate → the class of the same formula, and its constants' names there.
_SNNTORCH: dict[str, tuple[type[ClosedForm], tuple[str, ...]]] = {
    "atan": (ATan, ("alpha",)),
    "fast_sigmoid": (FastSigmoid, ("slope",)),
    "heaviside": (Heaviside, ()),
    "sigmoid": (Sigmoid, ("slope",)),
    "spike_rate_escape": (SpikeRateEscape, ("beta", "slope")),
    "straight_through_estimator": (StraightThrough, ()),
    "triangular": (Triangular, ("threshold",)),
}


def closed_form(surrogate: SpikeGradient) -> ClosedForm | None:
    """The formula of a surrogate from here or from ``snntorch.surrogate``; None if it has none."""
    if isinstance(surrogate, ClosedForm):
        return surrogate
    name = getattr(surrogate, "__qualname__", "").removesuffix(".<locals>.inner")
    if getattr(surrogate, "__module__", "") != "snntorch.surrogate" or name not in _SNNTORCH:
        return None
    kind, names = _SNNTORCH[name]
    held = inspect.getclosurevars(surrogate).nonlocals
    try:
        return kind(*(held[n] for n in names))
    except (KeyError, SettingError):
        return None


def recognised(surrogate: SpikeGradient | None) -> SpikeGradient:
    """The surrogate of a neuron: by its formula, if it is known to have one; ATan(2) for None."""
    return ATan() if surrogate is None else closed_form(surrogate) or surrogate
