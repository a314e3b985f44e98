"""Files of NIR."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import nir

from izhi import files
from izhi.errors import ExchangeError
from izhi.exchange import conventions, hdf5, reader, writer
from izhi.exchange.graph import graph
from izhi.network import Network

#: The reset of neurons whose file has none.
Reset = Literal["zero", "subtract"]


def read(
    path: str | Path, *, library: str | None = None, dt: float | None = None, reset: Reset | None = None
) -> Network:
    """Read a network from a file of NIR.

    Args:
        path: of the file. Nothing in it is executed.
        library: that wrote it: ``"snntorch"``, ``"norse"``, ``"spikingjelly"``, ``"sinabs"`` or ``"rockpool"``, whose
            conventions differ from NIR's equations; None for these.
        dt: seconds of a time step; None for that of the file's metadata, or else the library's, or else 1e-4.
        reset: ``"subtract"`` for neurons that subtract the threshold, which NIR has no field for; None for NIR's reset
            to v_reset.

    Returns:
        A network for flat features (T, B, N).

    Raises:
        ExchangeError: for a file that is damaged, or has a node without equivalent here, by its name.
        SettingError: for an unknown library.
    """
    path = Path(path)
    convention = conventions.library(library)
    tree = tree_of(path)
    try:
        return reader.network(graph(tree), library=convention, dt=dt, reset=reset)
    except ExchangeError as error:
        raise ExchangeError(f"{path}: {error}") from None


def tree_of(path: Path) -> dict[str, Any]:
    """The graph in a file, as groups and arrays; ExchangeError for a file that is damaged, or holds no graph."""
    tree = hdf5.read(path).get("node")
    if not isinstance(tree, dict):
        raise ExchangeError(f"{path} holds no graph of NIR, expected one; give a file of nir.write")
    return tree


def from_graph(
    nodes: nir.NIRGraph, *, library: str | None = None, dt: float | None = None, reset: Reset | None = None
) -> Network:
    """Convert a graph in memory to a network; see ``read``."""
    return reader.network(graph(nodes.to_dict()), library=conventions.library(library), dt=dt, reset=reset)


def to_graph(
    network: Network, *, library: str | None = None, dt: float | None = None, single_spike: bool = False
) -> nir.NIRGraph:
    """Convert a network to a graph of NIR; see ``write``."""
    return writer.graph(network, library=conventions.library(library), dt=dt, single_spike=single_spike)


def write(
    network: Network, path: str | Path, *, library: str | None = None, dt: float | None = None,
    single_spike: bool = False,
) -> nir.NIRGraph:  # fmt: skip
    """Write a network as NIR, in one step or not at all; returns the graph.

    Args:
        network: of float weights, without branches.
        path: of the file.
        library: that is to read it, by whose conventions its spikes are the network's; None for NIR's equations.
        dt: seconds of a time step; None for the library's, or 1e-4.
        single_spike: confirms, for a library whose neurons fire several times in a step, that they are changed to fire
            once after it reads the file (see docs/nir.md).

    Raises:
        ExchangeError: for a module that NIR does not have, or that the library converts to another, with the reason.
    """
    nodes = to_graph(network, library=library, dt=dt, single_spike=single_spike)
    buffer = io.BytesIO()
    nir.write(buffer, nodes)
    files.write_bytes(Path(path), buffer.getvalue())
    return nodes
