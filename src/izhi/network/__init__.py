"""Networks: connections, synapses and delays between layers of neurons, and encoders of samples."""

from izhi.network.layers import Layer, LayerState, Network, NetworkOutput, Residual, first_nonfinite
from izhi.network.normalization import BatchNorm

__all__ = ["BatchNorm", "Layer", "LayerState", "Network", "NetworkOutput", "Residual", "first_nonfinite"]
