"""Which kernels there are for tensors of a device, and whether spikes are better off as bits there."""

from __future__ import annotations

import importlib.util
from functools import cache

import torch

from izhi.kernels import cpu
from izhi.kernels.cpu import matrix_unit
from izhi.kernels.plan import BitKernels


@cache
def has_triton() -> bool:
    """Whether Triton is installed, in which the kernels for GPUs are written."""
    return importlib.util.find_spec("triton") is not None


def takes_bits(dtype: torch.dtype, kind: str) -> bool:
    """Whether products with spikes of a format are faster where these are bits, on a kind of device."""
    if kind == "cuda":
        return dtype == torch.bfloat16 and has_triton()
    return kind == "cpu" and (dtype == torch.float32 or (dtype == torch.bfloat16 and matrix_unit.has_bf16_dot()))


def bits_on(device: torch.device) -> BitKernels:
    """The kernels for bits in the memory of a device."""
    if device.type == "cpu":
        return cpu.BITS
    from izhi.kernels import cuda

    return cuda.BITS


__all__ = ["bits_on", "has_triton", "takes_bits"]
