"""NIR's nodes that do not fire: weights, synapses, delays, pools, shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from izhi.errors import ExchangeError
from izhi.exchange.builder import Numbers, PendingWeights, as_scalar, per_channel
from izhi.exchange.conversion import ConversionState, along, padding_of
from izhi.exchange.graph import Node
from izhi.spec import FlattenSpec, PoolSpec

#: Steps of a delay, at most, and the tolerance of a whole number of steps.
_MAX_DELAY, _TOLERANCE = 10_000, 1e-3


def _flatten(state: ConversionState, node: Node) -> None:
    """All features in one dimension."""
    shape = state.features_for(node)
    (first,), (last,) = node.whole("start_dim"), node.whole("end_dim")
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
    (groups,) = node.whole("groups") if "groups" in node.values else (1,)
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
    synapse = None
    if state.synapse is not None:
        if state.synapse.name in state.graph.feedback:
            raise ExchangeError(f"spikes come back to {state.synapse}, behind which nothing fires; expected neurons")
        synapse = state.synapse_of(state.synapse, "tau")
    if state.late_bias is not None:
        state.builder.pending.bias = state.late_bias
    state.builder.add_readout(synapse)


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
