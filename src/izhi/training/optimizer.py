"""Optimisers of networks: weights, coefficients of neurons and delays each learn at a rate of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from izhi.network import Layer, Network


@dataclass(frozen=True)
class Optimizer:
    """Makes the optimiser of a network: ``Optimizer("adam", learning_rate=1e-3)(network)``.

    Attributes:
        name: ``"adam"``, ``"adamw"`` or ``"sgd"`` (with momentum 0.9).
        learning_rate: of weights.
        weight_decay: of weights.
        dynamics_rate: of learned neuron coefficients, in units of their size.
        delay_rate: of delays, in steps.
    """

    name: str = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    dynamics_rate: float = 5e-3
    delay_rate: float = 0.05

    def __call__(self, network: Network) -> torch.optim.Optimizer:
        rates = {}
        for layer in (cast(Layer, module) for module in network.layers):
            for name, value in layer.neuron.learned.items():
                rates[value] = self.dynamics_rate * layer.neuron.unit(name)
            if layer.delay is not None:
                rates[layer.delay.steps] = self.delay_rate
        learned = [p for p in network.parameters() if p.requires_grad]
        weights = [p for p in learned if p not in rates]
        groups: list[dict[str, object]] = [{"params": weights, "weight_decay": self.weight_decay}]
        # Coefficients of neurons and delays do not decay.
        groups += [{"params": [p], "lr": rates[p], "weight_decay": 0.0} for p in learned if p in rates]
        for group in groups:
            group["initial_lr"] = group.setdefault("lr", self.learning_rate)
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=0.9)
        kind = torch.optim.AdamW if self.name == "adamw" else torch.optim.Adam
        return kind(groups, lr=self.learning_rate, fused=True)
