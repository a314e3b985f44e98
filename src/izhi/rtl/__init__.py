"""An event-driven core for networks in integers, in Amaranth, and its simulation."""

from izhi.rtl.core import Core
from izhi.rtl.decoder import Error, Opcode
from izhi.rtl.shape import CoreShape, LayerShape, ReadoutShape, shape_of
from izhi.rtl.simulator import SimulatedCore, SimulatorError

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
