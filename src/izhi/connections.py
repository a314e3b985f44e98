"""Connections between layers, and delays: what ``izhi.network.connections`` holds."""

from izhi.network.connections import *  # noqa: F403
from izhi.network.connections import __all__ as __all__

__dir__ = __all__.copy
