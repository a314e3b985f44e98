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
    """Context in which the neurons of a layer are written."""

    library: Library  #: that is to read the file
    dt: float  #: seconds of a time step
    label: str  #: of the layer, for messages
    features: Shape  #: of its neurons
    decay: float | None  #: of a synapse that the node is to contain; None for none

    def spread(self, value: Tensor | float) -> Numbers:
        """A coefficient of each neuron."""
        return np.array(np.broadcast_to(as_numbers(value), self.features))


class NodeCodec(NamedTuple):
    """Reads and writes the nodes of one neuron."""

    kinds: tuple[str, ...]  #: types of its nodes
    read: Callable[[ConversionState, Node], None]  #: adds the neurons of a node to a conversion
    #: torch neurons → their node, and the factor by which it multiplies its current
    write: Callable[[Any, NodeTarget], tuple[nir.NIRNode, Numbers]]
    contains_synapse: bool  #: whether a node of it can contain a synapse


def codecs() -> dict[str, NodeCodec]:
    """By the name of the registered neuron."""
    return {name: entry.load("nir") for name, entry in NEURONS.items() if "nir" in entry.executors}


def firing_kinds() -> set[str]:
    """Types of nodes that fire."""
    return {kind for codec in codecs().values() for kind in codec.kinds}
