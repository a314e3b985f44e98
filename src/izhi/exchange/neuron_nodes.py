"""Codecs of neurons as nodes of NIR; the registry names that of each neuron under "nir"."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from izhi.exchange.builder import Numbers, as_numbers
from izhi.spec import NEURONS, Shape

if TYPE_CHECKING:
    import nir

    from izhi.exchange.conventions import Library
    from izhi.exchange.conversion import ConversionState
    from izhi.exchange.graph import Node


class NodeTarget(NamedTuple):
    """Context in which the neurons of a layer are written.

    Attributes:
        library: that is to read the file.
        dt: seconds of a time step.
        label: of the layer, for messages.
        features: of its neurons.
        decay: of a synapse that the node is to contain; None for none.
    """

    library: Library
    dt: float
    label: str
    features: Shape
    decay: float | None

    def spread(self, value: Tensor | float) -> Numbers:
        """A coefficient of each neuron."""
        return np.array(np.broadcast_to(as_numbers(value), self.features))


class NodeCodec(NamedTuple):
    """Reads and writes the nodes of one neuron.

    Attributes:
        kinds: types of its nodes.
        read: adds the neurons of a node to a conversion.
        write: torch neurons → their node, and the factor by which it multiplies its current.
        contains_synapse: whether a node of it can contain a synapse.
    """

    kinds: tuple[str, ...]
    read: Callable[[ConversionState, Node], None]
    write: Callable[[Any, NodeTarget], tuple[nir.NIRNode, Numbers]]
    contains_synapse: bool


def codecs() -> dict[str, NodeCodec]:
    """By the name of the registered neuron."""
    return {name: entry.load("nir") for name, entry in NEURONS.items() if "nir" in entry.executors}


def firing_kinds() -> set[str]:
    """Types of nodes that fire."""
    return {kind for codec in codecs().values() for kind in codec.kinds}
