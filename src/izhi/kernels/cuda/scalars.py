"""Triton's ops for the formulas of ``izhi.kernels.dynamics``, and how it compiles kernels around them."""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

from izhi.kernels.ops import OpSet


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def jit(function: Callable[..., Any]) -> Any:
    """triton.jit for functions that use variables of the function around them.

    The interpreter looks names up among a function's globals only, so those variables are put there.
    """
    around = inspect.getclosurevars(function).nonlocals
    seen = types.FunctionType(
        function.__code__, {**function.__globals__, **around, "tl": tl}, function.__name__,
        function.__defaults__, function.__closure__,
    )  # fmt: skip
    seen.__annotations__, seen.__module__ = function.__annotations__, function.__module__
    seen.__qualname__ = function.__qualname__
    return triton.jit(seen)


def constant(value: Any) -> Any:
    return value if is_interpreted() else tl.constexpr(value)


@triton.jit
def _select(condition, a, b):  # type: ignore[no-untyped-def]
    return tl.where(condition, a, b)


@triton.jit
def _clip(x, low, high):  # type: ignore[no-untyped-def]
    # A state that is no number stays one, as on a CPU, instead of becoming a limit.
    return tl.minimum(tl.maximum(x, low, propagate_nan=tl.PropagateNan.ALL), high, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _exp(x):  # type: ignore[no-untyped-def]
    return tl.exp(x)


@triton.jit
def _absolute(x):  # type: ignore[no-untyped-def]
    return tl.abs(x)


@triton.jit
def _wide(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float64)


@triton.jit
def _narrow(x):  # type: ignore[no-untyped-def]
    return tl.cast(x, tl.float32)


@triton.jit
def _rounded(x, scale, unit):  # type: ignore[no-untyped-def]
    return tl.floor(x * scale + 0.5) * unit


@triton.jit
def divided(a, b):  # type: ignore[no-untyped-def]
    """a/b rounded as on a CPU; of 32 bits, Triton's own division is an approximation."""
    a, b = tl.broadcast(tl.to_tensor(a), tl.to_tensor(b))
    if a.dtype == tl.float64:
        return a / b
    return tl.div_rn(a, b)


OPS = OpSet(
    inlined=jit,
    constant=constant,
    number=constant,
    select=_select,
    clip=_clip,
    exp=_exp,
    absolute=_absolute,
    wide=_wide,
    narrow=_narrow,
    rounded=_rounded,
)


#: Of every kernel. Products and sums must stay apart: contracted, spikes at the threshold would differ.
OPTIONS: dict[str, Any] = {} if is_interpreted() else {"enable_fp_fusion": False}


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Launch a kernel on the device of its first tensor, whichever is the current one."""
    tensor = next(x for x in arguments if isinstance(x, torch.Tensor))
    with torch.cuda.device_of(tensor):  # type: ignore[no-untyped-call]
        kernel[grid](*arguments, **constants, **OPTIONS)
