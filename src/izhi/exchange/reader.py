"""From a file or graph of NIR to a network that trains, and goes to hardware, like one of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import nir
import torch

from izhi.errors import ExchangeError, SettingError, ShapeError
from izhi.exchange import conventions, hdf5
from izhi.exchange.builder import check_size
from izhi.exchange.conventions import NIR, Library
from izhi.exchange.conversion import READERS, ConversionState, codecs, end, firing_kinds
from izhi.exchange.graph import Graph, Node, graph, linearize
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
        return convert(graph(tree), convention, dt, reset)
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
    return convert(graph(nodes.to_dict()), conventions.library(library), dt, reset)


def convert(graph: Graph, library: Library = NIR, dt: float | None = None, reset: Reset | None = None) -> Network:
    """The network of a graph without branches, which follows a library's conventions; see ``read``."""
    conventions.check_reset(library, reset)
    linear = linearize(graph, firing_kinds())
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
        try:
            readers[node.kind](state, node)
        except (SettingError, ShapeError) as error:  # of a description
            raise ExchangeError(f"{node}: {error}") from None
        except (ArithmeticError, TypeError, ValueError) as error:  # of numpy, for arrays that do not fit
            raise ExchangeError(f"{node} has values that do not fit one another ({error})") from None
    end(state)
    built = state.builder.build(state.inputs or ())
    _check_learned(built, state.neurons)
    return built


def _readers() -> dict[str, Callable[[ConversionState, Node], None]]:
    """What reads a node, by its type."""
    return {
        **READERS,
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
