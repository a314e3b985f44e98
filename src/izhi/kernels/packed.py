"""Spikes kept as single bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard, cast

import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels import cpu
from izhi.kernels.events import WORD, Events
from izhi.kernels.lazy import LazyTensor, Source
from izhi.kernels.plan import BitKernels


def bits_on(device: torch.device) -> BitKernels:
    """The kernels for bits in the memory of a device."""
    if device.type == "cpu":
        return cpu.BITS
    from izhi.kernels import cuda

    return cuda.BITS


class PackedSpikes:
    """Spikes (T, B, N) of 0 and 1, one bit each.

    They need no gradient: encoded samples, or recorded events.

    Args:
        words: (B, ⌈T/32⌉, N) int32; bit t of word c of an input is its spike in step 32·c + t.
        steps: T.
        dtype: format of the dense spikes, and of the products.
        checked: whether they are known to fit, such as those that a kernel wrote.
        of_neurons: whether a layer of neurons gives them, most of which fire.

    Raises:
        ShapeError: for words of another shape or format, or with bits of steps beyond the last one: kernels
            reach into memory by each bit.
    """

    # No dataclass: Fabric would look for tensors to convert within one, and refuse if it is frozen.
    def __init__(
        self, words: Tensor, steps: int, dtype: torch.dtype = torch.float32, *, checked: bool = False,
        of_neurons: bool = False,
    ) -> None:  # fmt: skip
        self.words, self.steps, self.dtype, self._of_neurons = words, steps, dtype, of_neurons
        self._events: Events | None = None
        if not checked:
            self._check()

    def _check(self) -> None:
        words, steps = self.words, self.steps
        if words.dim() != 3 or words.shape[1] != -(-steps // WORD) or words.dtype != torch.int32:
            raise ShapeError(
                f"words are {words.dtype} of shape {tuple(words.shape)}, expected int32 (B, {-(-steps // WORD)}, N)"
            )
        if steps % WORD and (words[:, -1] >> steps % WORD).any():
            raise ShapeError(f"words have bits beyond the {steps} steps, expected 0 there")

    @property
    def shape(self) -> torch.Size:
        """(T, B, N)."""
        batch, _, inputs = self.words.shape
        return torch.Size((self.steps, batch, inputs))

    @property
    def device(self) -> torch.device:
        return self.words.device

    def __len__(self) -> int:
        return self.steps

    def dim(self) -> int:
        return self.words.dim()

    def split(self, steps: int) -> list[PackedSpikes]:
        """Parts of that many steps, and a last part of what remains."""
        return [self._part(first, min(steps, self.steps - first)) for first in range(0, self.steps, steps)]

    def _part(self, first: int, steps: int) -> PackedSpikes:
        """So many steps from the first one on."""
        word, bit = divmod(first, WORD)
        wide = nn.functional.pad(self.words, (0, 0, 0, 1)).long() & 0xFFFFFFFF
        chunks = -(-steps // WORD)
        words = (wide[:, word : word + chunks] >> bit) | (wide[:, word + 1 : word + 1 + chunks] << (WORD - bit))
        if steps % WORD:
            words[:, -1] &= (1 << steps % WORD) - 1
        return PackedSpikes(words.to(torch.int32), steps, self.dtype)

    def to(self, device: torch.device) -> PackedSpikes:
        """The same in memory of another device."""
        if device == self.device:
            return self
        return PackedSpikes(self.words.to(device), self.steps, self.dtype, checked=True)

    def events(self) -> Events:
        """Which inputs fire at all, found but once."""
        if self._events is None:
            kernels = bits_on(self.device)
            self._events = (kernels.of_neurons if self._of_neurons else kernels.listed)(self.words, self.steps)
        return self._events

    def dense(self) -> Tensor:
        """The spikes as 0 and 1, (T, B, N)."""
        return bits_on(self.device).dense(self.words, self.steps, self.dtype)

    @classmethod
    def pack(cls, spikes: Tensor) -> PackedSpikes:
        """Dense spikes (T, B, N); whatever is not 0 counts as 1."""
        return cls(bits_on(spikes.device).packed(spikes.detach()), len(spikes), spikes.dtype, checked=True)


class BinarySpikes(LazyTensor):
    """Spikes (T, B, *features) of a layer of neurons that are kept as single bits.

    Attributes:
        packed: the bits, of all features in a row.
    """

    packed: PackedSpikes

    @staticmethod
    def __new__(cls, packed: PackedSpikes, shape: tuple[int, ...], source: Source | None = None) -> BinarySpikes:
        spikes = cls.of_source(source or Source(packed.dense), shape, packed.dtype, packed.device)
        spikes.packed = packed
        return spikes

    def viewed(self, shape: tuple[int, ...]) -> BinarySpikes:
        return BinarySpikes(self.packed, shape, self.source)

    def converted(self, dtype: torch.dtype) -> BinarySpikes:
        return BinarySpikes(PackedSpikes(self.packed.words, self.packed.steps, dtype, checked=True), tuple(self.shape))


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


def bits_of(spikes: Spikes) -> PackedSpikes | None:
    """Spikes as bits, if they are kept so and no operation has changed them."""
    if isinstance(spikes, BinarySpikes):
        return spikes.packed if spikes.source.is_intact else None
    return spikes if isinstance(spikes, PackedSpikes) else None


def as_bits(spikes: Tensor) -> BinarySpikes:
    """Spikes (T, B, *features) of neurons as a lazy tensor of one bit each."""
    packed = bits_of(spikes) or PackedSpikes.pack(spikes.flatten(2))
    return BinarySpikes(packed, tuple(spikes.shape))


def split_samples(spikes: Spikes, count: int) -> list[Spikes]:
    """Spikes (T, B, *features) in parts of so many samples, and a last part of what remains."""
    if isinstance(spikes, Tensor):
        return list(torch.split(spikes, count, 1))
    return [PackedSpikes(x, spikes.steps, spikes.dtype, checked=True) for x in torch.split(spikes.words, count)]


def join_samples(parts: Sequence[BinarySpikes]) -> BinarySpikes:
    """Spikes of neurons of several parts of the samples as those of all."""
    first, words = parts[0], torch.cat([x.packed.words for x in parts])
    packed = PackedSpikes(words, first.packed.steps, first.packed.dtype, checked=True)
    return BinarySpikes(packed, (len(first), len(words), *first.shape[2:]))


def spikes_of_neurons(spikes: Spikes) -> Tensor:
    """How many spikes each neuron has in all steps and samples: (T, B, *features) → (*features) in float32."""
    packed = bits_of(spikes)
    if packed is None:
        return cast(Tensor, spikes).sum(dim=(0, 1), dtype=torch.float32)
    return bits_on(spikes.device).counted(packed.words).view(spikes.shape[2:])


def different_spikes(one: Tensor, other: Tensor) -> int:
    """In how many places two tensors of spikes (T, B, *features) differ."""
    words = as_bits(one).packed.words ^ as_bits(other).packed.words
    return int(bits_on(one.device).counted(words).sum(dtype=torch.float64))
