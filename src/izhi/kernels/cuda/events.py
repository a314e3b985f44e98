"""Spikes as bits in the memory of a GPU, and their products with weights in bfloat16.

A program has the spikes of one sample in 32 steps, of the inputs alone that fire in it, and multiplies them with rows
of the weights that it gathers, all steps at once. The gradient of the weights is a product with all samples and steps,
whose one factor is made of bits as it is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from izhi.kernels.cuda.launch import is_interpreted, kernel, launch
from izhi.kernels.cuda.scalars import constant
from izhi.kernels.events import WORD, Events, number_of_bits
from izhi.kernels.plan import BitKernels, ProductKernels

#: Inputs of one piece of a product, and outputs of one program.
GROUP, BLOCK = 32, 64
#: Inputs that are listed at once.
_LISTED = 1024
#: Parts of the samples whose gradients of weights are summed apart: a fixed number, for the same sums each time.
_PARTS = 8
#: What products multiply: the interpreter cannot multiply bfloat16, of which float32 makes the same products.
_FACTOR = constant(tl.float32 if is_interpreted() else tl.bfloat16)


@kernel
def _list(words, places, counts, gathered, chunks, inputs, room, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """The inputs of a sample that fire, and their words side by side."""
    sample = tl.program_id(0).to(tl.int64)
    count = 0
    for begin in range(0, inputs, block):
        i = begin + tl.arange(0, block)
        ever = tl.zeros((block,), tl.int32)
        for c in range(chunks):
            word = tl.load(words + (sample * chunks + c) * inputs + i, i < inputs, 0)
            ever = ever | word
        fires = (ever != 0).to(tl.int32)
        to = count + tl.cumsum(fires, 0) - fires
        tl.store(places + sample * inputs + to, i, ever != 0)
        for c in range(chunks):
            word = tl.load(words + (sample * chunks + c) * inputs + i, i < inputs, 0)
            tl.store(gathered + (sample * chunks + c) * room + to, word, ever != 0)
        count += tl.sum(fires, 0)
    tl.store(counts + sample, count)


@triton.jit
def _spread(words):  # type: ignore[no-untyped-def]
    """Words (K,) as spikes (32, K) of 0 and 1."""
    return ((words[None, :] >> tl.arange(0, 32)[:, None]) & 1).to(_FACTOR)


@triton.jit  # type: ignore[untyped-decorator]
def currents_of(gathered, places, count, rows, outputs, o, block: tl.constexpr, group: tl.constexpr):  # type: ignore[no-untyped-def]
    """A sample's spikes in 32 steps times rows of weights (I, O): (32, block) in float32.

    Args:
        gathered, places: of the sample, and of the steps.
        count: inputs of it that fire.
        rows: (I, O).
        outputs: O.
        o: which outputs, (block,).
        block, group: outputs, and inputs of a piece.
    """
    sums = tl.zeros((32, block), tl.float32)
    for first in range(0, count, group):
        k = first + tl.arange(0, group)
        found = tl.load(places + k, k < count, 0)
        spikes = _spread(tl.load(gathered + k, k < count, 0))
        inside = (k < count)[:, None] & (o < outputs)[None, :]
        weights = tl.load(rows + found[:, None].to(tl.int64) * outputs + o[None, :], inside, 0.0)
        sums = tl.dot(spikes, weights.to(_FACTOR), sums)
    return sums


@kernel
def _expand(words, out, steps, batch, chunks, inputs, block: tl.constexpr):  # type: ignore[no-untyped-def]
    sample, c = (tl.program_id(0) // chunks).to(tl.int64), tl.program_id(0) % chunks
    i, t = tl.program_id(1) * block + tl.arange(0, block), c * 32 + tl.arange(0, 32)
    spikes = _spread(tl.load(words + (sample * chunks + c) * inputs + i, i < inputs, 0))
    to = out + (t[:, None].to(tl.int64) * batch + sample) * inputs + i[None, :]
    tl.store(to, spikes, (t < steps)[:, None] & (i < inputs)[None, :])


@kernel
def _product(  # type: ignore[no-untyped-def]
    gathered, places, counts, rows, out, steps, batch, chunks, inputs, room, outputs,
    block: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    sample, c = (tl.program_id(0) // chunks).to(tl.int64), tl.program_id(0) % chunks
    o = tl.program_id(1) * block + tl.arange(0, block)
    of_steps = gathered + (sample * chunks + c) * room
    sums = currents_of(
        of_steps, places + sample * inputs, tl.load(counts + sample), rows, outputs, o, block, group
    )  # fmt: skip
    t = c * 32 + tl.arange(0, 32)
    to = out + (t[:, None].to(tl.int64) * batch + sample) * outputs + o[None, :]
    tl.store(to, sums.to(tl.bfloat16), (t < steps)[:, None] & (o < outputs)[None, :])


@kernel
def _gradient(  # type: ignore[no-untyped-def]
    words, g, out, steps, batch, chunks, inputs, outputs, parts,
    block: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * block + tl.arange(0, block)
    o = tl.program_id(1) * group + tl.arange(0, group)
    part = tl.program_id(2)
    pieces = batch * chunks
    sums = tl.zeros((group, block), tl.float32)
    for piece in range(part * pieces // parts, (part + 1) * pieces // parts):
        sample, c = (piece // chunks).to(tl.int64), piece % chunks
        t = c * 32 + tl.arange(0, 32)
        spikes = _spread(tl.load(words + (sample * chunks + c) * inputs + i, i < inputs, 0))
        at = g + (t[None, :].to(tl.int64) * batch + sample) * outputs + o[:, None]
        arriving = tl.load(at, (t < steps)[None, :] & (o < outputs)[:, None], 0.0)
        sums = tl.dot(arriving.to(_FACTOR), spikes, sums)
    to = out + (part.to(tl.int64) * outputs + o[:, None]) * inputs + i[None, :]
    tl.store(to, sums, (o < outputs)[:, None] & (i < inputs)[None, :])


def _shifts(device: torch.device) -> Tensor:
    return torch.arange(WORD, dtype=torch.int32, device=device)[:, None]


def dense(words: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """Words (B, ⌈T/32⌉, N) → spikes (T, B, N) of 0 and 1."""
    batch, chunks, inputs = words.shape
    out = torch.empty(steps, batch, inputs, dtype=dtype, device=words.device)
    grid: Any = (batch * chunks, triton.cdiv(inputs, BLOCK))
    if out.numel():
        launch(_expand, grid, words.contiguous(), out, steps, batch, chunks, inputs, block=BLOCK)
    return out


def packed(spikes: Tensor) -> Tensor:
    """Spikes (T, B, N) as words (B, ⌈T/32⌉, N); whatever is not 0 counts as 1."""
    steps, batch, inputs = spikes.shape
    fires = nn.functional.pad((spikes != 0).int(), (0, 0, 0, 0, 0, -steps % WORD))
    bits = fires.view(-1, WORD, batch, inputs).permute(2, 0, 1, 3) << _shifts(spikes.device)
    words: Tensor = bits.sum(2, dtype=torch.int32)
    return words


def counted(words: Tensor) -> Tensor:
    """How many bits each input has in all words (B, ⌈T/32⌉, N) → (N,) in float32."""
    return number_of_bits(words).sum((0, 1)).float()


def listed(words: Tensor, steps: int) -> Events:
    """The events of words (B, ⌈T/32⌉, N)."""
    batch, chunks, inputs = words.shape
    words, room = words.contiguous(), -(-inputs // WORD) * WORD
    places, counts = words.new_empty(batch, inputs), words.new_empty(batch)
    gathered = words.new_empty(batch, chunks, room)
    if batch:
        launch(_list, (batch,), words, places, counts, gathered, chunks, inputs, room, block=_LISTED)
    return Events(words, places, counts, gathered, steps)


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def _every_input(batch: int, inputs: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The places of all inputs of each sample, and how many these are."""
    places = torch.arange(inputs, dtype=torch.int32, device=device).expand(batch, -1).contiguous()
    return places, torch.full((batch,), inputs, dtype=torch.int32, device=device)


def of_neurons(words: Tensor, steps: int) -> Events:
    """Events with every input, of words (B, ⌈T/32⌉, N) of neurons; N that are no groups of 32 are listed."""
    batch, _, inputs = words.shape
    if inputs % WORD:
        return listed(words, steps)
    return Events(words, *_every_input(batch, inputs, words.device), words, steps)


def rows_of(weight: Tensor) -> Tensor:
    """A weight (O, I) as products take it: what each input adds, in bfloat16 (I, O)."""
    return weight.new_empty(weight.shape[::-1], dtype=torch.bfloat16).copy_(weight.t())


def block_of(outputs: int) -> int:
    """Outputs of one program; its products have at least 16."""
    return int(min(BLOCK, max(16, triton.next_power_of_2(outputs))))


def product(events: Events, weight: Tensor) -> Tensor:
    """Spikes·weightᵀ in bfloat16: spikes (T, B, I), weight (O, I) → (T, B, O), summed in float32."""
    (batch, chunks, inputs), outputs = events.words.shape, len(weight)
    block, room = block_of(outputs), events.gathered.shape[2]
    out = weight.new_empty(events.steps, batch, outputs, dtype=torch.bfloat16)
    grid: Any = (batch * chunks, triton.cdiv(outputs, block))
    if out.numel():
        launch(
            _product, grid, events.gathered, events.places, events.counts, rows_of(weight), out, events.steps, batch,
            chunks, inputs, room, outputs, block=block, group=GROUP,
        )  # fmt: skip
    return out


def weight_gradient(events: Events, g: Tensor) -> Tensor:
    """gᵀ·spikes in float32: spikes (T, B, I), g (T, B, O) in bfloat16 → (O, I)."""
    (batch, chunks, inputs), outputs = events.words.shape, g.shape[-1]
    out = torch.empty(_PARTS, outputs, inputs, device=g.device)
    group = block_of(outputs)
    grid: Any = (triton.cdiv(inputs, BLOCK), triton.cdiv(outputs, group), _PARTS)
    if out.numel():
        launch(
            _gradient, grid, events.words, g.contiguous(), out, events.steps, batch, chunks, inputs, outputs, _PARTS,
            block=BLOCK, group=group,
        )  # fmt: skip
    return out.sum(0)


BITS = BitKernels(packed, dense, counted, listed, of_neurons, ProductKernels(product, weight_gradient))
