"""Networks: connections, synapses and delays between layers of neurons, and encoders of samples."""

from izhi.network.balanced import resonators
from izhi.network.layers import BatchNorm, Layer, LayerState
from izhi.network.network import Network, NetworkOutput, NetworkState, Recording, first_nonfinite
from izhi.network.sequence import Residual

__all__ = [
    "BatchNorm", "Layer", "LayerState", "Network", "NetworkOutput", "NetworkState", "Recording", "Residual",
    "first_nonfinite", "resonators",
]  # fmt: skip

__dir__ = __all__.copy
