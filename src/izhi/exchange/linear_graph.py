"""The nodes of a graph in order, and the nodes through which a layer's own spikes come back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from izhi.errors import ExchangeError, shown
from izhi.exchange.graph import Graph, Node
from izhi.exchange.neuron_nodes import firing_kinds

#: Types of nodes that weigh their input.
WEIGHTS = ("Affine", "Linear", "Conv1d", "Conv2d")


class LinearGraph(NamedTuple):
    """A graph without branches."""

    nodes: list[Node]  #: in order, without Input and Output
    shape: tuple[int, ...] | None  #: of the input; None if the graph has none
    feedback: dict[str, Node]  #: recurrent weights by the name of the node that they drive


def linearize(graph: Graph) -> LinearGraph:
    """Put the nodes of a graph in order.

    Raises:
        ExchangeError: for branches, edges that lead nowhere, unconnected nodes, or recurrence other than through
            weights to the same layer.
    """
    inputs = [x for x in graph.nodes.values() if x.kind == "Input" and not graph.before(x.name)]
    if len(inputs) != 1:
        raise ExchangeError(f"the graph has {len(inputs)} nodes Input where it begins, expected one")
    firing = firing_kinds()
    nodes, feedback = [inputs[0]], {}
    while True:
        node = nodes[-1]
        ahead = list(dict.fromkeys(graph.after(node.name)))
        names = {x.name for x in nodes}
        for name in ahead:
            if name in names:
                raise ExchangeError(f"spikes come back from {node} to {name} without weights between, expected them")
        back = [name for name in ahead if graph.nodes[name].kind in WEIGHTS and _ends(graph, name) <= names]
        for name in back:
            ends = _ends(graph, name)
            target = next(iter(ends)) if len(ends) == 1 else ""
            if not target or target in feedback or node.kind not in firing:
                raise ExchangeError(f"spikes come back by {name} to several places, or twice to one, expected one")
            feedback[target] = graph.nodes[name]
        ahead = [name for name in ahead if name not in back]
        if not ahead and node.kind == "Output":
            break
        if len(ahead) != 1:
            leads = "nowhere" if not ahead else f"to {' and '.join(map(shown, ahead))}"
            raise ExchangeError(f"{node} leads {leads}, expected one node behind it: layers in a row")
        nodes.append(graph.nodes[ahead[0]])
    _check_edges(graph, nodes, feedback)
    shape = nodes[0].whole("shape") if "shape" in nodes[0].values else None
    return LinearGraph([x for x in nodes if x.kind not in ("Input", "Output")], shape, feedback)


def _ends(graph: Graph, name: str) -> set[str]:
    """Targets of a node's edges; {""} if it has none."""
    return set(graph.after(name)) or {""}


def _check_edges(graph: Graph, nodes: Sequence[Node], feedback: dict[str, Node]) -> None:
    """Raise ExchangeError for a node off the path, or one with another input than its predecessor and its feedback."""
    known = {node.name for node in (*nodes, *feedback.values())}
    for name, node in graph.nodes.items():
        if name not in known:
            raise ExchangeError(f"{node} is on no path from the input to the output; leave it out")
    for before, node in pairwise(nodes):
        allowed = {before.name} | ({feedback[node.name].name} if node.name in feedback else set())
        for name in graph.before(node.name):
            if name not in allowed:
                raise ExchangeError(f"{name} leads to {node} beside {before.name}, expected one node before it")
    for node in feedback.values():
        if len(set(graph.before(node.name))) != 1:
            raise ExchangeError(f"several nodes lead to recurrent weights {node}, expected one")
