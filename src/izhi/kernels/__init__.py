"""Time steps of neurons, synapses and delays: the reference in torch, fused kernels for CPUs and GPUs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
