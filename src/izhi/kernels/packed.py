"""Spikes kept as single bits, and their products with weights."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels.cpu import bits, events
from izhi.kernels.cpu.bits import WORD


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


class _Product(torch.autograd.Function):
    """Words (R, W) of spikes, weight (O, I) → spikes·weightᵀ (R, O), visiting the spikes alone."""

    @staticmethod
    def forward(ctx: Any, words: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(words)
        ctx.inputs = weight.shape[1]
        return events.product(words, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        (words,) = ctx.saved_tensors
        return None, events.weight_gradient(words, ctx.inputs, g.contiguous())


def product(spikes: Spikes, weight: Tensor) -> Tensor:
    """Spikes (T, B, I) times weight (O, I) → currents (T, B, O).

    Packed spikes that are sparse enough cost their number of additions, forward and backward, instead
    of a dense product; sums are then in another order.
    """
    if isinstance(spikes, Tensor):
        return nn.functional.linear(spikes, weight)
    steps, batch, features = spikes.shape
    words = spikes.words.reshape(steps * batch, -1)
    if not events.pays(words, weight.shape[0], features, spikes.dtype):
        return nn.functional.linear(spikes.dense(), weight)
    out = _Product.apply(words, weight.float())  # type: ignore[no-untyped-call]
    return out.view(steps, batch, -1).to(spikes.dtype)  # type: ignore[no-any-return]


__all__ = ["PackedSpikes", "Spikes", "is_repeated", "product"]
