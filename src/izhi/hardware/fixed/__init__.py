"""The network in plain integers: the specification of the hardware, readable, in numpy alone."""

from izhi.hardware.fixed.arithmetic import FixedPoint, rounded_shift, saturated
from izhi.hardware.fixed.bounds import check_bounds
from izhi.hardware.fixed.execution import run_compiled
from izhi.hardware.fixed.network import (
    IntegerLayer,
    IntegerMembrane,
    IntegerNetwork,
    IntegerReadout,
    IntegerSynapse,
    IntegerTrace,
    Outcome,
    Reading,
    run,
)
from izhi.hardware.fixed.neuron import (
    NEURONS,
    IntegerNeuron,
    IzhikevichNeuron,
    LIFNeuron,
    NeuronFormats,
    SoftLIFNeuron,
    ValueLIFNeuron,
    ZeroingLIFNeuron,
)
from izhi.hardware.fixed.window import Pool, Window

__all__ = [
    "NEURONS", "FixedPoint", "IntegerLayer", "IntegerMembrane", "IntegerNetwork", "IntegerNeuron", "IntegerReadout",
    "IntegerSynapse", "IntegerTrace", "IzhikevichNeuron", "LIFNeuron", "NeuronFormats", "Outcome", "Pool", "Reading",
    "SoftLIFNeuron", "ValueLIFNeuron", "Window", "ZeroingLIFNeuron", "check_bounds", "rounded_shift", "run",
    "run_compiled", "saturated",
]  # fmt: skip
