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

#: What a neuron does after a spike, where a file cannot say.
Reset = Literal["zero", "subtract"]


def read(
    path: str | Path, *, library: str | None = None, dt: float | None = None, reset: Reset | None = None
) -> Network:
    """The network in a file of NIR.

    Args:
        path: of the file. Nothing in it is executed.
        library: that wrote it: ``"snntorch"``, ``"norse"``, ``"spikingjelly"``, ``"sinabs"`` or ``"rockpool"``, whose
            conventions differ from NIR's equations; None for these.
        dt: seconds of a step; None for what the file's metadata say, or else the library's, or else 1e-4.
        reset: what its neurons do after a spike, which NIR cannot say: ``"subtract"`` the threshold; None for what it
            says, a reset to v_reset.

    Returns:
        A network that takes flat features (T, B, N).

    Raises:
        ExchangeError: for a file that is damaged, or holds what no network of ours has, naming the node.
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
    """The graph in a file, as the format lays it out.

    Raises:
        ExchangeError: for a file that is damaged, or holds none.
    """
    tree = hdf5.read(path).get("node")
    if not isinstance(tree, dict):
        raise ExchangeError(f"{path} holds no graph of NIR, expected one; give a file of nir.write")
    return tree


def from_graph(
    nodes: nir.NIRGraph, *, library: str | None = None, dt: float | None = None, reset: Reset | None = None
) -> Network:
    """The network of a graph in memory; see ``read``."""
    return reader.network(graph(nodes.to_dict()), library=conventions.library(library), dt=dt, reset=reset)


def to_graph(
    network: Network, *, library: str | None = None, dt: float | None = None, single_spike: bool = False
) -> nir.NIRGraph:
    """A network as a graph of NIR; see ``write``."""
    return writer.graph(network, library=conventions.library(library), dt=dt, single_spike=single_spike)


def write(
    network: Network, path: str | Path, *, library: str | None = None, dt: float | None = None,
    single_spike: bool = False,
) -> nir.NIRGraph:  # fmt: skip
    """Write a network as NIR, whole or not at all; the graph that was written.

    Args:
        network: of float weights, layers in a row.
        path: of the file.
        library: that is to read it, with whose conventions its spikes are the network's; None for NIR's equations.
        dt: seconds of a step; None for the library's, or 1e-4.
        single_spike: for a library whose neurons fire several times in a step: whether they are made to fire once after
            it has read the file (see docs/nir.md).

    Raises:
        ExchangeError: for what NIR does not have, or the library makes something else of, with the reason.
    """
    found = to_graph(network, library=library, dt=dt, single_spike=single_spike)
    buffer = io.BytesIO()
    nir.write(buffer, found)
    files.write_bytes(Path(path), buffer.getvalue())
    return found


__all__ = ["Reset", "from_graph", "read", "to_graph", "tree_of", "write"]
