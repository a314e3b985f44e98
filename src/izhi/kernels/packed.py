"""Spikes kept as single bits, and their products with weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels.cpu import bits, events
from izhi.kernels.cpu.bits import WORD
from izhi.kernels.tracing import is_traced

#: Spikes, and steps, below which it does not matter which product is faster.
_WORTH_LOOKING, _STEPS_WORTH_LOOKING = 1 << 16, 4


class PackedSpikes:
    """Spikes (T, B, N) of 0 and 1 in memory of the CPU, one bit each.

    They need no gradient: encoded samples, or recorded events.

    Args:
        words: (T, B, ⌈N/32⌉) int32; bit i of word w is the spike of neuron 32·w + i.
        features: N.
        dtype: format of the dense spikes, and of the products.

    Raises:
        ShapeError: for words of another shape or format, or with bits of neurons beyond the last one: kernels
            reach into memory by each bit.
    """

    # No dataclass: Fabric would look for tensors to convert within one, and refuse if it is frozen.
    def __init__(self, words: Tensor, features: int, dtype: torch.dtype = torch.float32) -> None:
        if words.dim() != 3 or words.shape[2] != -(-features // WORD) or words.dtype != torch.int32:
            raise ShapeError(
                f"words are {words.dtype} of shape {tuple(words.shape)}, expected int32 (T, B, {-(-features // WORD)})"
            )
        if features % WORD and (words[..., -1] >> features % WORD).any():
            raise ShapeError(f"words have bits beyond the {features} neurons, expected 0 there")
        self.words, self.features, self.dtype = words, features, dtype

    @property
    def shape(self) -> torch.Size:
        """(T, B, N)."""
        return torch.Size((*self.words.shape[:-1], self.features))

    @property
    def device(self) -> torch.device:
        return self.words.device

    def __len__(self) -> int:
        return len(self.words)

    def dim(self) -> int:
        return self.words.dim()

    def split(self, steps: int) -> list[PackedSpikes]:
        """Parts of that many steps, and a last part of what remains."""
        return [PackedSpikes(x, self.features, self.dtype) for x in torch.split(self.words, steps)]

    def dense(self) -> Tensor:
        """The spikes as 0 and 1, (T, B, N)."""
        if self.dtype in (torch.float32, torch.bfloat16):
            return bits.dense(self.words, self.features, self.dtype)
        return bits.dense(self.words, self.features, torch.float32).to(self.dtype)

    @classmethod
    def pack(cls, spikes: Tensor) -> PackedSpikes:
        """Dense spikes (T, B, N) on the CPU; whatever is not 0 counts as 1."""
        features = spikes.shape[-1]
        flags = np.pad((spikes.detach() != 0).numpy(), ((0, 0), (0, 0), (0, -features % WORD)))
        words = np.packbits(flags, axis=-1, bitorder="little").view(np.int32)
        return cls(torch.from_numpy(words), features, spikes.dtype)


Spikes = Tensor | PackedSpikes


def is_repeated(spikes: Spikes) -> TypeGuard[Tensor]:
    """Whether every step is the same memory, such as that of a constant current, which is then weighed but once.

    Not where each step's own gradient is asked for: all of it would go to the first.
    """
    if not isinstance(spikes, Tensor) or len(spikes) < 2 or spikes.stride(0) != 0:
        return False
    return not (spikes.is_leaf and spikes.requires_grad)


def once(function: Callable[[Tensor], Tensor], spikes: Tensor) -> Tensor:
    """What a function gives for the one step that ``is_repeated``, in every step."""
    found = function(spikes[:1])
    return found.expand(len(spikes), *found.shape[1:])


class _Product(torch.autograd.Function):
    """Words (T, B, W) of spikes, weight (O, I) → spikes·weightᵀ (T, B, O), visiting the spikes alone.

    ``spikes`` are the same (T, B, I), where their gradient is wanted; else None.
    """

    @staticmethod
    def forward(ctx: Any, words: Tensor, weight: Tensor, spikes: Tensor | None) -> Tensor:
        ctx.save_for_backward(words, weight)
        return events.product(words, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        words, weight = ctx.saved_tensors
        of_weight = events.weight_gradient(words, weight.shape[1], g.contiguous()) if ctx.needs_input_grad[1] else None
        return None, of_weight, g @ weight if ctx.needs_input_grad[2] else None


def _packed_if_sparse(spikes: Tensor, outputs: int) -> Tensor | None:
    """Words of dense spikes (T, B, I), such as those of a layer, where visiting them alone is faster."""
    if spikes.dtype != torch.float32 or spikes.device.type != "cpu" or spikes.dim() != 3:
        return None
    if spikes.numel() < _WORTH_LOOKING or not events.fits(outputs) or is_traced():
        return None
    found = bits.packed(spikes.detach())
    return None if found is None or found[1] >= events.DENSE[torch.float32] else found[0]


def weight_gradient(spikes: Tensor, g: Tensor) -> Tensor:
    """Σ over steps and samples of gᵀ·spikes: spikes (T, B, I), gradients of currents (T, B, O) → (O, I)."""
    words = _packed_if_sparse(spikes, g.shape[2])
    if words is None or g.dtype != torch.float32:
        return g.flatten(0, 1).t() @ spikes.flatten(0, 1)
    return events.weight_gradient(words, spikes.shape[2], g.contiguous())


def product(spikes: Spikes, weight: Tensor) -> Tensor:
    """Spikes (T, B, I) times weight (O, I) → currents (T, B, O).

    Spikes that are sparse enough, packed or in float32, cost their number of additions, forward and backward, instead
    of a dense product; sums are then in another order.
    """
    if isinstance(spikes, Tensor):
        is_float = weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        many_steps = spikes.shape[0] >= _STEPS_WORTH_LOOKING  # through which the weights stay in the cache
        found = _packed_if_sparse(spikes, weight.shape[0]) if is_float and many_steps else None
        if found is None:
            return nn.functional.linear(spikes, weight)
        return _Product.apply(found, weight, spikes)  # type: ignore[no-any-return, no-untyped-call]
    words = spikes.words.contiguous()
    if not events.pays(words, weight.shape[0], spikes.features, spikes.dtype):
        return nn.functional.linear(spikes.dense(), weight)
    return _Product.apply(words, weight.float(), None).to(spikes.dtype)  # type: ignore[no-any-return, no-untyped-call]


__all__ = ["PackedSpikes", "Spikes", "is_repeated", "once", "product", "weight_gradient"]
