"""The state of a conversion from NIR: conventions, the network so far, and nodes that the next neurons complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from izhi.errors import ExchangeError
from izhi.exchange.builder import NetworkBuilder, Numbers, PendingWeights, check_size, compact, per_channel
from izhi.exchange.conventions import Library
from izhi.exchange.graph import LinearGraph, Node
from izhi.spec import NeuronSpec, Shape, SynapseSpec

#: Neurons without weights before them, at most: each gets a weight of its own.
_MAX_UNWEIGHTED = 4096


@dataclass
class ConversionState:
    """The state of a conversion."""

    graph: LinearGraph  #: the nodes in order
    library: Library  #: whose conventions the graph follows
    dt: float  #: seconds of a time step
    reset: Literal["zero", "subtract"]  #: the reset of neurons whose node has none
    inputs: Shape | None  #: features of the input; None before a node has them
    features: Shape | None  #: of the next node's input; likewise
    builder: NetworkBuilder = field(default_factory=NetworkBuilder)  #: the network so far
    scale: Numbers = field(default_factory=lambda: np.ones(()))  #: factor on the input of the next weights
    delay: Numbers | None = None  #: steps of each presynaptic neuron or channel before the next neurons
    synapse: Node | None = None  #: node of the synapse behind the pending weights
    late_bias: Numbers | None = None  #: bias behind that synapse; None where the bias passes through it
    neurons: list[Node] = field(default_factory=list)  #: node of each layer's neurons

    def features_for(self, node: Node) -> Shape:
        """Features of a node's input; ExchangeError if they are unknown."""
        if self.features is None:
            raise ExchangeError(f"neither the input nor {node} says its shape; give the node Input one")
        return self.features

    def add_weights(self, weights: PendingWeights) -> None:
        """Add weights, whose neurons are not known so far."""
        check_size(weights.features, f"behind {weights.label}")
        self.builder.add_weights(weights)
        self.features, self.scale = weights.features, np.ones(())

    def decay(self, node: Node, name: str) -> Numbers:
        """The decay of a time step that a time constant gives."""
        tau = node.numbers(name)
        euler = self.library.decay == "euler"
        if (tau <= 0).any() or (euler and (tau < self.dt * (1 - 1e-9)).any()):
            raise ExchangeError(
                f"{node} has a {name} of {tau.min():g} s, expected at least the time step, {self.dt:g} s; give the"
                " one of the file (dt)"
            )
        if self.library.name == "sinabs":
            tau = tau * self.dt  # it counts steps
        return np.asarray(np.maximum(0.0, 1 - self.dt / tau) if euler else np.exp(-self.dt / tau))

    def synapse_of(self, node: Node, name: str) -> SynapseSpec | None:
        """The synapse of a time constant; None for one of a single step, which has no effect."""
        decay = self.decay(node, name)
        first = float(decay.ravel()[0])
        if not np.allclose(decay, first, rtol=1e-6, atol=0):
            raise ExchangeError(f"{node} has a {name} for each neuron, expected one for all of a layer")
        return None if first < 1e-9 else SynapseSpec(1 / (1 - first), filters_bias=self.late_bias is None)

    def add_neurons(
        self,
        node: Node,
        values: Mapping[str, Numbers],
        make: Callable[[dict[str, Numbers], Shape | None, tuple[str, ...]], NeuronSpec],
        factor: Numbers,
        synapse: SynapseSpec | None = None,
    ) -> None:
        """Add the neurons of a node; coefficients that differ between them are learned ones.

        Args:
            node: that fires.
            values: its coefficients by the names of the description.
            make: the description, of coefficients, size and names of the learned ones.
            factor: on the current.
            synapse: that the node contains; None for that of the node before, if any.
        """
        features = self._weigh(node)
        each = {name: compact(one, features, f"{name} of {node}") for name, one in values.items()}
        learn = tuple(name for name, one in each.items() if one.ndim)
        size = None
        if learn:
            per_neuron = any(each[name].shape == features for name in learn)
            size = features if per_neuron else (features[0], *[1] * (len(features) - 1))
        neuron = make(each, size, learn)
        if self.synapse is not None and synapse is None:
            synapse = self.synapse_of(self.synapse, "tau")
        feedback = self._feedback(node, factor)
        self._pending.scale(per_channel(factor, features, f"factor of {node}"))
        if self.late_bias is not None:
            if (self._pending.bias != 0).any():
                raise ExchangeError(f"recurrent weights of {node} have a bias before a synapse and another behind it")
            self._pending.bias = self.late_bias * per_channel(factor, features, str(node))
        learned = {name: each[name] for name in learn}
        self.builder.add_layer(neuron, learned, synapse=synapse, feedback=feedback, delay=self.delay)
        self.neurons.append(node)
        self.features, self.delay, self.synapse, self.late_bias = features, None, None, None

    @property
    def _pending(self) -> PendingWeights:
        assert self.builder.pending is not None, "weights precede neurons"
        return self.builder.pending

    def _weigh(self, node: Node) -> Shape:
        """Features of a node's neurons; neurons without weights before them get one each."""
        if self.builder.pending is not None:
            return self._pending.features
        features = self.features
        if features is None:
            features = self.inputs = self.features = node.numbers("r").shape
            check_size(features, f"of {node}")
        channels, *others = features
        if channels > _MAX_UNWEIGHTED:
            raise ExchangeError(
                f"{channels:,} neurons or channels of {node} have no weights before them, expected some"
            )
        weight = np.eye(channels).reshape(channels, channels, *[1] * len(others)) * self.scale
        label = f"Conv{len(others)}d {node.name}" if others else f"Affine {node.name}"
        self.add_weights(PendingWeights(label, weight, np.zeros(channels), features))
        return features

    def _feedback(self, node: Node, factor: Numbers) -> Numbers | None:
        """Recurrent weights of a layer, whose bias is added to that of the layer; None without recurrence."""
        back = self.graph.feedback.get(node.name)
        if self.synapse is not None:
            if back is not None:
                raise ExchangeError(f"spikes come back to {node} behind its synapse {self.synapse}, expected before it")
            back = self.graph.feedback.get(self.synapse.name)
        if back is None:
            return None
        pending, weight = self._pending, back.numbers("weight")
        bias = back.numbers("bias") if "bias" in back.values else np.zeros(len(weight))
        square, kernel = (pending.features[0],) * 2, weight.shape[2:]
        if weight.shape[:2] != square or weight.ndim != pending.weight.ndim or bias.shape != square[:1]:
            raise ExchangeError(f"recurrent weights {back} have shape {weight.shape}, expected {square}")
        if kernel and any(
            2 * p != k - 1 for p, k in zip(padding_of(back, kernel, (1,) * len(kernel)), kernel, strict=True)
        ):
            raise ExchangeError(f"recurrent weights {back} change the size of features, expected padding that keeps it")
        recurrent = PendingWeights(str(back), weight, bias, pending.features)
        if self.synapse is not None:
            recurrent.scale(per_channel(self.synapse.numbers("r"), pending.features, f"r of {back}"))
        pending.bias = pending.bias + recurrent.bias
        recurrent.scale(per_channel(factor, pending.features, f"factor of {back}"))
        return recurrent.weight


def along(node: Node, name: str, rank: int) -> tuple[int, ...]:
    """A size of a window along each of its dimensions."""
    sizes = node.whole(name)
    if len(sizes) not in (1, rank):
        raise ExchangeError(f"{node} has {name} {sizes}, expected {rank} numbers")
    return sizes if len(sizes) == rank else sizes * rank


def padding_of(node: Node, kernel: Shape, dilation: Shape) -> tuple[int, ...]:
    """Zeros around the input of a convolution, along each dimension."""
    mode = node.text("padding")
    if mode is None:
        return along(node, "padding", len(kernel))
    if mode == "valid":
        return (0,) * len(kernel)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if mode != "same" or any(r % 2 for r in reach) or set(node.whole("stride")) != {1}:
        raise ExchangeError(f"{node} has padding {mode!r}, expected numbers, valid, or same of odd kernels")
    return tuple(r // 2 for r in reach)
