"""Golden spikes: the response of a network to inputs, in NIR's own data format, for tests of simulators."""

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
from izhi.exchange.conversion import firing_kinds
from izhi.exchange.graph import graph, linearize
from izhi.exchange.reader import Reset, tree_of
from izhi.network import Layer, Network
from izhi.network.builder import describe

#: Tolerance of a readout's currents, relative to the largest of them.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Agreement:
    """How the spikes of a node compare with the golden ones."""

    node: str  #: its name
    spikes: int  #: of the golden data; of currents how many numbers
    different: int  #: spikes, or numbers, that differ


def golden_name(path: str | Path) -> Path:
    """The default path of the golden spikes of a file, beside it."""
    path = Path(path)
    return path.with_name(f"{path.stem}-golden{path.suffix}")


def golden(network: Network, spikes: Tensor, path: str | Path, *, dt: float = conventions.USUAL_DT) -> nir.NIRGraphData:
    """Write the response of a network to inputs: the inputs, the spikes of each layer, and the output.

    Args:
        network: that ``write`` wrote.
        spikes: inputs (T, B, N), flat.
        path: of the file; ``golden_name`` gives that of a network's file.
        dt: seconds of a time step.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad():
        out = network.record(spikes)
    network.train(was_training)
    numbers = [number for number, x in enumerate(network.layers, start=1) if isinstance(x, Layer)]
    tensors = {
        "input": spikes,
        **{f"neurons_{n}": x for n, x in zip(numbers, out.spikes, strict=True)},
        "output": out.output,
    }
    data = nir.NIRGraphData(
        {name: nir.NIRNodeData({"spikes": nir.TimeGriddedData(_gridded(x), dt)}) for name, x in tensors.items()}
    )
    buffer = io.BytesIO()
    nir.write_data(buffer, data)
    files.write_bytes(Path(path), buffer.getvalue())
    return data


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
        data: of the golden spikes; None for ``golden_name(path)``.
        library, dt, reset: see ``izhi.nir.read``.

    Raises:
        ExchangeError: for files that are damaged, or of different networks.
    """
    path = Path(path)
    nodes = graph(tree_of(path))
    network = reader.convert(nodes, conventions.library(library), dt, reset).eval()
    data = golden_name(path) if data is None else Path(data)
    expected = _read(data)
    if "input" not in expected or "output" not in expected:
        raise ExchangeError(f"{data} has no data of the nodes input and output, expected golden spikes of {path}")
    inputs = expected.pop("input")
    samples, steps, features = inputs.shape
    if describe(network).inputs not in (None, features):
        raise ExchangeError(f"{data} has {features} inputs, but {path} has {describe(network).inputs}")
    # Spikes and currents of every neuron, in float32.
    need = 4 * samples * steps * (features + 4 * sum(network.neurons(features)))
    files.require_memory(need, data.stat().st_size, f"the response of {path} to {data}", ExchangeError)
    with torch.no_grad():
        out = network.record(torch.from_numpy(inputs.astype(np.float32)).transpose(0, 1).contiguous())
    kinds = firing_kinds()
    names = [node.name for node in linearize(nodes, kinds).nodes if node.kind in kinds]
    agreements = []
    for node, values in (*zip(names, out.spikes, strict=True), ("output", out.output)):
        name = next((x for x in expected if node == x or node.startswith(f"{x}.")), None)
        if name is not None:
            agreements.append(_compare(name, expected.pop(name), _gridded(values), data))
    for name in expected:
        raise ExchangeError(f"{data} has data of {name}, but {path} has no such node that fires")
    return agreements


def _compare(name: str, expected: NDArray[Any], values: NDArray[Any], path: Path) -> Agreement:
    if expected.shape != values.shape:
        raise ExchangeError(f"{path} has data of {name} of shape {expected.shape}, expected {values.shape}")
    if expected.dtype == bool:
        return Agreement(name, int(expected.sum()), int((values.astype(np.float32) != expected).sum()))
    differs = np.abs(values - expected) > _TOLERANCE * max(1.0, float(np.abs(expected).max()))
    return Agreement(name, expected.size, int(differs.sum()))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Samples × steps × neurons of each node."""
    nodes = hdf5.read(path).get("nodes")
    if not isinstance(nodes, Mapping):
        raise ExchangeError(f"{path} holds no data of NIR, expected those of nir.write_data")
    arrays: dict[str, NDArray[Any]] = {}
    for name, node in nodes.items():
        values: Any = node
        for key in ("observables", "spikes", "data"):
            values = values.get(key) if isinstance(values, Mapping) else None
        if not isinstance(values, np.ndarray) or values.ndim != 3 or values.dtype.kind not in "bfiu":
            raise ExchangeError(f"{path} has no gridded spikes of {name}, expected samples × steps × neurons")
        if not np.isfinite(values).all() or 0 in values.shape:
            raise ExchangeError(f"{path} has spikes of {name} that are not finite, or none")
        arrays[name] = values
    return arrays
