"""Random spikes for tests of kernels."""

from __future__ import annotations

import torch
from torch import Tensor


def spikes_of_some(
    shape: tuple[int, int, int], density: float, active: float, seed: int, dtype: torch.dtype = torch.bfloat16,
    usual: float = 0.0,
) -> Tensor:  # fmt: skip
    """Spikes (T, B, N): a share of the inputs of each sample fires at all, and of these a share usually or always."""
    random = torch.Generator().manual_seed(seed)
    fires = torch.rand(shape[1:], generator=random) < active
    spikes = torch.rand(shape, generator=random) < density
    often, never = (torch.rand(shape[1:], generator=random) < share for share in (usual, usual / 2))
    return ((spikes & ~never ^ often) & fires).to(dtype)
