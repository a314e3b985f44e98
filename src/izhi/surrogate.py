"""Surrogate derivatives of the spike: what ``izhi.neurons.surrogate`` holds."""

from izhi.neurons.surrogate import *  # noqa: F403
from izhi.neurons.surrogate import __all__ as __all__

__dir__ = __all__.copy
