"""Networks: connections, synapses and delays between layers of neurons, and encoders of samples."""

from izhi.network.layers import Layer, LayerState
from izhi.network.network import Network, NetworkOutput, NetworkState, Recording
from izhi.network.normalization import BatchNorm
from izhi.network.sequence import Residual
from izhi.network.traversal import first_nonfinite

__all__ = [
    "BatchNorm", "Layer", "LayerState", "Network", "NetworkOutput", "NetworkState", "Recording", "Residual",
    "first_nonfinite",
]  # fmt: skip

__dir__ = __all__.copy
