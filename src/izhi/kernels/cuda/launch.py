"""Launches of Triton's kernels: compiled once for a plan and a kind of arguments, then launched without its checks.

Triton looks up every name that a kernel uses, and takes all arguments apart, at each launch: several times what the
launch itself takes.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.runtime.driver import driver


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get("TRITON_INTERPRET") == "1"


#: Of every kernel. Products and sums must stay apart: contracted, spikes at the threshold would differ.
OPTIONS: dict[str, Any] = {} if is_interpreted() else {"enable_fp_fusion": False}
#: Arguments that differ between calls of a layer, for whose values nothing is compiled anew.
VARYING = ("steps", "batch", "chunks", "keep_every", "keep", "rows", "planes", "key0", "key1")
#: Triton's versions whose compiled kernels ``_launcher`` is known to launch; others launch in their own way.
_DIRECT = ("3.9",)
_is_direct = triton.__version__.rpartition(".")[0] in _DIRECT and not is_interpreted()


def kernel(function: Callable[..., Any]) -> Any:
    """triton.jit for what is launched."""
    return triton.jit(function, do_not_specialize=VARYING)


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
    return kernel(seen)


#: Functions that launch a compiled kernel, by kernel, device and what is compiled for.
_launchers: dict[tuple[Any, ...], Callable[..., None]] = {}


def launch(function: Any, grid: tuple[int, ...], *arguments: Any, num_warps: int = 4, **constants: int) -> None:
    """Launch a kernel on the device of its first tensor, whichever is the current one.

    Args:
        function: the kernel.
        grid: programs along each dimension.
        arguments: of its parameters, in their order.
        num_warps: of a program.
        constants: of its last parameters, in their order, for whose values it is compiled.
    """
    tensor = next(x for x in arguments if isinstance(x, Tensor))
    with torch.cuda.device_of(tensor):  # type: ignore[no-untyped-call]
        if not _is_direct:
            function[grid](*arguments, **constants, num_warps=num_warps, **OPTIONS)
            return
        key = (function, tensor.get_device(), num_warps, *constants.values(), *_compiled_for(arguments))
        run = _launchers.get(key)
        if run is None:
            compiled = function.warmup(*arguments, grid=grid, **constants, num_warps=num_warps, **OPTIONS)
            run = _launchers[key] = _launcher(compiled, tuple(constants.values()))
        run(grid, arguments)


def _compiled_for(arguments: tuple[Any, ...]) -> list[object]:
    """What of the arguments other kernels are compiled for, or more, of which Triton then finds the same kernel."""
    kinds: list[object] = []
    for x in arguments:
        kind = type(x)
        if kind is float:
            continue
        if kind is int:
            kinds.append((x == 1, x % 16 == 0, x >> 31))
        else:
            kinds.append(x.dtype)
            kinds.append(x.data_ptr() % 16 == 0)
    return kinds


def _launcher(compiled: Any, constants: tuple[int, ...]) -> Callable[..., None]:
    """What launches a compiled kernel."""
    run, function, packed = compiled.run, compiled.function, compiled.packed_metadata

    def launch(grid: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        active = driver.active
        stream = active.get_current_stream(active.get_current_device())
        x, y, z = (*grid, 1, 1)[:3]
        run(x, y, z, stream, function, packed, None, None, None, *arguments, *constants)

    return launch
