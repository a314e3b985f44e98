"""A neuron's time step as one function: recorded, differentiated, rounded, and written for every compiler."""

from izhi.equation.custom import NeuronModel, equation_of, model_of, neuron
from izhi.equation.derivative import gradients
from izhi.equation.equation import Equation, Input, Names
from izhi.equation.graph import StepGraph, Symbol
from izhi.equation.izhikevich import izhikevich
from izhi.equation.lif import lif
from izhi.equation.words import absolute, bounded, clip, exp, hold, select, spike

__all__ = [
    "Equation",
    "Input",
    "Names",
    "NeuronModel",
    "StepGraph",
    "Symbol",
    "absolute",
    "bounded",
    "clip",
    "equation_of",
    "exp",
    "gradients",
    "hold",
    "izhikevich",
    "lif",
    "model_of",
    "neuron",
    "select",
    "spike",
]
