"""Time steps of neurons, synapses and delays: the reference in torch, fused kernels for CPUs and GPUs."""

import lazy_loader

from izhi.deprecation import renamed_names

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed_names(__name__, {"paths": "routes"}, _attribute)
