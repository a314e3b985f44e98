"""A graph of NIR as plain nodes and edges, whatever it came from: a file, or nir's own objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from izhi.errors import ExchangeError, shown

Array: TypeAlias = NDArray[Any]

#: Graphs within graphs, at most.
_DEEPEST = 8


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        name: of it, those of inner graphs before it.
        kind: its type, such as ``LIF``.
        values: its arrays by name; texts are arrays of them.
        metadata: what else was written beside it.
    """

    name: str
    kind: str
    values: Mapping[str, Array]
    metadata: Mapping[str, Array] = field(default_factory=dict)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """An array of finite numbers.

        Raises:
            ExchangeError: if it is not there, or holds others.
        """
        if name not in self.values:
            raise ExchangeError(f"{self} has no {name}; write it by a newer nir")
        found = self.values[name]
        if found.dtype.kind not in "fiub":
            raise ExchangeError(f"{self} has {name} {shown(found.tolist())}, expected numbers")
        numbers = found.astype(np.float64)
        if not np.isfinite(numbers).all():
            odd = numbers[~np.isfinite(numbers)].ravel()[0]
            raise ExchangeError(f"{self} has {odd} in its {name}, expected finite numbers")
        return numbers

    def whole(self, name: str) -> tuple[int, ...]:
        """Whole numbers, of which one alone is a tuple of one."""
        numbers = self.numbers(name).ravel()
        if (numbers != np.rint(numbers)).any() or (np.abs(numbers) > 1 << 30).any():
            raise ExchangeError(f"{self} has {name} {shown(numbers.tolist())}, expected whole numbers")
        return tuple(int(x) for x in numbers)

    def text(self, name: str) -> str | None:
        """A text; None for what is none."""
        found = self.values.get(name)
        return str(found) if found is not None and found.dtype.kind == "U" and found.ndim == 0 else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass
class Graph:
    """Nodes by their names, and the edges between them; graphs within it are taken apart."""

    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    metadata: Mapping[str, Array] = field(default_factory=dict)

    def after(self, name: str) -> list[str]:
        """Where the edges of a node lead, in their order."""
        return [end for start, end in self.edges if start == name]

    def before(self, name: str) -> list[str]:
        """Where the edges to a node come from."""
        return [start for start, end in self.edges if end == name]


def graph(tree: Mapping[str, object]) -> Graph:
    """The graph of a tree: what ``NIRGraph.to_dict`` gives, or a file of it holds below ``node``.

    Raises:
        ExchangeError: for a tree that is none, and for edges to nodes that are not there.
    """
    found = Graph({}, [])
    _add(found, tree, "", 0)
    found.metadata = _metadata(tree)
    for start, end in found.edges:
        for name in (start, end):
            if name not in found.nodes:
                raise ExchangeError(f"there is an edge from {shown(start)} to {shown(end)}, but no node {shown(name)}")
    return found


def _add(into: Graph, tree: Mapping[str, object], prefix: str, depth: int) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a tree; edges of an inner graph then begin and end at its own Input and Output.

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
            for place, end in enumerate(("Input", "Output")):
                if kind == end:
                    ends[place].append(name)
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
        raise ExchangeError(f"node {shown(name)} has no type, expected one such as LIF")
    return kind


def _values(table: Mapping[str, object]) -> dict[str, Array]:
    return {
        name: np.asarray(value) for name, value in table.items()
        if name not in ("type", "metadata") and value is not None and not isinstance(value, Mapping)
    }  # fmt: skip


def _metadata(table: Mapping[str, object]) -> dict[str, Array]:
    found = table.get("metadata")
    return _values(found) if isinstance(found, Mapping) else {}


def _pairs(edges: object) -> list[tuple[str, str]]:
    found: Array = np.asarray(edges) if isinstance(edges, (list, np.ndarray)) else np.zeros(1)
    if found.size == 0:
        return []
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind != "U":
        raise ExchangeError(f"edges are {shown(edges)}, expected pairs of names")
    return [(str(start), str(end)) for start, end in found.tolist()]
