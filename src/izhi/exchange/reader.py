"""From a graph of NIR to a network that trains, and goes to hardware, like one of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch

from izhi.errors import ExchangeError
from izhi.exchange import conventions, weight_nodes
from izhi.exchange.builder import check_size
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.conversion import ConversionState
from izhi.exchange.graph import Graph, Node, linearize
from izhi.exchange.neuron_nodes import codecs
from izhi.network import Network


def network(
    graph: Graph,
    *,
    library: Library = NIR,
    dt: float | None = None,
    reset: Literal["zero", "subtract"] | None = None,
) -> Network:
    """Build the network of a graph.

    Args:
        graph: nodes without branches, with recurrence within layers.
        library: that wrote the graph, whose conventions it follows.
        dt: seconds of a time step; None for that of the metadata, or else the library's.
        reset: the reset after a spike where the library does not write it; None for NIR's, to v_reset.

    Returns:
        The network, for flat features (T, B, N).

    Raises:
        ExchangeError: for a node that Izhi has no equivalent of, by its name.
    """
    conventions.check_reset(library, reset)
    linear = linearize(graph)
    step = dt or _written_dt(graph, linear.nodes, library)
    if not (math.isfinite(step) and step > 0):
        raise ExchangeError(f"dt is {step!r}, expected seconds above 0")
    if linear.shape is not None:
        check_size(linear.shape, "that come in")
    state = ConversionState(linear, library, step, reset or "zero", linear.shape, linear.shape)
    readers = _readers()
    for node in linear.nodes:
        if node.kind not in readers:
            raise ExchangeError(f"{node}: there is no {node.kind} here, expected one of: {', '.join(readers)}")
        readers[node.kind](state, node)
    weight_nodes.end(state)
    built = state.builder.build(state.inputs or ())
    _check_learned(built, state.neurons)
    return built


def _readers() -> dict[str, Callable[[ConversionState, Node], None]]:
    """What reads a node, by its type."""
    return {
        **weight_nodes.READERS,
        **{kind: codec.read for codec in codecs().values() for kind in codec.kinds},
        "Input": lambda state, node: None,  # those of inner graphs
        "Output": lambda state, node: None,
    }


def _check_learned(network: Network, nodes: Sequence[Node]) -> None:
    """Raise ExchangeError for coefficients beyond the bounds of ours, which would clamp them."""
    for layer, node in zip(network.spiking, nodes, strict=True):
        used = layer.neuron.coefficients()._asdict()
        for name, value in layer.neuron.learned.items():
            if not torch.allclose(torch.as_tensor(used[name]), value, rtol=1e-6, atol=0):
                raise ExchangeError(f"{node} has {name} beyond the bounds of neurons here, expected stable dynamics")


def _written_dt(graph: Graph, nodes: Sequence[Node], library: Library) -> float:
    """The time step of the metadata, or else of the library."""
    for name in ("dt", "time_step"):
        value = graph.metadata.get(name)
        if value is not None and value.dtype.kind in "fiu" and value.size == 1 and value.ravel()[0]:
            return float(value.ravel()[0])
    return conventions.rockpool_dt(nodes) if library.name == "rockpool" else library.written_dt
