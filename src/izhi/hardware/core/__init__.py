"""An event-driven core for networks in integers, in Amaranth, and its simulation.

What drivers need (shapes, packets, the protocol, the simulated core) does without Amaranth and yosys.
"""

from izhi.errors import SimulatorError
from izhi.hardware.core.chosen import shape_of
from izhi.hardware.core.fit import fitted, larger
from izhi.hardware.core.protocol import Error, Opcode
from izhi.hardware.core.shape import CoreShape, LayerShape, ReadoutShape
from izhi.hardware.core.simulated import SimulatedCore

__all__ = [
    "CoreShape", "Error", "LayerShape", "Opcode", "ReadoutShape", "SimulatedCore", "SimulatorError", "fitted",
    "larger", "shape_of",
]  # fmt: skip
