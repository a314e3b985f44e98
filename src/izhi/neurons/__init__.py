"""Neurons: the quadratic Izhikevich module with its presets, and LIF as the yardstick."""

from izhi.kernels.plan import EventOrder
from izhi.neurons.izhikevich import LEARNABLE, Izhikevich, IzhikevichState
from izhi.neurons.lif import LIF, RESETS, LIFState
from izhi.neurons.mixture import Mixture
from izhi.neurons.neuron import Neuron, NeuronCoefficients, NeuronState
from izhi.neurons.parameters import (
    CELLS_2007,
    COEFFICIENTS,
    ORDERS,
    CapacitanceForm,
    IzhikevichParameters,
    biological,
    normalize,
)
from izhi.neurons.patterns import PATTERNS, FiringPattern
from izhi.neurons.presets import PRESETS, preset

__all__ = [
    "CELLS_2007",
    "COEFFICIENTS",
    "LEARNABLE",
    "LIF",
    "ORDERS",
    "PATTERNS",
    "PRESETS",
    "RESETS",
    "CapacitanceForm",
    "EventOrder",
    "FiringPattern",
    "Izhikevich",
    "IzhikevichParameters",
    "IzhikevichState",
    "LIFState",
    "Mixture",
    "Neuron",
    "NeuronCoefficients",
    "NeuronState",
    "biological",
    "normalize",
    "preset",
]
