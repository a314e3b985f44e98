"""The conversion of NIR's nodes: the network so far, nodes that do not fire, and the codecs of those that do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import nir
import numpy as np
from torch import Tensor

from izhi.errors import ExchangeError
from izhi.exchange.builder import (
    NetworkBuilder,
    Numbers,
    PendingWeights,
    as_numbers,
    as_scalar,
    check_size,
    compact,
    per_channel,
)
from izhi.exchange.conventions import Library
from izhi.exchange.graph import LinearGraph, Node
from izhi.spec import NEURONS, FlattenSpec, NeuronSpec, PoolSpec, Shape, SynapseSpec
from izhi.spec.neuron import load

#: Neurons without weights before them, at most: each gets a weight of its own.
_MAX_UNWEIGHTED = 4096
#: Steps of a synapse's decay, at most.
_LONGEST_SYNAPSE = 10_000_000


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
        decay = self._decay_of_synapse(node, name)
        first = float(decay.ravel()[0])
        if not np.allclose(decay, first, rtol=1e-6, atol=0):
            raise ExchangeError(f"{node} has a {name} for each neuron, expected one for all of a layer")
        return None if first < 1e-9 else SynapseSpec(1 / (1 - first), filters_bias=self.late_bias is None)

    def membrane_of(self, node: Node) -> tuple[SynapseSpec | None, dict[str, Numbers]]:
        """The synapse of a readout, and its parameters if each output has a time constant of its own."""
        decay = self._decay_of_synapse(node, "tau")
        if np.allclose(decay, decay.ravel()[0], rtol=1e-6, atol=0):
            return self.synapse_of(node, "tau"), {}
        decay = decay.ravel().clip(1e-9)  # a logit that float32 holds
        spec = SynapseSpec(float(1 / (1 - decay.min())), filters_bias=self.late_bias is None, outputs=len(decay))
        return spec, {"synapse.logit": np.log(decay / (1 - decay))}

    def _decay_of_synapse(self, node: Node, name: str) -> Numbers:
        decay = self.decay(node, name)
        if 1 - decay.max() < 1 / _LONGEST_SYNAPSE:
            raise ExchangeError(
                f"{node} has a {name} of more than {_LONGEST_SYNAPSE:,} steps of {self.dt:g} s, expected a decay that"
                " float32 holds; give the time step of the file (dt)"
            )
        return decay

    def add_neurons(
        self, node: Node, values: Mapping[str, Numbers],
        make: Callable[[dict[str, Numbers], Shape | None, tuple[str, ...]], NeuronSpec], factor: Numbers,
        synapse: SynapseSpec | None = None,
    ) -> None:  # fmt: skip
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
        if weight.ndim != pending.weight.ndim:
            raise ExchangeError(
                f"recurrent weights {back} have shape {weight.shape}, expected {pending.weight.ndim} dimensions"
            )
        bias = back.numbers("bias") if "bias" in back.values else np.zeros(len(weight))
        square, kernel = (pending.features[0],) * 2, weight.shape[2:]
        if weight.shape[:2] != square or bias.shape != square[:1]:
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


#: Steps of a delay, at most, and the tolerance of a whole number of steps.
_MAX_DELAY, _TOLERANCE = 10_000, 1e-3


def _flatten(state: ConversionState, node: Node) -> None:
    """All features in one dimension."""
    shape = state.features_for(node)
    first, last = node.one("start_dim"), node.one("end_dim")
    rank = len(shape)
    if not (-rank <= first < rank and -rank <= last < rank):
        raise ExchangeError(f"{node} flattens dimensions {first} to {last}, but there are {rank}")
    out = [*shape[: first % rank], math.prod(shape[first % rank : last % rank + 1]), *shape[last % rank + 1 :]]
    if math.prod(out) != max(out):
        raise ExchangeError(f"{node} leaves features {tuple(out)} of {shape}, expected them in one dimension")
    if rank > 1:
        state.builder.add(FlattenSpec())
    state.features = (math.prod(shape),)


def _pool(state: ConversionState, node: Node) -> None:
    """Means or sums of each channel's windows; sums are means and a scale."""
    shape = state.features_for(node)
    if len(shape) != 3:
        raise ExchangeError(f"{node} gets features {shape}, expected (channels, height, width)")
    kernel, stride, padding = (along(node, name, 2) for name in ("kernel_size", "stride", "padding"))
    if any(padding) or min(kernel) < 1 or min(stride) < 1:
        raise ExchangeError(f"{node} has padding {padding}, kernel {kernel} and stride {stride}, expected no padding")
    if state.builder.pending is not None:
        raise ExchangeError(f"{node} lies between weights and their neurons, expected it behind neurons")
    pool = PoolSpec("average", kernel, stride)
    state.builder.add(pool)
    if node.kind == "SumPool2d":
        state.scale = state.scale * math.prod(kernel)
    state.features = pool.shape(shape)


def _scale(state: ConversionState, node: Node) -> None:
    """A factor of each feature, which the weights before or behind it absorb."""
    factor, pending = node.numbers("scale"), state.builder.pending
    if pending is not None:
        pending.scale(per_channel(factor, pending.features, f"scale of {pending.label}"))
    else:
        state.scale = state.scale * as_scalar(factor)


def _delay(state: ConversionState, node: Node) -> None:
    """Whole steps by which the spikes of each neuron, or channel, are delayed."""
    shape = state.features_for(node)
    if state.builder.pending is not None or state.delay is not None:
        raise ExchangeError(f"{node} lies between weights and their neurons, or behind another, expected it before")
    steps = per_channel(node.numbers("delay") / state.dt, shape, str(node))
    whole = np.rint(steps)
    wrong = np.abs(steps - whole) * (np.abs(steps - whole) > _TOLERANCE) + (whole < 0) + (whole > _MAX_DELAY)
    if wrong.any():
        raise ExchangeError(
            f"{node} has a delay of {steps[np.argmax(wrong)]:g} steps of {state.dt:g} s, expected whole ones from 0 to"
            f" {_MAX_DELAY:,}; give the time step of the file (dt)"
        )
    state.delay = whole


def _weight_and_bias(node: Node, rank: int, expected: str) -> tuple[Numbers, Numbers]:
    """Arrays of weights; a bias of zeros if there is none."""
    weight = node.numbers("weight")
    if weight.ndim != rank + 2 or 0 in weight.shape:
        raise ExchangeError(f"{node} has weights of shape {weight.shape}, expected {expected}")
    has_bias = node.kind == "Affine" or (rank > 0 and "bias" in node.values)
    bias = node.numbers("bias") if has_bias else np.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise ExchangeError(f"{node} has a bias of shape {bias.shape}, expected ({len(weight)},)")
    return weight, bias


def _matrix(state: ConversionState, node: Node) -> None:
    """Weights of the next neurons; or, behind a synapse, a bias."""
    weight, bias = _weight_and_bias(node, 0, "(outputs, inputs)")
    inputs = (weight.shape[1],)
    # Rockpool and Norse also write the dimension of samples.
    is_first = not state.builder.modules and state.features == state.inputs
    if state.features is None or (is_first and math.prod(state.features) == max(state.features) == inputs[0]):
        state.inputs = state.features = inputs
    if state.synapse is not None:
        _late_bias(state, node, weight, bias)
        return
    if state.features != inputs:
        raise ExchangeError(f"{node} takes {inputs[0]} features, expected {state.features}; put Flatten before it")
    if state.scale.ndim and state.scale.shape != inputs:
        raise ExchangeError(f"a scale of shape {state.scale.shape} comes to {node}, expected {inputs}")
    state.add_weights(PendingWeights(str(node), weight * state.scale, bias, (len(weight),)))


def _late_bias(state: ConversionState, node: Node, weight: Numbers, bias: Numbers) -> None:
    """A bias behind a synapse."""
    pending = state.builder.pending
    assert pending is not None, "weights precede a synapse"
    square = weight.shape[0] == weight.shape[1] == math.prod(state.features_for(node))
    if not square or (weight != np.eye(len(weight))).any() or (pending.bias != 0).any():
        raise ExchangeError(f"{node} follows a leaky integrator, expected neurons, or the end")
    state.late_bias = bias


def _convolution(state: ConversionState, node: Node) -> None:
    """Kernels of the next neurons."""
    rank, features = 1 if node.kind == "Conv1d" else 2, state.features
    weight, bias = _weight_and_bias(node, rank, "(channels, channels, kernel …)")
    groups = node.one("groups") if "groups" in node.values else 1
    features = state.features_for(node)
    if len(features) != rank + 1 or groups < 1 or features[0] != weight.shape[1] * groups or len(weight) % groups:
        raise ExchangeError(f"{node} takes {weight.shape[1] * groups} channels, expected features {features}")
    if state.scale.ndim:
        raise ExchangeError(f"a scale of each feature comes to {node}, expected one for all")
    kernel = weight.shape[2:]
    stride, dilation = (along(node, name, rank) for name in ("stride", "dilation"))
    padding = padding_of(node, kernel, dilation)
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    weights = PendingWeights(str(node), weight * state.scale, bias, features, window)
    weights.features = weights.connection(None, recurrent=False).shape(features)
    state.add_weights(weights)


def _leak(state: ConversionState, node: Node) -> None:
    """LI: the synapse of the neurons, or of the readout, behind it."""
    pending = state.builder.pending
    if pending is None or state.synapse is not None:
        raise ExchangeError(f"{node} has no weights before it, or another synapse, expected one behind weights")
    if (node.numbers("v_leak") != 0).any():
        raise ExchangeError(f"{node} has a v_leak that is not 0, which synapses here do not have")
    pending.scale(per_channel(node.numbers("r"), pending.features, f"r of {pending.label}"))
    state.synapse = node


def end(state: ConversionState) -> None:
    """Make pending weights the readout; ExchangeError for other nodes without neurons behind them."""
    if state.delay is not None or state.scale.ndim or state.scale != 1:
        raise ExchangeError("the graph ends in a delay, a pool or a scale, expected neurons or weights at its end")
    if state.builder.pending is None:
        return
    synapse, arrays = None, dict[str, Numbers]()
    if state.synapse is not None:
        if state.synapse.name in state.graph.feedback:
            raise ExchangeError(f"spikes come back to {state.synapse}, behind which nothing fires; expected neurons")
        synapse, arrays = state.membrane_of(state.synapse)
    if state.late_bias is not None:
        state.builder.pending.bias = state.late_bias
    state.builder.add_readout(synapse, arrays)


#: What reads a node, by its type.
READERS: Mapping[str, Callable[[ConversionState, Node], None]] = {
    "Affine": _matrix,
    "Linear": _matrix,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "AvgPool2d": _pool,
    "SumPool2d": _pool,
    "Flatten": _flatten,
    "Scale": _scale,
    "Delay": _delay,
    "LI": _leak,
}


class NodeTarget(NamedTuple):
    """Context in which the neurons of a layer are written."""

    library: Library  #: that is to read the file
    dt: float  #: seconds of a time step
    label: str  #: of the layer, for messages
    features: Shape  #: of its neurons
    decay: float | None  #: of a synapse that the node is to contain; None for none

    def spread(self, value: Tensor | float) -> Numbers:
        """A coefficient of each neuron."""
        return np.array(np.broadcast_to(as_numbers(value), self.features))


class NodeCodec(NamedTuple):
    """Reads and writes the nodes of one neuron."""

    kinds: tuple[str, ...]  #: types of its nodes
    read: Callable[[ConversionState, Node], None]  #: adds the neurons of a node to a conversion
    #: torch neurons → their node, and the factor by which it multiplies its current
    write: Callable[[Any, NodeTarget], tuple[nir.NIRNode, Numbers]]
    contains_synapse: bool  #: whether a node of it can contain a synapse


def codecs() -> dict[str, NodeCodec]:
    """By the name of the registered neuron; those of the user's own share one."""
    own: NodeCodec = load("izhi.exchange.custom:CODEC")
    return {"module:name": own} | {
        name: entry.load("nir") for name, entry in NEURONS.items() if "nir" in entry.executors
    }


def firing_kinds() -> set[str]:
    """Types of nodes that fire."""
    return {kind for codec in codecs().values() for kind in codec.kinds}
