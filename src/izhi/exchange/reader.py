"""From a graph of NIR to a network that trains, and goes to hardware, like one of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from scipy.special import lambertw
from torch import nn

from izhi.errors import ExchangeError, IzhiError
from izhi.exchange import neurons, weights
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.graph import Graph, Node
from izhi.exchange.row import Row, check_size
from izhi.exchange.way import way
from izhi.network import Network
from izhi.network.traversal import with_shapes


def network(
    graph: Graph,
    *,
    library: Library = NIR,
    dt: float | None = None,
    reset: Literal["zero", "subtract"] | None = None,
) -> Network:
    """The network of a graph.

    Args:
        graph: nodes in a row, with recurrence within layers.
        library: that wrote it, whose conventions it follows.
        dt: seconds of a step; None for what the metadata say, or else the library's.
        reset: what its neurons do after a spike where the library does not write it; None for what NIR says.

    Returns:
        The network, which takes flat features (T, B, N).

    Raises:
        ExchangeError: for what no network of ours has, naming the node.
    """
    if library.counts and reset is None:
        raise ExchangeError(
            f"{library.name}'s neurons fire several times in a step unless told otherwise, and the file does not say"
            " whether these do; ours fire once: if these do as well, say what they do after a spike (reset)"
        )
    found = way(graph)
    step = dt or _seconds(graph) or (_rockpool_dt(found.nodes) if library.name == "rockpool" else library.written_dt)
    if not (math.isfinite(step) and step > 0):
        raise ExchangeError(f"dt is {step!r}, expected seconds above 0")
    if found.shape is not None:
        check_size(found.shape, "that come in")
    row = Row(found, library, step, reset or "zero", found.shape, found.shape)
    for node in found.nodes:
        if node.kind not in _STEPS:
            raise ExchangeError(f"{node}: there is no {node.kind} here, expected one of: {', '.join(_STEPS)}")
        _STEPS[node.kind](row, node)
    _end(row)
    return _checked(row)


def _checked(row: Row) -> Network:
    modules, first = row.modules, row.first or ()
    if len(first) > 1:
        modules = [nn.Unflatten(1, first), *modules]
    try:
        found = Network(modules, row.readout)
        *_, last = (math.prod(first),), *(x for _, _, x in with_shapes(modules, (math.prod(first),)))
        if row.readout is not None:
            row.readout.check(torch.zeros(1, 1, *last))
    except IzhiError as error:
        raise ExchangeError(f"the nodes do not fit one another: {error}") from None
    return found


def _seconds(graph: Graph) -> float | None:
    """dt as the metadata say it; None if they do not."""
    for name in ("dt", "time_step"):
        value = graph.metadata.get(name)
        if value is not None and value.dtype.kind in "fiu" and value.size == 1:
            return float(value.ravel()[0])
    return None


def _rockpool_dt(nodes: Sequence[Node]) -> float:
    """The step of a file that Rockpool wrote, which is in it as r = τ·exp(−dt/τ)/dt alone."""
    for node in nodes:
        name = {"CubaLIF": "tau_mem", "LIF": "tau"}.get(node.kind)
        if name is not None:
            tau, r = (float(node.numbers(x).ravel()[0]) for x in (name, "r"))
            if tau > 0 and r > 0:
                return tau * float(lambertw(1 / r).real)
    raise ExchangeError("the graph has no LIF of a τ and r above 0, from which its step follows; give dt")


def _end(row: Row) -> None:
    """What waits for neurons that do not come is a readout."""
    if row.delay is not None or row.scale.ndim or row.scale != 1:
        raise ExchangeError("the graph ends in a delay, a pool or a scale, expected neurons or weights at its end")
    if row.weights is not None:
        if row.weights.weight.ndim != 2:
            raise ExchangeError(
                f"the graph ends in the convolution {row.weights.node.name}, expected neurons behind it"
            )
        if row.synapse is not None and row.synapse.name in row.way.feedback:
            raise ExchangeError(f"spikes come back to {row.synapse}, behind which nothing fires; expected neurons")
        row.readout = row.connected(None if row.synapse is None else row.synapse_of(row.synapse, "tau"))


_STEPS: dict[str, Callable[[Row, Node], None]] = {
    "Affine": weights.matrix,
    "Linear": weights.matrix,
    "Conv1d": weights.convolution,
    "Conv2d": weights.convolution,
    "AvgPool2d": weights.pool,
    "SumPool2d": weights.pool,
    "Flatten": weights.flatten,
    "Scale": weights.scale,
    "Delay": weights.delay,
    "LI": weights.leak,
    "LIF": neurons.lif,
    "IF": neurons.lif,
    "CubaLIF": neurons.lif,
    "Izhikevich": neurons.izhikevich,
    "Input": weights.pass_,
    "Output": weights.pass_,
}

__all__ = ["network"]
