"""Pools of windows that do not overlap, as Numba kernels: torch's own take longer than all neurons of a network."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.parallel import Kernel, array, compile_kernel, four_numbers, launch, number, share
from izhi.kernels.cpu.scalars import codec, f32
from izhi.kernels.events import WORD
from izhi.kernels.plan import PoolKernels, PoolKind


@cache
def _forward(kind: PoolKind, kernel: tuple[int, int], dtype: torch.dtype) -> Kernel:
    load, store, element = codec(dtype)
    (down, across), is_max = kernel, kind == "max"
    size = f32(down * across)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        planes, height, width, rows = four_numbers(data)
        columns = number(data, 4)
        x = array(data, 5, (planes, height, width), element)
        out = array(data, 6, (planes, rows, columns), element)
        place = array(data, 7, (planes, rows, columns), np.uint8)
        worker, workers = share(data)
        for n in range(worker * planes // workers, (worker + 1) * planes // workers):
            for row in range(rows):
                for column in range(columns):
                    best, where, total = x[n, row * down, column * across], np.uint8(0), f32(0)
                    for i in range(down):
                        for j in range(across):
                            value = x[n, row * down + i, column * across + j]
                            # The first of equal ones, and what is not a number, as torch has it.
                            larger = load(value) > load(best) or load(value) != load(value)
                            best = value if larger else best
                            where = np.uint8(i * across + j) if larger else where
                            total += load(value)
                    if is_max:
                        out[n, row, column] = best
                        place[n, row, column] = where
                    else:
                        out[n, row, column] = store(total / size)

    return forward


@cache
def _backward(kind: PoolKind, kernel: tuple[int, int], dtype: torch.dtype) -> Kernel:
    load, store, element = codec(dtype)
    (down, across), is_max = kernel, kind == "max"
    size = f32(down * across)

    @compile_kernel
    def backward(data):  # type: ignore[no-untyped-def]
        planes, height, width, rows = four_numbers(data)
        columns = number(data, 4)
        grad_out = array(data, 5, (planes, rows, columns), element)
        place = array(data, 6, (planes, rows, columns), np.uint8)
        grad_x = array(data, 7, (planes, height, width), element)
        worker, workers = share(data)
        zero = store(f32(0))
        for n in range(worker * planes // workers, (worker + 1) * planes // workers):
            for row in range(rows):
                for i in range(down):
                    line = grad_x[n, row * down + i]
                    for column in range(columns):
                        g = grad_out[n, row, column]
                        for j in range(across):
                            if is_max:
                                is_here = place[n, row, column] == np.uint8(i * across + j)
                                line[column * across + j] = g if is_here else zero
                            else:
                                line[column * across + j] = store(load(g) / size)
                    for column in range(columns * across, width):
                        line[column] = zero
            for row in range(rows * down, height):
                for column in range(width):
                    grad_x[n, row, column] = zero

    return backward


@cache
def _forward_of_bits(kernel: tuple[int, int]) -> Kernel:
    down, across = kernel

    @compile_kernel
    def forward_of_bits(data):  # type: ignore[no-untyped-def]
        planes, height, width, rows = four_numbers(data)
        columns = number(data, 4)
        words = array(data, 5, (planes, height, width), np.uint32)
        out = array(data, 6, (planes, rows, columns), np.uint32)
        first = array(data, 7, (planes, height, width), np.uint32)
        worker, workers = share(data)
        for n in range(worker * planes // workers, (worker + 1) * planes // workers):
            for row in range(rows):
                for column in range(columns):
                    fires = np.uint32(0)
                    for i in range(down):
                        for j in range(across):
                            y, x = row * down + i, column * across + j
                            first[n, y, x] = words[n, y, x] & ~fires
                            fires |= words[n, y, x]
                    out[n, row, column] = fires
                    first[n, row * down, column * across] |= ~fires

    return forward_of_bits


@cache
def _backward_of_bits(kernel: tuple[int, int], dtype: torch.dtype) -> Kernel:
    _, store, element = codec(dtype)
    down, across = kernel

    @compile_kernel
    def backward_of_bits(data):  # type: ignore[no-untyped-def]
        steps, batch, chunks, channels = four_numbers(data)
        height, width, rows, columns = number(data, 4), number(data, 5), number(data, 6), number(data, 7)
        g = array(data, 8, (steps, batch, channels, rows, columns), element)
        first = array(data, 9, (batch, chunks, channels, height, width), np.uint32)
        grad = array(data, 10, (steps, batch, channels, height, width), element)
        worker, workers = share(data)
        zero, images = store(f32(0)), steps * batch
        for n in range(worker * images // workers, (worker + 1) * images // workers):
            t, sample = n // batch, n % batch
            bit = np.uint32(t % WORD)
            for c in range(channels):
                planes, words = grad[t, sample, c], first[sample, t // WORD, c]
                for row in range(rows):
                    arriving = g[t, sample, c, row]
                    for y in range(row * down, (row + 1) * down):
                        line, of_line = planes[y], words[y]
                        for column in range(columns):
                            for x in range(column * across, (column + 1) * across):
                                line[x] = arriving[column] if (of_line[x] >> bit) & np.uint32(1) else zero
                        for x in range(columns * across, width):
                            line[x] = zero
                for y in range(rows * down, height):
                    for x in range(width):
                        planes[y, x] = zero

    return backward_of_bits


def forward(x: Tensor, kind: PoolKind, kernel: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Planes (N, H, W), pooled: (N, ⌊H/down⌋, ⌊W/across⌋); and where in its window the largest was, in uint8."""
    planes, height, width = x.shape
    rows, columns = height // kernel[0], width // kernel[1]
    out = arena.empty(planes, rows, columns, dtype=x.dtype)
    place = torch.empty(out.shape if kind == "max" else 0, dtype=torch.uint8)
    launch(_forward(kind, kernel, x.dtype), planes, height, width, rows, columns, x, out, place, pieces=planes)
    return out, place


def backward(grad: Tensor, place: Tensor, kind: PoolKind, kernel: tuple[int, int], shape: torch.Size) -> Tensor:
    """The gradient of planes of that shape from that of what they were pooled to."""
    planes, height, width = shape
    found, kernel_of = arena.empty(*shape, dtype=grad.dtype), _backward(kind, kernel, grad.dtype)
    launch(kernel_of, planes, height, width, *grad.shape[1:], grad, place, found, pieces=planes)
    return found


def forward_of_bits(words: Tensor, kernel: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Words of planes (N, H, W): those of the largest in each window, and of where in the planes these are."""
    planes, height, width = words.shape
    rows, columns = height // kernel[0], width // kernel[1]
    out = arena.empty(planes, rows, columns, dtype=torch.int32)
    first = arena.empty(planes, height, width, dtype=torch.int32)
    launch(_forward_of_bits(kernel), planes, height, width, rows, columns, words, out, first, pieces=planes)
    return out, first


def backward_of_bits(g: Tensor, first: Tensor, kernel: tuple[int, int]) -> Tensor:
    """The gradient (T, B, C, H, W) from that of the largest, by words of where these are."""
    (steps, batch, *_, rows, columns), (_, chunks, *image) = g.shape, first.shape
    grad = arena.empty(steps, batch, *image, dtype=g.dtype)
    sizes = (steps, batch, chunks, *image, rows, columns)
    launch(_backward_of_bits(kernel, g.dtype), *sizes, g, first, grad, pieces=steps * batch)
    return grad


POOLS = PoolKernels(forward, backward, forward_of_bits, backward_of_bits)
