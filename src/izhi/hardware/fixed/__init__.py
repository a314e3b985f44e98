"""The network in plain integers: the specification of the hardware, readable, in numpy alone."""

from izhi.hardware.fixed.arithmetic import FixedPoint, rounded_shift, saturated
from izhi.hardware.fixed.bounds import check_bounds
from izhi.hardware.fixed.network import Layer, Network, Outcome, Readout, Synapse, Trace, run
from izhi.hardware.fixed.neuron import (
    NEURONS,
    Formats,
    IzhikevichNeuron,
    LIFNeuron,
    Neuron,
    SoftLIFNeuron,
    ValueLIFNeuron,
    ZeroingLIFNeuron,
)
from izhi.hardware.fixed.quick import run_compiled
from izhi.hardware.fixed.window import Pool, Window

__all__ = [
    "NEURONS",
    "FixedPoint",
    "Formats",
    "IzhikevichNeuron",
    "LIFNeuron",
    "Layer",
    "Network",
    "Neuron",
    "Outcome",
    "Pool",
    "Readout",
    "SoftLIFNeuron",
    "Synapse",
    "Trace",
    "ValueLIFNeuron",
    "Window",
    "ZeroingLIFNeuron",
    "check_bounds",
    "rounded_shift",
    "run",
    "run_compiled",
    "saturated",
]
