"""Izhi: spiking networks of Izhikevich neurons, from training to hardware."""

from izhi.errors import IzhiError
from izhi.neurons import (
    LIF,
    ORDERS,
    PATTERNS,
    PRESETS,
    Izhikevich,
    IzhikevichParameters,
    IzhikevichState,
    LIFState,
    biological,
    normalize,
    preset,
    surrogate,
)
from izhi.version import __version__

# After the neurons: kernels and neurons import parts of each other, neurons first.
from izhi import connections, encoding  # isort: skip

__all__ = [
    "LIF",
    "ORDERS",
    "PATTERNS",
    "PRESETS",
    "IzhiError",
    "Izhikevich",
    "IzhikevichParameters",
    "IzhikevichState",
    "LIFState",
    "__version__",
    "biological",
    "connections",
    "encoding",
    "normalize",
    "preset",
    "surrogate",
]
