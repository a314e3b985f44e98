"""A network in integers as a program in C99, for microcontrollers and whatever else a compiler knows."""

from izhi.hardware.c.network import CNetwork
from izhi.hardware.c.program import write

__all__ = ["CNetwork", "write"]
