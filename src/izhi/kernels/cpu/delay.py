"""Spikes delayed by a number of steps of their own for each neuron, as two Numba kernels."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from izhi.kernels.cpu import arena
from izhi.kernels.cpu.parallel import Kernel, array, compile_kernel, four_numbers, launch, share
from izhi.kernels.cpu.scalars import codec, f32
from izhi.kernels.plan import DelayKernels


@cache
def _forward(dtype: torch.dtype) -> Kernel:
    _, _, element = codec(dtype)

    @compile_kernel
    def forward(data):  # type: ignore[no-untyped-def]
        steps, depth, batch, width = four_numbers(data)
        x = array(data, 4, (steps, batch, width), element)
        past = array(data, 5, (depth, batch, width), element)
        delays = array(data, 6, width, np.int64)
        out = array(data, 7, (steps, batch, width), element)
        worker, workers = share(data)
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            for t in range(steps):
                for n in range(width):
                    from_step = t - delays[n]
                    if from_step >= 0:
                        out[t, b, n] = x[from_step, b, n]
                    else:
                        out[t, b, n] = past[depth + from_step, b, n]

    return forward


@cache
def _backward(dtype: torch.dtype) -> Kernel:
    load, store, element = codec(dtype)

    @compile_kernel
    def backward(data):  # type: ignore[no-untyped-def]
        steps, depth, batch, width = four_numbers(data)
        x = array(data, 4, (steps, batch, width), element)
        past = array(data, 5, (depth, batch, width), element)
        delays = array(data, 6, width, np.int64)
        g = array(data, 7, (steps, batch, width), element)
        grad_x = array(data, 8, (steps, batch, width), element)
        grad_past = array(data, 9, (depth, batch, width), element)
        grad_delays = array(data, 10, (batch, width), f32)
        worker, workers = share(data)
        zero = store(f32(0))
        for b in range(worker * batch // workers, (worker + 1) * batch // workers):
            for n in range(width):
                grad_delays[b, n] = f32(0)
            for t in range(-depth, steps):
                for n in range(width):
                    to_step = t + delays[n]
                    value = g[to_step, b, n] if 0 <= to_step < steps else zero
                    if t >= 0:
                        grad_x[t, b, n] = value
                    else:
                        grad_past[depth + t, b, n] = value
            for t in range(steps):
                for n in range(width):
                    before = t - delays[n] - 1
                    after = before + 2 if delays[n] > 0 else before + 1
                    earlier = load(x[before, b, n] if before >= 0 else past[depth + before, b, n])
                    later = load(x[after, b, n] if after >= 0 else past[depth + after, b, n])
                    width_of = f32(after - before)
                    grad_delays[b, n] += load(g[t, b, n]) * (earlier - later) / width_of

    return backward


def forward(x: Tensor, past: Tensor, _: Tensor, whole: Tensor) -> Tensor:
    """x (T, B, N) delayed by whole (N,) int64 steps; past (D + 1, B, N) came before it."""
    steps, batch, width = x.shape
    out = arena.empty_like(x)
    launch(_forward(x.dtype), steps, len(past), batch, width, x, past, whole, out, pieces=batch)
    return out


def backward(x: Tensor, past: Tensor, whole: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of past, and of the delays by differences in time, (N,) float32."""
    steps, batch, width = x.shape
    grad_x, grad_past = arena.empty_like(x), arena.empty_like(past)
    grad_delays = arena.empty(batch, width)
    launch(
        _backward(x.dtype), steps, len(past), batch, width, x, past, whole, g, grad_x, grad_past,
        grad_delays, pieces=batch,
    )  # fmt: skip
    return grad_x, grad_past, grad_delays.sum(0)


DELAYS = DelayKernels(forward, backward)
