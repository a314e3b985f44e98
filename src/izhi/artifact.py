"""Trained networks in integers, one file each: what ``izhi.hardware.artifact`` holds."""

from izhi.hardware.artifact import *  # noqa: F403
from izhi.hardware.artifact import __all__ as __all__

__dir__ = __all__.copy
