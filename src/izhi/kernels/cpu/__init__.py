"""The neuron updates as Numba kernels: one pass over time forward, one backward.

Lanes (batch × neurons) are cut into blocks that keep v and u in the first-level cache while the loop
over time reads each current and writes each spike once; blocks run in parallel. The arithmetic
follows ``reference`` operation by operation, so that spikes are equal in float32. One kernel is
compiled, and cached on disk, for each combination of event order, surrogate and number format.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from izhi.kernels.cpu.izhikevich import izhikevich
from izhi.kernels.cpu.lif import lif
from izhi.kernels.cpu.rate import rate
from izhi.neurons.surrogate import is_closed_form

__all__ = ["izhikevich", "lif", "rate", "supports"]


def supports(values: tuple[Any, ...], *tensors: Tensor | None, surrogate: Any) -> bool:
    """Whether the kernels cover a call: plain numbers, CPU float32 or bfloat16, closed form."""
    return (
        is_closed_form(surrogate)
        and all(isinstance(value, (int, float)) for value in values)
        and all(
            t.device.type == "cpu" and t.dtype in (torch.float32, torch.bfloat16)
            for t in tensors
            if t is not None
        )
    )
