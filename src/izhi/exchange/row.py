"""A network in the making, and the numbers of NIR's nodes as its parts take them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from izhi.errors import ExchangeError, shown
from izhi.exchange.conventions import Library
from izhi.exchange.graph import Node
from izhi.exchange.way import Way
from izhi.network.connections import Connection, Conv1d, Conv2d, Delay, ExponentialSynapse, Linear

Numbers: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]

#: Features of a sample, or neurons of a layer, at most.
MOST_FEATURES = 1 << 22


@dataclass
class Weights:
    """Weights that wait for the neurons behind them: a matrix, or the kernels of a convolution.

    Attributes:
        node: that they come from.
        weight: (outputs, inputs, …).
        bias: (outputs,), zeros where there is none.
        options: of a convolution.
        shape: of what goes out.
    """

    node: Node
    weight: Numbers
    bias: Numbers
    options: dict[str, Any]
    shape: Shape

    def times(self, factor: Numbers, what: str) -> None:
        """Multiply what goes out by a factor: of all, of each channel or neuron."""
        factor = of_each(factor, self.shape, f"{what} of {self.node}")
        self.weight = self.weight * factor.reshape(-1, *[1] * (self.weight.ndim - 1))
        self.bias = self.bias * factor


@dataclass
class Row:
    """A network in the making.

    Attributes:
        way: its nodes.
        library: whose conventions they follow.
        dt: seconds of a step.
        reset: what neurons do after a spike, where the file cannot say.
        first: shape of what comes in; None before anyone has said.
        shape: of what the next node gets; None likewise.
        modules: of the row so far.
        scale: what the next weights' inputs are multiplied by.
        weights, delay, synapse: that wait for the neurons behind them.
        behind: what is added behind the synapse; None where the bias passes through it.
        readout: at the end.
    """

    way: Way
    library: Library
    dt: float
    reset: Literal["zero", "subtract"]
    first: Shape | None
    shape: Shape | None
    modules: list[nn.Module] = field(default_factory=list)
    scale: Numbers = field(default_factory=lambda: np.ones(()))
    weights: Weights | None = None
    delay: Delay | None = None
    synapse: Node | None = None
    behind: Numbers | None = None
    readout: Connection | None = None

    def shape_for(self, node: Node) -> Shape:
        """What a node gets; ExchangeError if no one has said."""
        if self.shape is None:
            raise ExchangeError(f"neither the input nor {node} says its shape; give the node Input one")
        return self.shape

    def wait(self, weights: Weights) -> None:
        """Weights wait for the neurons behind them."""
        if self.weights is not None:
            raise ExchangeError(f"{weights.node} follows {self.weights.node} without neurons between, expected them")
        check_size(weights.shape, f"behind {weights.node}")
        self.weights, self.shape, self.scale = weights, weights.shape, np.ones(())

    def decay(self, node: Node, name: str) -> Numbers:
        """What a time constant leaves after a step."""
        tau = node.numbers(name)
        euler = self.library.decay == "euler"
        if (tau <= 0).any() or (euler and (tau < self.dt * (1 - 1e-9)).any()):
            raise ExchangeError(
                f"{node} has a {name} of {tau.min():g} s, expected at least the time step, {self.dt:g} s; give the one"
                " that it was made for (dt)"
            )
        if self.library.name == "sinabs":
            tau = tau * self.dt  # it counts steps
        left: Numbers = np.maximum(0.0, 1 - self.dt / tau) if euler else np.exp(-self.dt / tau)
        return left

    def synapse_of(self, node: Node, name: str) -> ExponentialSynapse | None:
        """The synapse of a time constant; None for one of a single step, which is none."""
        decay = self.decay(node, name)
        left = float(decay.ravel()[0])
        if not np.allclose(decay, left, rtol=1e-6, atol=0):
            raise ExchangeError(f"{node} has a {name} for each neuron, expected one for all of a layer")
        return None if left < 1e-9 else ExponentialSynapse(1 / (1 - left), filters_bias=self.behind is None)

    def connected(self, synapse: ExponentialSynapse | None, feedback: Numbers | None = None) -> Connection:
        """The connection of the weights that wait."""
        weights = self.weights
        assert weights is not None, "weights wait for their neurons"
        outputs, inputs = weights.weight.shape[:2]
        behind: dict[str, Any] = {"synapse": synapse, "recurrent": feedback is not None}
        found: Connection
        if weights.weight.ndim == 2:
            found = Linear(inputs, outputs, **behind)
        else:
            make = Conv1d if weights.weight.ndim == 3 else Conv2d
            inputs *= weights.options["groups"]
            found = make(inputs, outputs, weights.weight.shape[2:], **weights.options, **behind)
        with torch.no_grad():
            found.input.weight.copy_(torch.from_numpy(weights.weight))
            found.input.bias.copy_(torch.from_numpy(weights.bias if self.behind is None else self.behind))
            if feedback is not None:
                found.feedback.weight.copy_(torch.from_numpy(feedback))
        return found


def check_size(shape: Shape, where: str) -> None:
    """Raise ExchangeError for features without end, before memory is taken for them."""
    if not shape or min(shape) < 1 or math.prod(shape) > MOST_FEATURES:
        raise ExchangeError(f"features {where} are {shown(shape)}, expected 1 to {MOST_FEATURES:,} of them")


def along(node: Node, name: str, rank: int) -> tuple[int, ...]:
    """A number of a window along each of its dimensions."""
    found = node.whole(name)
    if len(found) not in (1, rank):
        raise ExchangeError(f"{node} has {name} {found}, expected {rank} numbers")
    return found if len(found) == rank else found * rank


def padding_of(node: Node, kernel: Shape, dilation: Shape) -> tuple[int, ...]:
    """Zeros around what a convolution sees, along each dimension."""
    word = node.text("padding")
    if word is None:
        return along(node, "padding", len(kernel))
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if word == "valid":
        return (0,) * len(kernel)
    if word != "same" or any(r % 2 for r in reach) or set(node.whole("stride")) != {1}:
        raise ExchangeError(f"{node} has padding {shown(word)}, expected numbers, valid, or same of odd kernels")
    return tuple(r // 2 for r in reach)


def as_one(values: Numbers) -> Numbers:
    """Values that are all the same as one."""
    return values.ravel()[0].reshape(()) if values.size and (values == values.ravel()[0]).all() else values


def shared(values: Numbers, shape: Shape, what: str) -> Numbers:
    """Values as one, or as those of each channel (channels, 1, …), or of each neuron."""
    values = as_one(values)
    if values.ndim == 0:
        return values
    if values.size != math.prod(shape):
        raise ExchangeError(f"{what} has shape {values.shape}, expected {shape}, that of the neurons")
    whole = values.reshape(shape)
    one = whole.reshape(shape[0], -1)[:, :1].reshape(-1, *[1] * (len(shape) - 1))
    return one if (whole == one).all() else whole


def of_each(values: Numbers, shape: Shape, what: str) -> Numbers:
    """Values of each channel or neuron, (shape[0],)."""
    values = shared(values, shape, what)
    if values.size not in (1, shape[0]):
        raise ExchangeError(f"{what} differs between the places of a channel, expected one for each channel")
    return np.broadcast_to(values.ravel(), (shape[0],)).astype(np.float64)


__all__ = ["Numbers", "Row", "Shape", "Weights", "along", "as_one", "check_size", "of_each", "padding_of", "shared"]
