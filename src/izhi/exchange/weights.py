"""What NIR's nodes that do not fire add to a network: weights, synapses, delays, pools, shapes."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from izhi.errors import ExchangeError
from izhi.exchange.graph import Node
from izhi.exchange.row import Numbers, Row, Shape, Weights, along, as_one, of_each, padding_of
from izhi.network.connections import AxonalDelay

#: Steps of a delay, at most, and how near a whole number of steps it must be.
_MOST_DELAY, _NEAR = 10_000, 1e-3


def pass_(row: Row, node: Node) -> None:
    """Inner graphs' own Input and Output."""


def flatten(row: Row, node: Node) -> None:
    """All features in one row."""
    shape = row.shape_for(node)
    (first,), (last,) = node.whole("start_dim"), node.whole("end_dim")
    rank = len(shape)
    if not (-rank <= first < rank and -rank <= last < rank):
        raise ExchangeError(f"{node} flattens dimensions {first} to {last}, but there are {rank}")
    left = [*shape[: first % rank], math.prod(shape[first % rank : last % rank + 1]), *shape[last % rank + 1 :]]
    if math.prod(left) != max(left):
        raise ExchangeError(f"{node} leaves features {tuple(left)} of {shape}, expected them in one row")
    if rank > 1:
        row.modules.append(nn.Flatten())
    row.shape = (math.prod(shape),)


def pool(row: Row, node: Node) -> None:
    """Means or sums of a window, of each channel; sums are means and a scale."""
    shape = row.shape_for(node)
    kernel, stride, padding = (_pair(node, name) for name in ("kernel_size", "stride", "padding"))
    if len(shape) != 3:
        raise ExchangeError(f"{node} gets features {shape}, expected (channels, height, width)")
    if any(padding) or min(kernel) < 1 or min(stride) < 1:
        raise ExchangeError(f"{node} has padding {padding}, kernel {kernel} and stride {stride}, expected no padding")
    if row.weights is not None:
        raise ExchangeError(f"{node} stands between weights and their neurons, expected it behind neurons")
    places = tuple((n - k) // s + 1 for n, k, s in zip(shape[1:], kernel, stride, strict=True))
    if min(places) < 1:
        raise ExchangeError(f"{node} looks at {kernel[0]} × {kernel[1]}, but features are {shape}")
    row.modules.append(nn.AvgPool2d(kernel, stride))
    if node.kind == "SumPool2d":
        row.scale = row.scale * math.prod(kernel)
    row.shape = (shape[0], *places)


def _pair(node: Node, name: str) -> tuple[int, int]:
    found = node.whole(name)
    return (found[0], found[-1]) if len(found) in (1, 2) else (-1, -1)


def scale(row: Row, node: Node) -> None:
    """A factor of each feature, which weights before or behind it take up."""
    factor = node.numbers("scale")
    if row.weights is not None:
        row.weights.times(factor, "scale")
    else:
        row.scale = row.scale * as_one(factor)


def delay(row: Row, node: Node) -> None:
    """Whole steps by which the spikes of each neuron, or channel, are late."""
    shape = row.shape_for(node)
    if row.weights is not None or row.delay is not None:
        raise ExchangeError(f"{node} stands between weights and their neurons, or behind another, expected it before")
    steps = of_each(node.numbers("delay") / row.dt, shape, str(node))
    whole = np.rint(steps)
    if (np.abs(steps - whole) > _NEAR).any() or (whole < 0).any() or (whole > _MOST_DELAY).any():
        odd = float(steps[np.argmax(np.abs(steps - whole) + (whole < 0) + (whole > _MOST_DELAY))])
        raise ExchangeError(
            f"{node} has a delay of {odd:g} steps of {row.dt:g} s, expected whole ones from 0 to {_MOST_DELAY:,};"
            " give the time step that it was made for (dt)"
        )
    row.delay = AxonalDelay(len(steps), max(1, int(whole.max())))
    with torch.no_grad():
        row.delay.steps.copy_(torch.from_numpy(whole))


def matrix(row: Row, node: Node) -> None:
    """Weights that wait for neurons; behind a synapse, a bias."""
    weight = node.numbers("weight")
    if weight.ndim != 2 or 0 in weight.shape:
        raise ExchangeError(f"{node} has weights of shape {weight.shape}, expected (outputs, inputs)")
    bias = node.numbers("bias") if node.kind == "Affine" else np.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise ExchangeError(f"{node} has a bias of shape {bias.shape}, expected ({len(weight)},)")
    if row.shape is None or (not row.modules and row.shape == row.first and _is_flat(row.shape, weight.shape[1])):
        row.first = row.shape = (weight.shape[1],)
    if row.synapse is not None:
        _bias_behind(row, node, weight, bias)
        return
    if row.shape != (weight.shape[1],):
        raise ExchangeError(f"{node} takes {weight.shape[1]} features, expected {row.shape}; put Flatten before it")
    row.wait(Weights(node, weight * _columns(row, weight.shape[1], node), bias, {}, (len(weight),)))


def _is_flat(shape: Shape, inputs: int) -> bool:
    """Whether features are in one row, in whatever dimensions: Rockpool and Norse write those of samples as well."""
    return math.prod(shape) == max(shape) == inputs


def _columns(row: Row, inputs: int, node: Node) -> Numbers:
    if row.scale.ndim and row.scale.shape != (inputs,):
        raise ExchangeError(f"a scale of shape {row.scale.shape} comes to {node}, expected ({inputs},)")
    return row.scale


def convolution(row: Row, node: Node) -> None:
    """Kernels that wait for neurons."""
    weight, rank = node.numbers("weight"), 1 if node.kind == "Conv1d" else 2
    if weight.ndim != rank + 2 or 0 in weight.shape:
        raise ExchangeError(f"{node} has weights of shape {weight.shape}, expected (channels, channels, kernel …)")
    bias = node.numbers("bias") if "bias" in node.values else np.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise ExchangeError(f"{node} has a bias of shape {bias.shape}, expected ({len(weight)},)")
    (groups,) = node.whole("groups") if "groups" in node.values else (1,)
    if row.shape is None:
        raise ExchangeError(f"neither the input nor {node} says its shape; give the node Input one")
    if len(row.shape) != rank + 1 or groups < 1 or row.shape[0] != weight.shape[1] * groups or len(weight) % groups:
        raise ExchangeError(f"{node} takes {weight.shape[1] * groups} channels, expected features {row.shape}")
    if row.scale.ndim:
        raise ExchangeError(f"a scale of each feature comes to {node}, expected one for all")
    kernel = weight.shape[2:]
    stride, dilation = (along(node, name, rank) for name in ("stride", "dilation"))
    padding = padding_of(node, kernel, dilation)
    places = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 if s > 0 and d > 0 and p >= 0 else 0
        for n, p, d, k, s in zip(row.shape[1:], padding, dilation, kernel, stride, strict=True)
    )
    if min(places) < 1:
        raise ExchangeError(f"{node} has no places on features {row.shape}: kernel {kernel}, stride {stride}")
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    row.wait(Weights(node, weight * row.scale, bias, options, (len(weight), *places)))


def leak(row: Row, node: Node) -> None:
    """LI: the synapse of the neurons, or of the readout, behind it."""
    if row.weights is None or row.synapse is not None:
        raise ExchangeError(f"{node} has no weights before it, or another synapse, expected one behind weights")
    if (node.numbers("v_leak") != 0).any():
        raise ExchangeError(f"{node} has a v_leak that is not 0, which synapses here have not")
    row.weights.times(node.numbers("r"), "r")
    row.synapse = node


def _bias_behind(row: Row, node: Node, weight: Numbers, bias: Numbers) -> None:
    """What is added behind a synapse, as ours have it."""
    square = weight.shape[0] == weight.shape[1] == math.prod(row.shape_for(node))
    assert row.weights is not None, "weights wait behind a synapse"
    if not square or (weight != np.eye(len(weight))).any() or (row.weights.bias != 0).any():
        raise ExchangeError(f"{node} follows a leaky integrator, expected neurons, or the end")
    row.behind = bias


__all__ = ["convolution", "delay", "flatten", "leak", "matrix", "pass_", "pool", "scale"]
