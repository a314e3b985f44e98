"""Golden spikes: what a network gives for given inputs, in the format's own data, for simulators to test themselves."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi import files
from izhi.errors import ExchangeError
from izhi.exchange import conventions, hdf5, reader
from izhi.exchange.files import Reset, tree_of
from izhi.exchange.graph import Graph, graph
from izhi.exchange.way import NEURONS, way
from izhi.network import Layer, Network

#: How near currents of a readout must be, which have no spikes: of the largest of them.
_NEAR = 1e-4


@dataclass(frozen=True)
class Agreement:
    """How the spikes of a node compare with the golden ones.

    Attributes:
        node: its name.
        spikes: that the golden data have; of currents how many numbers.
        different: places in which the two differ.
    """

    node: str
    spikes: int
    different: int


def golden_name(path: str | Path) -> Path:
    """Where the golden spikes of a file are, unless one says: beside it."""
    path = Path(path)
    return path.with_name(f"{path.stem}-golden{path.suffix}")


def golden(network: Network, spikes: Tensor, path: str | Path, *, dt: float = conventions.USUAL_DT) -> nir.NIRGraphData:
    """Write what a network gives for inputs: its own inputs, the spikes of each layer, and its output.

    Args:
        network: that ``write`` wrote.
        spikes: inputs (T, B, N), flat.
        path: of the file; ``golden_name`` gives that of a network's file.
        dt: seconds of a step.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        out = network.record(spikes)
    network.train(was_training)
    places = [number for number, x in enumerate(network.layers, start=1) if isinstance(x, Layer)]
    tensors = {
        "input": spikes,
        **{f"neurons_{n}": x for n, x in zip(places, out.spikes, strict=True)},
        "output": out.output,
    }
    nodes = {
        name: nir.NIRNodeData({"spikes": nir.TimeGriddedData(_gridded(x), dt)}) for name, x in tensors.items()
    }  # fmt: skip
    found = nir.NIRGraphData(nodes)
    buffer = io.BytesIO()
    nir.write_data(buffer, found)
    files.write_bytes(Path(path), buffer.getvalue())
    return found


def _gridded(x: Tensor) -> NDArray[Any]:
    """(T, B, *features) as samples × steps × neurons; spikes as truth values."""
    values: NDArray[Any] = x.detach().float().flatten(2).transpose(0, 1).contiguous().numpy()
    return values.astype(bool) if ((values == 0) | (values == 1)).all() else values


def check(
    path: str | Path, data: str | Path | None = None, *, library: str | None = None, dt: float | None = None,
    reset: Reset | None = None,
) -> list[Agreement]:  # fmt: skip
    """Run the golden inputs of a file of NIR through its network, and compare every spike.

    Args:
        path: of the network.
        data: of the golden spikes; None for the file beside it, ``golden_name``.
        library, dt, reset: see ``izhi.nir.read``.

    Raises:
        ExchangeError: for files that are damaged, or do not belong together.
    """
    path = Path(path)
    plain = graph(tree_of(path))
    network = reader.network(plain, library=conventions.library(library), dt=dt, reset=reset).eval()
    place = golden_name(path) if data is None else Path(data)
    wanted = _read(place)
    if "input" not in wanted or "output" not in wanted:
        raise ExchangeError(f"{place} has no data of the nodes input and output, expected golden spikes of {path}")
    with torch.no_grad():
        out = network.record(torch.from_numpy(wanted.pop("input").astype(np.float32)).transpose(0, 1).contiguous())
    found = {**_by_node(plain, out.spikes), "output": out.output}
    agreements = []
    for node, own in found.items():
        name = next((x for x in wanted if node == x or node.startswith(f"{x}.")), None)
        if name is not None:
            agreements.append(_compared(name, wanted.pop(name), _gridded(own), place))
    for name in wanted:
        raise ExchangeError(f"{place} has data of {name}, but {path} has no such node that fires")
    return agreements


def _by_node(plain: Graph, spikes: list[Tensor]) -> dict[str, Tensor]:
    """Spikes of each layer by the name of its neurons' node."""
    names = [node.name for node in way(plain).nodes if node.kind in NEURONS]
    return dict(zip(names, spikes, strict=True))


def _compared(name: str, wanted: NDArray[Any], found: NDArray[Any], place: Path) -> Agreement:
    if wanted.shape != found.shape:
        raise ExchangeError(f"{place} has data of {name} of shape {wanted.shape}, expected {found.shape}")
    if wanted.dtype == bool:
        return Agreement(name, int(wanted.sum()), int((found.astype(np.float32) != wanted).sum()))
    far = np.abs(found - wanted) > _NEAR * max(1.0, float(np.abs(wanted).max()))
    return Agreement(name, wanted.size, int(far.sum()))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Samples × steps × neurons of each node."""
    tree = hdf5.read(path)
    nodes = tree.get("nodes")
    if not isinstance(nodes, Mapping):
        raise ExchangeError(f"{path} holds no data of NIR, expected those of nir.write_data")
    found: dict[str, NDArray[Any]] = {}
    for name, node in nodes.items():
        observed = node.get("observables") if isinstance(node, Mapping) else None
        grid = observed.get("spikes") if isinstance(observed, Mapping) else None
        values = grid.get("data") if isinstance(grid, Mapping) else None
        if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind not in "bfiu":
            raise ExchangeError(f"{path} has no gridded spikes of {name}, expected samples × steps × neurons")
        if not np.isfinite(values).all() or 0 in values.shape:
            raise ExchangeError(f"{path} has spikes of {name} that are not finite, or none")
        found[name] = values
    return found


__all__ = ["Agreement", "check", "golden", "golden_name"]
