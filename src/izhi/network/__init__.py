"""Networks: connections, synapses and delays between layers of neurons, and encoders of samples."""

from izhi.network.layers import Layer, LayerState, Network, NetworkOutput, first_nonfinite

__all__ = ["Layer", "LayerState", "Network", "NetworkOutput", "first_nonfinite"]
