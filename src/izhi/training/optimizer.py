"""The optimiser of an experiment: what learns at which rate, and how rates fall over a run."""

from __future__ import annotations

import math
from typing import Any, cast

import torch

from izhi.experiments.settings import Experiment
from izhi.network.layers import Layer, Network


def make_optimizer(e: Experiment, network: Network) -> torch.optim.Optimizer:
    """The experiment's optimiser over what the network learns."""
    rates = {}
    for layer in (cast(Layer, module) for module in network.layers):
        for name, value in layer.neuron.learned.items():
            rates[value] = e.dynamics_rate * layer.neuron.unit(name)
        if layer.delay is not None:
            rates[layer.delay.steps] = e.delay_rate
    learned = [p for p in network.parameters() if p.requires_grad]
    weights = [p for p in learned if p not in rates]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": e.weight_decay}]
    # Coefficients of neurons and delays learn at rates of their own, and do not decay.
    groups += [{"params": [p], "lr": rates[p], "weight_decay": 0.0} for p in learned if p in rates]
    for group in groups:
        group["initial_lr"] = group.setdefault("lr", e.learning_rate)
    if e.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=e.learning_rate, momentum=0.9)
    kind = torch.optim.AdamW if e.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=e.learning_rate, fused=True)


def rate_factor(schedule: str, progress: float) -> float:
    """What every learning rate is multiplied by when that share of the run, 0 to 1, is done."""
    return 0.5 + 0.5 * math.cos(math.pi * progress) if schedule == "cosine" else 1.0
