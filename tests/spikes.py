"""Random spikes for tests of kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def spikes_of_some(
    shape: tuple[int, int, int], density: float, active: float, seed: int, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Spikes (T, B, N) of which only a share of the inputs of each sample fires at all."""
    random = torch.Generator().manual_seed(seed)
    fires = torch.rand(shape[1:], generator=random) < active
    return ((torch.rand(shape, generator=random) < density) & fires).to(dtype)
