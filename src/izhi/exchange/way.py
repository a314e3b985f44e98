"""The way of spikes through a graph: its nodes in a row, and those by which a layer's own spikes come back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from izhi.errors import ExchangeError, shown
from izhi.exchange.graph import Graph, Node

#: Nodes that weigh what comes in.
WEIGHTS = ("Affine", "Linear", "Conv1d", "Conv2d")
#: Nodes that fire.
NEURONS = ("LIF", "IF", "CubaLIF", "Izhikevich")


class Way(NamedTuple):
    """A graph in a row.

    Attributes:
        nodes: from the first behind Input to the last before Output.
        shape: of what comes in; None if the graph does not say.
        feedback: the node by which spikes come back, by the name of the node that they come to.
    """

    nodes: list[Node]
    shape: tuple[int, ...] | None
    feedback: dict[str, Node]


def way(graph: Graph) -> Way:
    """The nodes of a graph in a row.

    Raises:
        ExchangeError: for a graph that is none: with several ways, ends that lead nowhere, nodes aside, or spikes that
            come back other than through weights to their own layer.
    """
    start = _only("Input", [x for x in graph.nodes.values() if x.kind == "Input" and not graph.before(x.name)])
    row, feedback = [start], {}
    while True:
        now = row[-1]
        ahead = list(dict.fromkeys(graph.after(now.name)))
        names = {node.name for node in row}
        for name in ahead:
            if name in names:
                raise ExchangeError(f"spikes come back from {now} to {name} without weights between, expected them")
        back = [name for name in ahead if graph.nodes[name].kind in WEIGHTS and _ends(graph, name) <= names]
        for name in back:
            (target,) = _ends(graph, name) if len(_ends(graph, name)) == 1 else ("",)
            if not target or target in feedback or now.kind not in NEURONS:
                raise ExchangeError(f"spikes come back by {name} to several places, or twice to one, expected one")
            feedback[target] = graph.nodes[name]
        ahead = [name for name in ahead if name not in back]
        if not ahead and now.kind == "Output":
            break
        if len(ahead) != 1:
            leads = "nowhere" if not ahead else f"to {' and '.join(map(shown, ahead))}"
            raise ExchangeError(f"{now} leads {leads}, expected one node behind it: layers in a row")
        row.append(graph.nodes[ahead[0]])
    known = {node.name for node in (*row, *feedback.values())}
    for name in graph.nodes:
        if name not in known:
            raise ExchangeError(f"{graph.nodes[name]} is on no way from the input to the output; leave it out")
    _check_entries(graph, row, feedback)
    shape = start.whole("shape") if "shape" in start.values else None
    return Way([x for x in row if x.kind not in ("Input", "Output")], shape, feedback)


def _only(what: str, found: Sequence[Node]) -> Node:
    if len(found) != 1:
        raise ExchangeError(f"the graph has {len(found)} nodes {what} where it begins, expected one")
    return found[0]


def _ends(graph: Graph, name: str) -> set[str]:
    """Where the edges of a node lead; nowhere is a place that is not there."""
    return set(graph.after(name)) or {""}


def _check_entries(graph: Graph, row: Sequence[Node], feedback: dict[str, Node]) -> None:
    """Raise ExchangeError where something else than the node before it, and feedback, comes to a node."""
    for before, node in pairwise(row):
        allowed = {before.name} | ({feedback[node.name].name} if node.name in feedback else set())
        for name in graph.before(node.name):
            if name not in allowed:
                raise ExchangeError(f"{name} leads to {node} beside {before.name}, expected one node before it")
    for node in feedback.values():
        if len(set(graph.before(node.name))) != 1:
            raise ExchangeError(f"several nodes lead to {node}, by which spikes come back, expected one")


__all__ = ["NEURONS", "WEIGHTS", "Way", "way"]
