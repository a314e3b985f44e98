"""Pools of windows that do not overlap, as Numba kernels: torch's own take longer than all neurons of a network."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.parallel import Kernel, array, compile_kernel, four_numbers, launch, number, share
from izhi.kernels.cpu.scalars import codec, f32
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


POOLS = PoolKernels(forward, backward)
