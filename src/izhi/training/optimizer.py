"""Optimisers of networks: weights, coefficients of neurons and delays each learn at a rate of their own."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from izhi.errors import CheckpointError, shown
from izhi.network import Network
from izhi.training.checkpoint import is_number


@dataclass(frozen=True)
class Optimizer:
    """Makes the optimiser of a network: ``Optimizer("adam", learning_rate=1e-3)(network)``.

    Attributes:
        name: ``"adam"``, ``"adamw"`` or ``"sgd"`` (with momentum 0.9).
        learning_rate: of weights.
        weight_decay: of weights.
        dynamics_rate: of learned neuron coefficients, and time constants of outputs, in units of their size.
        delay_rate: of delays, in steps.
    """

    name: str = "adam"
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    dynamics_rate: float = 5e-3
    delay_rate: float = 0.05

    def __call__(self, network: Network) -> torch.optim.Optimizer:
        rates = {}
        for layer in network.spiking:
            for name, value in layer.neuron.learned.items():
                rates[value] = self.dynamics_rate * layer.neuron.parameter_scale(name)
            if layer.delay is not None:
                rates[layer.delay.steps] = self.delay_rate
        if (readout := network.readout) is not None and readout.synapse is not None and readout.synapse.logit.dim():
            rates[readout.synapse.logit] = self.dynamics_rate  # of log(τ − 1), a share of τ
        learned = [p for p in network.parameters() if p.requires_grad]
        weights = [p for p in learned if p not in rates]
        groups: list[dict[str, object]] = [{"params": weights, "weight_decay": self.weight_decay}]
        # Coefficients of neurons, time constants of outputs and delays do not decay.
        groups += [{"params": [p], "lr": rates[p], "weight_decay": 0.0} for p in learned if p in rates]
        for group in groups:
            group["initial_lr"] = group.setdefault("lr", self.learning_rate)
        if self.name == "sgd":
            return torch.optim.SGD(groups, lr=self.learning_rate, momentum=0.9)
        kind = torch.optim.AdamW if self.name == "adamw" else torch.optim.Adam
        return kind(groups, lr=self.learning_rate, fused=True)


#: Types of learning rates; fused optimisers need float32.
_LARGEST = torch.finfo(torch.float32).max


def restore(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Put back an optimiser's ``state_dict``, once it is known to be one of this optimiser on these weights.

    Fused optimisers write where the shapes of the weights say, whatever the shapes of their own state. What an
    older version did not keep is as the optimiser has it.

    Raises:
        CheckpointError: for another number of weights, or state of other names, shapes or kinds of numbers, or
            numbers that are not finite.
    """
    wanted = _after_a_step(optimizer)
    try:
        groups = [_group(own, there) for own, there in zip(wanted["param_groups"], state["param_groups"], strict=True)]
        kept = {number: _checked(wanted["state"][number], values) for number, values in state["state"].items()}
        optimizer.load_state_dict({"state": kept, "param_groups": groups})
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"it is from another optimiser ({error})") from None


def _after_a_step(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of a copy of an optimiser after a step: its names and shapes."""
    copy = deepcopy(optimizer)
    for group in copy.param_groups:
        for weight in group["params"]:
            weight.grad = torch.zeros_like(weight)
    copy.step()
    return copy.state_dict()


def _group(own: Mapping[str, object], there: Mapping[str, object]) -> dict[str, object]:
    """Settings of a group, of which only numbers, such as rates, may differ."""
    for name, value in there.items():
        wanted = own.get(name)
        if is_number(value) and 0 <= value <= _LARGEST and is_number(wanted):
            continue
        if isinstance(value, Tensor) or value != wanted:
            raise ValueError(f"{name} is {shown(value)}, expected {shown(wanted)}")
    return {**own, **there}


def _checked(own: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """State of one weight."""
    if own.keys() != there.keys():
        raise ValueError(f"it keeps {shown(list(there))}, expected {list(own)}")
    for name, wanted in own.items():
        value = there[name]
        if not isinstance(value, Tensor) or value.shape != wanted.shape or not value.is_floating_point():
            raise ValueError(f"{name} is {shown(value)}, expected {wanted.dtype} of shape {tuple(wanted.shape)}")
        if not torch.isfinite(value.to(wanted.dtype)).all() or (name == "step" and value < 0):
            raise ValueError(f"{name} holds numbers that are not finite, or below 0")
    return there
