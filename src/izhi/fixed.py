"""The network in plain integers: what ``izhi.hardware.fixed`` holds."""

from izhi.deprecation import renamed_names
from izhi.hardware.fixed import *  # noqa: F403

_INTEGER = ("Layer", "Network", "Neuron", "Readout", "Synapse", "Trace")
__getattr__ = renamed_names(__name__, {"Formats": "NeuronFormats", **{name: f"Integer{name}" for name in _INTEGER}})
