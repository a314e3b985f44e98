"""The network in plain integers: the specification of the hardware, readable, in numpy alone."""

from izhi.hardware.fixed.arithmetic import FixedPoint, rounded_shift, saturated
from izhi.hardware.fixed.network import Layer, Network, Outcome, Readout, Trace, run
from izhi.hardware.fixed.neuron import IzhikevichNeuron, LIFNeuron

__all__ = [
    "FixedPoint",
    "IzhikevichNeuron",
    "LIFNeuron",
    "Layer",
    "Network",
    "Outcome",
    "Readout",
    "Trace",
    "rounded_shift",
    "run",
    "saturated",
]
