"""Products of spikes with weights, which visit the spikes alone where that is faster."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels.cpu import bits, events as sums
from izhi.kernels.dropout import without_factor
from izhi.kernels.events import Events
from izhi.kernels.lazy import dense, materialize
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.packed import PackedSpikes, Spikes, bits_of, bits_on
from izhi.kernels.routes import (
    CallDescription,
    ProductCall,
    ProductChoice,
    SpikeStatistics,
    choose_product,
    decide,
    is_recording,
)
from izhi.kernels.synaptic_input import Synapse, SynapticInput
from izhi.kernels.tracing import is_traced, once_differentiable


class CountedSpikes(NamedTuple):
    """Spikes in front of weights, counted as far as the route of their product depends on that.

    Attributes:
        call: the product.
        choice: its kernel.
        bits: the same spikes as bits, where its kernel takes those.
    """

    call: ProductCall
    choice: ProductChoice
    bits: PackedSpikes | None

    @property
    def events(self) -> Events:
        """The spikes as the kernels for bits take them."""
        assert self.bits is not None
        return self.bits.events()


def describe(
    spikes: Spikes, outputs: int, weight_dtype: torch.dtype, dense_dtype: torch.dtype, operation: str = "product"
) -> ProductCall:
    """The product of spikes (T, B, I) and so many outputs, before anything is counted."""
    packed, is_tensor = bits_of(spikes), isinstance(spikes, Tensor)
    return ProductCall(
        spikes.shape[-1], outputs, spikes.dtype, weight_dtype, dense_dtype, spikes.device.type,
        "dense" if packed is None else "hidden" if is_tensor else "encoded", spikes.dim(), math.prod(spikes.shape),
        len(spikes), is_traced(), operation=operation,
        inputs_learn=isinstance(spikes, Tensor) and spikes.requires_grad,
    )  # fmt: skip


def count(
    spikes: Spikes, outputs: int, weight_dtype: torch.dtype, dense_dtype: torch.dtype, operation: str = "product"
) -> CountedSpikes:
    """Choose the kernel of a product of spikes (T, B, I) and so many outputs; counts spikes if that depends on them."""
    packed = bits_of(spikes)
    call = describe(spikes, outputs, weight_dtype, dense_dtype, operation)
    choice = choose_product(call)
    if choice.kernel != "count":
        return CountedSpikes(call, choice, packed)
    if packed is not None:
        found = packed.events()
        statistics = SpikeStatistics(found.density, found.visited, found.active)
    else:
        assert isinstance(spikes, Tensor)
        words = bits.packed(spikes.detach())
        statistics = SpikeStatistics(is_binary=False) if words is None else SpikeStatistics(words[1])
        packed = None if words is None else PackedSpikes(words[0], len(spikes), spikes.dtype, checked=True)
    call = call._replace(statistics=statistics)
    return CountedSpikes(call, choose_product(call), packed)


class WeightedSpikes(NamedTuple):
    """What spikes (T, B, I) and weights W (N, I) give a neuron, before they are multiplied.

    It has the attributes of the ``SynapticInput`` whose current is W·s, and no conductance.

    Attributes:
        spikes: dense or packed.
        weight: W.
        bias, synapse, gain, feedback: see ``SynapticInput``.
    """

    spikes: Spikes
    weight: Tensor
    bias: Tensor | None = None
    synapse: Synapse | None = None
    gain: Tensor | None = None
    feedback: Tensor | None = None

    @classmethod
    def of(cls, spikes: Spikes, weight: Tensor) -> WeightedSpikes:
        """These spikes, as bits if dropout left them so."""
        spikes, with_factor = without_factor(spikes)
        return cls(spikes, with_factor(weight))

    @property
    def current(self) -> Tensor:
        """W·s, computed at each reading."""
        return product(self.spikes, self.weight)

    @property
    def conductance(self) -> None:
        """There is none."""

    @property
    def shape(self) -> torch.Size:
        """That of the current."""
        return torch.Size((*self.spikes.shape[:2], self.weight.shape[0]))

    @property
    def dtype(self) -> torch.dtype:
        """That of the spikes."""
        return self.spikes.dtype

    @property
    def device(self) -> torch.device:
        return self.spikes.device

    @property
    def learning_spikes(self) -> Tensor | None:
        """The spikes, if a gradient of theirs is asked for."""
        return self.spikes if isinstance(self.spikes, Tensor) and self.spikes.requires_grad else None

    def described(self) -> ProductCall:
        """See ``describe``."""
        _check_width(self.spikes, self.weight)
        return describe(self.spikes, len(self.weight), self.weight.dtype, format_beside(self.weight))

    def counted(self) -> CountedSpikes:
        """See ``count``."""
        return _counted(self.spikes, self.weight)

    def multiplied(self, counted: CountedSpikes) -> SynapticInput:
        """The input with W·s as its current."""
        current = _multiplied(counted, self.spikes, self.weight)
        return SynapticInput(current, None, self.bias, self.synapse, self.feedback, self.gain)


AnyInput: TypeAlias = SynapticInput | WeightedSpikes


class _Product(torch.autograd.Function):
    """Events, weight (O, I) → spikes·weightᵀ (T, B, O) in float32 or bfloat16, of the inputs alone that fire.

    ``spikes`` are the same (T, B, I), where their gradient is wanted; else None.
    """

    @staticmethod
    def forward(
        ctx: Any, found: Events, weight: Tensor, spikes: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        ctx.events = found
        ctx.save_for_backward(weight)
        multiply_events = sums.product if dtype == torch.float32 else bits_on(weight.device).products.product
        return multiply_events(found, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (weight,), of_weight, of_spikes = ctx.saved_tensors, None, None
        g = dense(g)
        if ctx.needs_input_grad[1]:
            of_bits = bits_on(weight.device).products.weight_gradient
            of_weight = (sums.weight_gradient if g.dtype == torch.float32 else of_bits)(ctx.events, g.contiguous())
        if ctx.needs_input_grad[2]:
            of_spikes = gradient_of_spikes(g, weight)
        return None, of_weight, of_spikes, None


def gradient_of_spikes(g: Tensor, weight: Tensor) -> Tensor:
    """g·W of gradients of currents, as two factors, which few neurons' kernels and those of whole samples multiply."""
    return LowRankGradient(g, weight.to(g.dtype))


def format_beside(weight: Tensor) -> torch.dtype:
    """The format in which torch would multiply with a weight."""
    return autocast_format(weight.device.type) or weight.dtype


def autocast_format(device: str) -> torch.dtype | None:
    """The format of products under autocast; None without it, as on devices that have none."""
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if is_on else None


def weight_gradient(spikes: Tensor, g: Tensor) -> Tensor:
    """Σ over steps and samples of gᵀ·spikes: spikes (T, B, I), gradients of currents (T, B, O) → (O, I)."""
    counted = count(spikes, g.shape[2], g.dtype, g.dtype, "gradient of weights")
    decide(CallDescription(counted.call))
    if counted.choice.kernel == "sums":
        return sums.weight_gradient(counted.events, g.contiguous())
    return g.flatten(0, 1).t() @ spikes.flatten(0, 1)


class SpikeProduct:
    """Spikes (T, B, I), times weights (O, I) of one shape, for which they are counted but once; see ``product``."""

    def __init__(self, spikes: Spikes) -> None:
        self._spikes, self._with_factor = without_factor(spikes)
        self._counted: CountedSpikes | None = None

    def __call__(self, weight: Tensor) -> Tensor:
        spikes, weight = self._spikes, self._with_factor(weight)
        if isinstance(spikes, Tensor) and is_traced() and not is_recording():
            return nn.functional.linear(spikes, weight)  # of which compilers take operations of torch alone
        if self._counted is None:
            self._counted = _counted(spikes, weight)
        decide(CallDescription(self._counted.call))
        return _multiplied(self._counted, spikes, weight)


def product(spikes: Spikes, weight: Tensor) -> Tensor:
    """Spikes (T, B, I) times weight (O, I) → currents (T, B, O).

    Spikes that are sparse enough, packed or in float32, cost their number of additions, forward and backward, instead
    of a dense product; sums are then in another order.

    Raises:
        ShapeError: for spikes of another width.
    """
    return SpikeProduct(spikes)(weight)


def _counted(spikes: Spikes, weight: Tensor) -> CountedSpikes:
    _check_width(spikes, weight)
    return count(spikes, len(weight), weight.dtype, format_beside(weight))


def _check_width(spikes: Spikes, weight: Tensor) -> None:
    if spikes.shape[-1] != weight.shape[1]:  # by which kernels would reach beyond the weights
        raise ShapeError(f"spikes are {spikes.shape[-1]} wide, expected {weight.shape[1]}, the inputs of the weights")


def _multiplied(counted: CountedSpikes, spikes: Spikes, weight: Tensor) -> Tensor:
    """Currents by the kernel that was chosen."""
    if counted.choice.kernel == "dense":
        dense = materialize(spikes) if isinstance(spikes, Tensor) else spikes.dense()
        # Bits in bfloat16 have a product in it, whichever kernel is chosen for them; others are as torch has them.
        in_bits = not isinstance(spikes, Tensor) and (spikes.dtype, weight.dtype) == (torch.bfloat16, torch.float32)
        return nn.functional.linear(dense, weight.to(spikes.dtype) if in_bits else weight)
    learning = spikes if isinstance(spikes, Tensor) else None
    if counted.choice.kernel == "tiles":
        return _Product.apply(counted.events, weight, learning, torch.bfloat16)  # type: ignore[no-any-return, no-untyped-call]
    current: Tensor = _Product.apply(counted.events, weight.float(), learning)  # type: ignore[no-untyped-call]
    return current if spikes.dtype == torch.float32 else current.to(spikes.dtype)
