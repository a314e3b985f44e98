"""An event-driven core for networks in integers, in Amaranth, and its simulation."""

from izhi.errors import SimulatorError
from izhi.rtl.core import Core
from izhi.rtl.protocol import Error, Opcode
from izhi.rtl.shape import CoreShape, LayerShape, ReadoutShape, shape_of
from izhi.rtl.simulator import SimulatedCore

__all__ = [
    "Core",
    "CoreShape",
    "Error",
    "LayerShape",
    "Opcode",
    "ReadoutShape",
    "SimulatedCore",
    "SimulatorError",
    "shape_of",
]
