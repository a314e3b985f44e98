"""Normalisation of currents over time and batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from izhi.errors import SettingError
from izhi.kernels import is_repeated, once
from izhi.network.connections import Connection


class BatchNorm(nn.Module):
    """Threshold-dependent batch normalisation of a layer's currents (Zheng et al. 2021), over time, batch and position.

        I ← λ·(I − μ)/√(σ² + ε),   λ = scale at first

    μ and σ² are those of a batch in training, and their running means in evaluation. The connection's bias is added
    after it. It folds into weights: W·λ/√(σ² + ε) and bias − λ·μ/√(σ² + ε).

    Args:
        features: neurons, or channels of a convolution.
        scale: initial spread of the currents, such as the neurons' threshold.
        momentum: of the running means.
        eps: ε.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, features: int, scale: float = 1.0, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        for name, value in (("features", features), ("scale", scale), ("momentum", momentum), ("eps", eps)):
            if not value > 0:
                raise SettingError(f"{name} is {value!r}, expected a number above 0")
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.full((features,), float(scale)))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))

    def forward(self, current: Tensor) -> Tensor:
        """Currents (T, B, features, *places), normalised."""
        if is_repeated(current):
            return once(self, current)
        found = nn.functional.batch_norm(
            current.flatten(0, 1), self.mean, self.variance, self.weight, None,
            self.training, self.momentum, self.eps,
        )  # fmt: skip
        return found.view(current.shape)

    def folded(self) -> tuple[Tensor, Tensor]:
        """In evaluation: the factor on each feature's weights, and the decrease of its bias, (features,) each."""
        factor = self.weight / torch.sqrt(self.variance + self.eps)
        return factor, factor * self.mean

    def extra_repr(self) -> str:
        return str(len(self.weight))


def folded(connection: Connection, norm: BatchNorm) -> Connection:
    """A connection whose weights and bias include the normalisation in evaluation."""
    found = copy.deepcopy(connection)
    factor, lost = norm.folded()
    with torch.no_grad():
        found.weight.mul_(factor.view(-1, *[1] * (found.weight.dim() - 1)))
        bias = torch.zeros(len(factor)) if found.input.bias is None else found.input.bias
        found.input.bias = nn.Parameter(bias - lost)
    return found
