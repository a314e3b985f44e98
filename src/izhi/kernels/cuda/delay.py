"""Spikes delayed by a number of steps of their own for each neuron, as two Triton kernels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from izhi.kernels.cuda.launch import kernel, launch
from izhi.kernels.plan import DelayKernels

#: Lanes of one program.
BLOCK = 256


@triton.jit
def _at(x, past, step, depth, lanes, lane, mask):  # type: ignore[no-untyped-def]
    """The spikes of a step, which may be before the first one."""
    now = tl.load(x + step * lanes + lane, mask & (step >= 0), 0.0)
    before = tl.load(past + (depth + step) * lanes + lane, mask & (step < 0), 0.0)
    return tl.where(step >= 0, now, before)


@kernel
def _move(x, past, delays, whole, out, depth, lanes, width, block: tl.constexpr):  # type: ignore[no-untyped-def]
    """A program has one step."""
    t = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1).to(tl.int64) * block + tl.arange(0, block)
    mask = lane < lanes
    delay = tl.load(delays + lane % width, mask, 0.0)
    found = _at(x, past, t - tl.load(whole + lane % width, mask, 0), depth, lanes, lane, mask)
    tl.store(out + t * lanes + lane, tl.where(delay == delay, found.to(tl.float32), delay), mask)


@kernel
def _back(  # type: ignore[no-untyped-def]
    x, past, whole, g, grad_x, grad_past, grad_delays, steps, depth, lanes, width, block: tl.constexpr,
):  # fmt: skip
    """A program has all steps of its lanes."""
    lane = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    mask = lane < lanes
    lanes = tl.cast(lanes, tl.int64)  # a step of them, times steps, may not fit 32 bits
    wait = tl.load(whole + lane % width, mask, 0)
    for back in range(depth):
        to = back - depth + wait
        arrives = tl.load(g + to * lanes + lane, mask & (to >= 0) & (to < steps), 0.0)
        tl.store(grad_past + back * lanes + lane, arrives, mask)
    total = tl.zeros((block,), tl.float32)
    for t in range(steps):
        to = t + wait
        arrives = tl.load(g + to * lanes + lane, mask & (to < steps), 0.0)
        tl.store(grad_x + t * lanes + lane, arrives, mask)
        earlier = _at(x, past, t - wait - 1, depth, lanes, lane, mask).to(tl.float32)
        later = _at(x, past, t - wait + (wait > 0).to(tl.int64), depth, lanes, lane, mask).to(tl.float32)
        slope = (earlier - later) * tl.where(wait > 0, 0.5, 1.0)
        total += tl.load(g + t * lanes + lane, mask, 0.0).to(tl.float32) * slope
    tl.store(grad_delays + lane, total, mask)


def forward(x: Tensor, past: Tensor, delays: Tensor, whole: Tensor) -> Tensor:
    """x (T, B, N) delayed by whole (N,) int64 steps; past (D + 1, B, N) came before it."""
    steps, batch, width = x.shape
    out, lanes = torch.empty_like(x), batch * width
    if out.numel():
        grid = (steps, triton.cdiv(lanes, BLOCK))
        launch(_move, grid, x, past, delays.float(), whole, out, len(past), lanes, width, block=BLOCK)
    return out


def backward(x: Tensor, past: Tensor, whole: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of past, and of the delays by differences in time, (N,) float32."""
    steps, batch, width = x.shape
    grad_x, grad_past, lanes = torch.empty_like(x), torch.empty_like(past), batch * width
    grad_delays = torch.empty(batch, width, device=x.device)
    if x.numel():
        launch(
            _back, (triton.cdiv(lanes, BLOCK),), x, past, whole, g, grad_x, grad_past, grad_delays, steps, len(past),
            lanes, width, block=BLOCK,
        )  # fmt: skip
    return grad_x, grad_past, grad_delays.sum(0)


DELAYS = DelayKernels(forward, backward)
