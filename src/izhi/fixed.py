"""The network in plain integers: what ``izhi.hardware.fixed`` holds."""

from izhi.deprecation import renamed_names as _renamed_names
from izhi.hardware.fixed import *  # noqa: F403
from izhi.hardware.fixed import __all__ as __all__

_INTEGER = ("Layer", "Network", "Neuron", "Readout", "Synapse", "Trace")
__getattr__ = _renamed_names(__name__, {"Formats": "NeuronFormats", **{name: f"Integer{name}" for name in _INTEGER}})
__dir__ = __all__.copy
