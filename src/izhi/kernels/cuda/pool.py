"""Pools of windows that do not overlap, as Triton kernels; a window keeps a byte, in torch eight, or bits of spikes."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from izhi.kernels.cuda.launch import kernel, launch
from izhi.kernels.cuda.scalars import divided
from izhi.kernels.plan import PoolKernels, PoolKind

#: Features of one program.
BLOCK = 256


@triton.jit  # type: ignore[untyped-decorator]
def _windows(planes, height, width, down: tl.constexpr, across: tl.constexpr, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """A program's windows: their numbers, which there are, and the first place of each in the planes."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    rows, columns = height // down, width // across
    mask = at < tl.cast(planes, tl.int64) * rows * columns
    row, column = at // columns % rows, at % columns
    return at, mask, (at // (rows * columns) * height + row * down) * width + column * across


@kernel
def _pool(  # type: ignore[no-untyped-def]
    x, out, place, planes, height, width, down: tl.constexpr, across: tl.constexpr, is_max: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """A program has so many windows."""
    at, mask, corner = _windows(planes, height, width, down, across, block)
    best = tl.load(x + corner, mask, 0.0).to(tl.float32)
    where, total = tl.zeros((block,), tl.int32), tl.zeros((block,), tl.float32)
    for k in range(down * across):
        value = tl.load(x + corner + k // across * width + k % across, mask, 0.0).to(tl.float32)
        # The first of equal ones, and what is not a number, as torch has it.
        larger = (value > best) | (value != value)
        best, where = tl.where(larger, value, best), tl.where(larger, k, where)
        total += value
    if is_max:
        tl.store(out + at, best, mask)
        tl.store(place + at, where, mask)
    else:
        tl.store(out + at, divided(total, tl.full((block,), down * across, tl.float32)), mask)


@kernel
def _spread(  # type: ignore[no-untyped-def]
    g, place, grad, planes, height, width, down: tl.constexpr, across: tl.constexpr, is_max: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """A program has so many features of the planes."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    rows, columns = height // down, width // across
    mask = at < tl.cast(planes, tl.int64) * height * width
    row, column = at // width % height, at % width
    seen = mask & (row < rows * down) & (column < columns * across)
    window = (at // (height * width) * rows + row // down) * columns + column // across
    arrives = tl.load(g + window, seen, 0.0).to(tl.float32)
    if is_max:
        where = tl.load(place + window, seen, 0)
        arrives = tl.where(where == row % down * across + column % across, arrives, 0.0)
    else:
        arrives = divided(arrives, tl.full((block,), down * across, tl.float32))
    tl.store(grad + at, arrives, mask)


@kernel
def _any(  # type: ignore[no-untyped-def]
    words, out, first, planes, height, width, down: tl.constexpr, across: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """A program has so many windows of words."""
    at, mask, corner = _windows(planes, height, width, down, across, block)
    fires = tl.zeros((block,), tl.int32)
    for k in range(down * across):
        fires = fires | tl.load(words + corner + k // across * width + k % across, mask, 0)
    before = ~fires  # where none fires, the first has the gradient
    tl.store(out + at, fires, mask)
    for k in range(down * across):
        place = corner + k // across * width + k % across
        word = tl.load(words + place, mask, 0)
        if k == 0:
            tl.store(first + place, word | before, mask)
            before = word
        else:
            tl.store(first + place, word & ~before, mask)
            before = before | word


@kernel
def _to_first(  # type: ignore[no-untyped-def]
    g, first, grad, steps, batch, chunks, channels, height, width, down: tl.constexpr, across: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """A program has so many features of the images of all steps and samples."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    image, rows, columns = tl.cast(channels, tl.int64) * height * width, height // down, width // across
    mask = at < image * steps * batch
    t, sample = at // image // batch, at // image % batch
    row, column = at // width % height, at % width
    word = tl.load(first + (sample * chunks + t // 32) * image + at % image, mask, 0)
    seen = mask & (((word >> (t % 32).to(tl.int32)) & 1) != 0) & (row < rows * down) & (column < columns * across)
    window = (at // (height * width) * rows + row // down) * columns + column // across
    tl.store(grad + at, tl.load(g + window, seen, 0.0), mask)


def forward(x: Tensor, kind: PoolKind, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Planes (N, H, W), pooled: (N, ⌊H/down⌋, ⌊W/across⌋); and where in its window the largest was, in uint8."""
    planes, height, width = x.shape
    out = x.new_empty(planes, height // window[0], width // window[1])
    place = torch.empty(out.shape if kind == "max" else 0, dtype=torch.uint8, device=x.device)
    _launched(_pool, out, window, kind, x, out, place, planes, height, width)
    return out, place


def backward(g: Tensor, place: Tensor, kind: PoolKind, window: tuple[int, int], shape: torch.Size) -> Tensor:
    """The gradient of planes of that shape from that of what they were pooled to."""
    grad = g.new_empty(shape)
    _launched(_spread, grad, window, kind, g, place, grad, *shape)
    return grad


def _launched(function: Any, made: Tensor, window: tuple[int, int], kind: PoolKind, *arguments: Any) -> None:
    if made.numel():
        grid, (down, across) = (triton.cdiv(made.numel(), BLOCK),), window
        launch(function, grid, *arguments, down=down, across=across, is_max=int(kind == "max"), block=BLOCK)


def forward_of_bits(words: Tensor, window: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Words of planes (N, H, W): those of the largest in each window, and of where in the planes these are."""
    planes, height, width = words.shape
    (down, across), first = window, torch.empty_like(words)
    out = words.new_empty(planes, height // down, width // across)
    if out.numel():
        grid = (triton.cdiv(out.numel(), BLOCK),)
        launch(_any, grid, words, out, first, planes, height, width, down=down, across=across, block=BLOCK)
    return out, first


def backward_of_bits(g: Tensor, first: Tensor, window: tuple[int, int]) -> Tensor:
    """The gradient (T, B, C, H, W) from that of the largest, by words of where these are."""
    (steps, batch), (_, chunks, *image), (down, across) = g.shape[:2], first.shape, window
    grad = g.new_empty(steps, batch, *image)
    if grad.numel():
        sizes, grid = (steps, batch, chunks, *image), (triton.cdiv(grad.numel(), BLOCK),)
        launch(_to_first, grid, g, first, grad, *sizes, down=down, across=across, block=BLOCK)
    return grad


POOLS = PoolKernels(forward, backward, forward_of_bits, backward_of_bits)
