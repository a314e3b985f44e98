"""Spikes kept as single bits, and their products with weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from izhi.errors import ShapeError
from izhi.kernels import paths
from izhi.kernels.cpu import bits, events, matrix_unit
from izhi.kernels.cpu.rows import SMALL_OUTPUT
from izhi.kernels.devices import bits_on, takes_bits
from izhi.kernels.events import WORD, Events
from izhi.kernels.lazy import LazyTensor, dense, materialize, unchanged
from izhi.kernels.low_rank import LowRankGradient
from izhi.kernels.plan import ProductKernels
from izhi.kernels.tracing import is_traced
from izhi.kernels.weighted import Weighted, WeightGradient

#: Spikes, and steps through which the weights stay in the cache, from which sums over spikes may be faster.
_WORTH_LOOKING, _STEPS_WORTH_LOOKING = 1 << 16, 4
#: Outputs up to which gradients of spikes are handed down as factors.
_FACTORED_UP_TO = SMALL_OUTPUT
_UNFIT = "so few outputs leave vectors empty"
#: The share of inputs that fire at all in a sample above which the matrix unit is faster with all of them.
_ACTIVE = 0.5


class PackedSpikes:
    """Spikes (T, B, N) of 0 and 1, one bit each.

    They need no gradient: encoded samples, or recorded events.

    Args:
        words: (B, ⌈T/32⌉, N) int32; bit t of word c of an input is its spike in step 32·c + t.
        steps: T.
        dtype: format of the dense spikes, and of the products.
        checked: whether they are known to fit, such as those that a kernel wrote.

    Raises:
        ShapeError: for words of another shape or format, or with bits of steps beyond the last one: kernels
            reach into memory by each bit.
    """

    # No dataclass: Fabric would look for tensors to convert within one, and refuse if it is frozen.
    def __init__(self, words: Tensor, steps: int, dtype: torch.dtype = torch.float32, *, checked: bool = False) -> None:
        self.words, self.steps, self.dtype = words, steps, dtype
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
            self._events = bits_on(self.device).listed(self.words, self.steps)
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
    def __new__(cls, packed: PackedSpikes, shape: tuple[int, ...]) -> BinarySpikes:
        found: BinarySpikes = cls.of_shape(shape, packed.dtype, packed.device)
        found.packed = packed
        return found

    def dense(self) -> Tensor:
        """The spikes as 0 and 1."""
        return self.packed.dense().view(self.shape)

    def viewed(self, shape: tuple[int, ...]) -> BinarySpikes:
        return BinarySpikes(self.packed, shape)

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


_SUMS = ProductKernels(events.product, events.weight_gradient)


class _Product(torch.autograd.Function):
    """Events, weight (O, I) → spikes·weightᵀ (T, B, O) in float32 or bfloat16, of the inputs alone that fire.

    ``spikes`` are the same (T, B, I), where their gradient is wanted; else None. In float32 by sums, in bfloat16 by
    products of tiles; deferred where the weights learn from it, since neurons may take it into their own kernel.
    """

    @staticmethod
    def forward(
        ctx: Any, found: Events, weight: Tensor, spikes: Tensor | None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        inputs = found.words.shape[2]
        if inputs != weight.shape[1]:  # by which kernels would reach beyond the weights
            raise ShapeError(f"spikes are {inputs} wide, expected {weight.shape[1]}, the inputs of the weights")
        ctx.events = found
        ctx.save_for_backward(weight)
        kernels = _SUMS if dtype == torch.float32 else bits_on(weight.device).products
        weights_learn, spikes_learn = ctx.needs_input_grad[1:3]
        if len(weight) <= SMALL_OUTPUT or (spikes_learn and not weights_learn):
            return kernels.product(found, weight)
        return Weighted(found, weight.detach(), kernels, dtype, spikes_learn)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        g = unchanged(g)
        (weight,), of_weight, of_spikes = ctx.saved_tensors, None, None
        if isinstance(g, WeightGradient):
            of_weight = g.of_weight
        elif ctx.needs_input_grad[1]:
            of_bits = bits_on(weight.device).products.weight_gradient
            gradient = events.weight_gradient if g.dtype == torch.float32 else of_bits
            of_weight = gradient(ctx.events, dense(g).contiguous())
        if ctx.needs_input_grad[2]:
            g, weight = dense(g), weight.to(g.dtype)
            of_spikes = LowRankGradient(g, weight) if len(weight) <= _FACTORED_UP_TO else _in_order_of(g, weight)
        return None, of_weight, of_spikes, None


def _in_order_of(g: Tensor, weight: Tensor) -> Tensor:
    """g·W, whose steps and samples lie in memory as those of g do."""
    turned = g.transpose(0, 1)
    return (turned @ weight).transpose(0, 1) if turned.is_contiguous() else g @ weight


def _reason_not_to_look(spikes: Tensor, outputs: int, other: torch.dtype) -> str | None:
    """Why dense spikes go into a dense product, whatever they hold; None where that depends on them."""
    if is_traced():
        return "torch compiles, traces or transforms it"
    if spikes.device.type != "cpu":
        return f"it is on {spikes.device.type}"
    if not spikes.dtype == other == torch.float32:
        return f"it is in {str(spikes.dtype if other == torch.float32 else other).removeprefix('torch.')}"
    if spikes.dim() != 3:
        return "spikes have no single row of features"
    if spikes.numel() < _WORTH_LOOKING or len(spikes) < _STEPS_WORTH_LOOKING:
        return "it is small"
    return None if events.fits(outputs) else _UNFIT


def _looked_at(spikes: Tensor, outputs: int, other: torch.dtype) -> tuple[Events | None, str | float]:
    """The events of dense spikes (T, B, I), such as those of a layer, where visiting them alone is faster.

    Beside them why, in words, or the share of spikes.
    """
    reason = _reason_not_to_look(spikes, outputs, other)
    if reason is not None:
        return None, reason
    found = bits.packed(spikes.detach())
    if found is None:
        return None, "inputs are not 0 and 1 alone"
    words, density = found
    pays = density < events.DENSE[torch.float32]
    return events.listed(words, len(spikes)) if pays else None, density


def _say(what: str, inputs: int, outputs: int, found: Events | None, why: str | float) -> None:
    """Say which way a product goes, and why: in words, or the share of spikes."""
    if paths.is_recording():
        way = "dense product" if found is None else "sums over spikes, as bits along time"
        why = why if isinstance(why, str) else f"{why:.1%} of inputs are spikes"
        paths.record_route(f"{what} {inputs} → {outputs}", way, why)


def _fits_unit(spikes: PackedSpikes, weight: Tensor, are_hidden: bool) -> bool:
    """Whether a matrix unit multiplies the inputs alone that fire, faster than torch does all of them."""
    kind = spikes.device.type
    if spikes.dtype != torch.bfloat16 or weight.dtype != torch.float32 or not takes_bits(spikes.dtype, kind):
        return False
    if len(weight) <= SMALL_OUTPUT:
        return True
    # To ask a GPU how many fire would be to wait for it. Of a hidden layer it is most neurons.
    return spikes.events().active < _ACTIVE if kind == "cpu" else not are_hidden


def _format_beside(weight: Tensor) -> torch.dtype:
    """The format in which torch would multiply with a weight."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype


def _if_it_pays(spikes: PackedSpikes, outputs: int) -> tuple[Events | None, str | float]:
    """The events of bits where sums over spikes are faster; beside them why, in words, or the share of spikes."""
    fired = spikes.events()
    if not events.fits(outputs):
        return None, _UNFIT
    return fired if events.pays(fired, outputs, spikes.dtype) else None, fired.density


def _say_unit(inputs: int, outputs: int, found: Events) -> None:
    """Say that a product of bits goes to a matrix unit, or to vectors of bfloat16."""
    if paths.is_recording():
        why = f"{found.active:.0%} of inputs fire in a sample"
        on_cpu = found.words.device.type == "cpu"
        what = matrix_unit.name() if on_cpu else "matrix unit"
        paths.record_route(f"product {inputs} → {outputs}", f"{what}, spikes as bits along time", why)


def spikes_of_neurons(spikes: Tensor) -> Tensor:
    """How many spikes each neuron has in all steps and samples: (T, B, *features) → (*features) in float32."""
    spikes = unchanged(spikes)
    if isinstance(spikes, BinarySpikes):
        return bits_on(spikes.device).counted(spikes.packed.words).view(spikes.shape[2:])
    return spikes.sum(dim=(0, 1), dtype=torch.float32)


def weight_gradient(spikes: Tensor, g: Tensor) -> Tensor:
    """Σ over steps and samples of gᵀ·spikes: spikes (T, B, I), gradients of currents (T, B, O) → (O, I)."""
    found, why = _looked_at(spikes, g.shape[2], g.dtype)
    _say("gradient of weights", spikes.shape[2], g.shape[2], found, why)
    if found is None:
        return g.flatten(0, 1).t() @ spikes.flatten(0, 1)
    return events.weight_gradient(found, g.contiguous())


def product(spikes: Spikes, weight: Tensor) -> Tensor:
    """Spikes (T, B, I) times weight (O, I) → currents (T, B, O).

    Spikes that are sparse enough, packed or in float32, cost their number of additions, forward and backward, instead
    of a dense product; sums are then in another order.
    """
    outputs, inputs = weight.shape
    spikes = unchanged(spikes)
    if isinstance(spikes, BinarySpikes) and spikes.dim() == 3:
        if _fits_unit(spikes.packed, weight, are_hidden=True):
            _say_unit(inputs, outputs, spikes.packed.events())
            return _Product.apply(spikes.packed.events(), weight, spikes, torch.bfloat16)  # type: ignore[no-any-return, no-untyped-call]
        if _reason_not_to_look(spikes, outputs, _format_beside(weight)) is None:
            found, why = _if_it_pays(spikes.packed, outputs)
            if found is not None:
                _say("product", inputs, outputs, found, why)
                return _Product.apply(found, weight, spikes)  # type: ignore[no-any-return, no-untyped-call]
        spikes = materialize(spikes)
    if isinstance(spikes, Tensor):
        other = _format_beside(weight)
        found, why = _looked_at(spikes, outputs, other)
        _say("product", inputs, outputs, found, why)
        if found is None:
            return nn.functional.linear(spikes, weight)
        return _Product.apply(found, weight, spikes)  # type: ignore[no-any-return, no-untyped-call]
    if _fits_unit(spikes, weight, are_hidden=False):
        _say_unit(inputs, outputs, spikes.events())
        return _Product.apply(spikes.events(), weight, None, torch.bfloat16)  # type: ignore[no-any-return, no-untyped-call]
    if spikes.device.type != "cpu":
        _say("product", inputs, outputs, None, "sums over spikes are made on a CPU")
        return nn.functional.linear(spikes.dense(), weight)
    found, why = _if_it_pays(spikes, outputs)
    _say("product", inputs, outputs, found, why)
    if found is None:
        return nn.functional.linear(spikes.dense(), weight)
    made = _Product.apply(found, weight.float(), None)  # type: ignore[no-untyped-call]
    return made if spikes.dtype == torch.float32 else made.to(spikes.dtype)  # type: ignore[no-any-return]


__all__ = [
    "BinarySpikes",
    "PackedSpikes",
    "Spikes",
    "is_repeated",
    "once",
    "product",
    "spikes_of_neurons",
    "weight_gradient",
]
