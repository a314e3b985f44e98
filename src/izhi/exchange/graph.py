"""A graph of NIR as plain nodes and edges, of a file or of nir's own objects."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ExchangeError, shown

Array: TypeAlias = NDArray[Any]

#: The largest number of float32, in which networks compute.
LARGEST = float(np.finfo(np.float32).max)
#: Graphs within graphs, at most.
_DEEPEST = 8


@dataclass(frozen=True)
class Node:
    """A node."""

    name: str  #: of the node, behind the names of its inner graphs
    kind: str  #: its type, such as ``Affine``
    values: Mapping[str, Array]  #: its arrays by name; texts are arrays of texts
    metadata: Mapping[str, Array] = field(default_factory=dict)  #: likewise

    def numbers(self, name: str) -> NDArray[np.float64]:
        """An array of finite numbers; ExchangeError if the node has no such array, or it is empty or holds others."""
        numbers = self._finite(name)
        if not numbers.size:
            raise ExchangeError(f"{self} has an empty {name}, expected at least one number")
        return numbers

    def _finite(self, name: str) -> NDArray[np.float64]:
        if name not in self.values:
            raise ExchangeError(f"{self} has no {name}; write it by a newer nir")
        values = self.values[name]
        if values.dtype.kind not in "fiub":
            raise ExchangeError(f"{self} has {name} {shown(values.tolist())}, expected numbers")
        numbers = values.astype(np.float64)
        if not np.isfinite(numbers).all():
            odd = numbers[~np.isfinite(numbers)].ravel()[0]
            raise ExchangeError(f"{self} has {odd} in its {name}, expected finite numbers")
        if (np.abs(numbers) > LARGEST).any():
            raise ExchangeError(f"{self} has {np.abs(numbers).max():g} in its {name}, expected at most {LARGEST:g}")
        return numbers

    def check_alike(self, *names: str) -> None:
        """Raise ExchangeError unless those of these arrays that the node has hold one number, or as many as others."""
        shapes = {name: self.numbers(name).shape for name in names if name in self.values}
        several = {name: shape for name, shape in shapes.items() if np.prod(shape) > 1}
        if len(set(several.values())) > 1:
            given = ", ".join(f"{name} {shape}" for name, shape in several.items())
            raise ExchangeError(f"{self} has arrays of different shapes ({given}), expected one shape")

    def whole(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers, or a single one, as a tuple."""
        numbers = self._finite(name).ravel()
        if (numbers != np.rint(numbers)).any() or (np.abs(numbers) > 1 << 30).any():
            raise ExchangeError(f"{self} has {name} {shown(numbers.tolist())}, expected whole numbers")
        return tuple(int(x) for x in numbers)

    def one(self, name: str) -> int:
        """A single whole number."""
        numbers = self.whole(name)
        if len(numbers) != 1:
            raise ExchangeError(f"{self} has {name} {shown(list(numbers))}, expected one whole number")
        return numbers[0]

    def text(self, name: str) -> str | None:
        """A text; None for another value, or none."""
        value = self.values.get(name)
        return str(value) if value is not None and value.dtype.kind == "U" and value.ndim == 0 else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass
class Graph:
    """Nodes by their names, and the edges between them; inner graphs are flattened."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    metadata: Mapping[str, Array] = field(default_factory=dict)

    def after(self, name: str) -> list[str]:
        """Targets of a node's edges, in order."""
        return [end for start, end in self.edges if start == name]

    def before(self, name: str) -> list[str]:
        """Sources of the edges to a node."""
        return [start for start, end in self.edges if end == name]


def graph(tree: Mapping[str, object]) -> Graph:
    """The graph of a tree: of ``NIRGraph.to_dict``, or of a file's group ``node``.

    Raises:
        ExchangeError: for a tree that is no graph, and for edges to unknown nodes.
    """
    whole = Graph({}, [], _metadata(tree))
    _add(whole, tree, "", 0)
    for start, end in whole.edges:
        for name in (start, end):
            if name not in whole.nodes:
                raise ExchangeError(f"there is an edge from {shown(start)} to {shown(end)}, but no node {shown(name)}")
    return whole


def _add(into: Graph, tree: Mapping[str, object], prefix: str, depth: int) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a tree; edges of an inner graph become edges of its Input and Output.

    Returns:
        The names of its Inputs and Outputs.
    """
    nodes, edges = tree.get("nodes"), tree.get("edges")
    if not isinstance(nodes, Mapping) or edges is None or depth > _DEEPEST:
        raise ExchangeError(f"{prefix or 'it'} is no graph of NIR, expected nodes and edges; give a file of nir.write")
    ends: tuple[list[str], list[str]] = ([], [])
    first, last = {}, {}
    for own, table in nodes.items():
        name = f"{prefix}{own}"
        if not isinstance(table, Mapping):
            raise ExchangeError(f"node {shown(name)} is {shown(table)}, expected a table")
        kind = _kind(table, name)
        first[own] = last[own] = name
        if kind != "NIRGraph":
            into.nodes[name] = Node(name, kind, _values(table), _metadata(table))
            for index, end in enumerate(("Input", "Output")):
                if kind == end:
                    ends[index].append(name)
            continue
        inputs, outputs = _add(into, table, f"{name}.", depth + 1)
        if len(inputs) != 1 or len(outputs) != 1:
            raise ExchangeError(f"the graph {shown(name)} has not one Input and one Output, expected both")
        first[own], last[own] = inputs[0], outputs[0]
    for start, end in _pairs(edges):
        into.edges.append((last.get(start, f"{prefix}{start}"), first.get(end, f"{prefix}{end}")))
    return ends


def _kind(table: Mapping[str, object], name: str) -> str:
    kind = table.get("type")
    if isinstance(kind, np.ndarray) and kind.dtype.kind == "U" and kind.ndim == 0:
        kind = str(kind)
    if not isinstance(kind, str):
        raise ExchangeError(f"node {shown(name)} has no type, expected one such as Affine")
    return kind


def _values(table: Mapping[str, object]) -> dict[str, Array]:
    return {
        name: np.asarray(value) for name, value in table.items()
        if name not in ("type", "metadata") and value is not None and not isinstance(value, Mapping)
    }  # fmt: skip


def _metadata(table: Mapping[str, object]) -> dict[str, Array]:
    metadata = table.get("metadata")
    return _values(metadata) if isinstance(metadata, Mapping) else {}


def _pairs(edges: object) -> list[tuple[str, str]]:
    pairs: Array = np.asarray(edges) if isinstance(edges, (list, np.ndarray)) else np.zeros(1)
    if pairs.size == 0:
        return []
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind != "U":
        raise ExchangeError(f"edges are {shown(edges)}, expected pairs of names")
    return [(str(start), str(end)) for start, end in pairs.tolist()]


#: Types of nodes that weigh their input.
WEIGHTS = ("Affine", "Linear", "Conv1d", "Conv2d")


class LinearGraph(NamedTuple):
    """A graph without branches."""

    nodes: list[Node]  #: in order, without Input and Output
    shape: tuple[int, ...] | None  #: of the input; None if the graph has none
    feedback: dict[str, Node]  #: recurrent weights by the name of the node that they drive


def linearize(graph: Graph, firing: Collection[str]) -> LinearGraph:
    """Put the nodes of a graph in order, of which those of the types ``firing`` fire.

    Raises:
        ExchangeError: for branches, edges that lead nowhere, unconnected nodes, or recurrence other than through
            weights to the same layer.
    """
    inputs = [x for x in graph.nodes.values() if x.kind == "Input" and not graph.before(x.name)]
    if len(inputs) != 1:
        raise ExchangeError(f"the graph has {len(inputs)} nodes Input where it begins, expected one")
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
