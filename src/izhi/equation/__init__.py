"""A neuron's time step as one function: recorded, differentiated, rounded, and written for every compiler."""

from izhi.equation.derivative import gradients
from izhi.equation.equation import Equation, Input, Names
from izhi.equation.fixed_point import Format, fixed_point_step
from izhi.equation.graph import Graph, Node
from izhi.equation.izhikevich import izhikevich
from izhi.equation.lif import lif

__all__ = [
    "Equation",
    "Format",
    "Graph",
    "Input",
    "Names",
    "Node",
    "fixed_point_step",
    "gradients",
    "izhikevich",
    "lif",
]
