"""What the kernels share: bfloat16 as bits, surrogate derivatives of one number, the compiler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from numba import njit
from torch import Tensor

from izhi.neurons.surrogate import ATan, FastSigmoid, Sigmoid

#: Lanes of one block: their v and u stay in the first-level cache.
BLOCK = 2048
f32 = np.float32

Function = TypeVar("Function", bound=Callable[..., Any])


def inlined(function: Function) -> Function:
    """For functions that kernels inline; they stay plain functions.

    A kernel that captured a compiled function would never be found again in the cache on disk, since
    Numba gives each compiled function a new name in each process.
    """
    marked: Function = numba.extending.register_jitable(inline="always")(function)
    return marked


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _bits_to_float(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(numba.float32))

    return numba.float32(numba.uint32), generate


@numba.extending.intrinsic  # type: ignore[untyped-decorator]
def _float_to_bits(typing: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(numba.uint32))

    return numba.uint32(numba.float32), generate


@inlined
def _load_bf16(x: Any) -> Any:
    return _bits_to_float(np.uint32(np.uint32(x) << np.uint32(16)))


@inlined
def _store_bf16(x: Any) -> Any:
    bits = _float_to_bits(f32(x))
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))


@inlined
def _load_f32(x: Any) -> Any:
    return x


@inlined
def _store_f32(x: Any) -> Any:
    return f32(x)


@inlined
def _atan(x: Any, slope: Any) -> Any:
    y = f32(math.pi / 2) * slope * x
    return f32(0.5) * slope / (f32(1) + y * y)


@inlined
def _fast_sigmoid(x: Any, slope: Any) -> Any:
    y = f32(1) + slope * abs(x)
    return f32(1) / (y * y)


@inlined
def _sigmoid(x: Any, slope: Any) -> Any:
    y = f32(1) / (f32(1) + np.exp(-slope * x))
    return slope * y * (f32(1) - y)


def surrogate_kind(surrogate: Any) -> Any:
    """The key of ``DERIVATIVES`` for a surrogate."""
    return type(surrogate)


#: Class of a surrogate → its derivative for one number.
DERIVATIVES: dict[Any, Any] = {ATan: _atan, FastSigmoid: _fast_sigmoid, Sigmoid: _sigmoid}
compile_kernel = njit(parallel=True, cache=True, error_model="numpy")


def codec(dtype: torch.dtype) -> tuple[Any, Any]:
    """(load, store): a memory element of that format → float32, and back."""
    return (_load_bf16, _store_bf16) if dtype == torch.bfloat16 else (_load_f32, _store_f32)


def as_numpy(x: Tensor) -> Any:
    """The tensor's memory as (T, lanes) or (lanes,); bfloat16 as uint16 bits."""
    x = x.detach().contiguous()
    if x.dtype == torch.bfloat16:
        x = x.view(torch.uint16)
    return x.numpy()
