"""Layers of Izhikevich neurons in integers, of every event order and reset, with coefficients of each neuron."""

import itertools

import numpy as np
import torch

import izhi
from izhi.hardware import fixed
from izhi.hardware.fixed import FixedPoint
from izhi.kernels import SynapticInput
from izhi.quantization import QuantizedNeuron, StateFormats

#: Order, reset, and whether v keeps its limits in integers.
EQUATIONS = list(itertools.product(izhi.ORDERS, ("value", "subtract", "none", "smooth"), (False, True)))
Q = FixedPoint(12, 8)


def neurons(order, reset, limited, preset="biological", kernel="reference", width=16, fraction=14, count=5):
    """Quantised neurons, whose coefficients differ; limits of v lie within their formats."""
    parameters = izhi.preset(preset).replace(order=order, reset=reset, q_damping=0.02)
    names = [x for x in parameters.coefficients if x not in parameters.unused]
    neuron = izhi.Izhikevich(parameters, learn=names, parameter_shape=count, spread=0.05, kernel=kernel)
    before = 10 if parameters.unit == "mV" else 3  # bits before the point
    v, u = FixedPoint(width, max(width - before, 0)), FixedPoint(width, max(width - before + 1, 0))
    others = (Q,) if reset == "smooth" else ()
    return QuantizedNeuron(neuron, StateFormats(v, u, fraction, None, others, limited))


def drive_of(total, neuron, gain=0.5):
    """A synaptic input that makes neurons fire, from sums of integers (T, B, N)."""
    scale = 0.15 if neuron.unit_of_v == "mV" else 0.5  # of weighted spikes, of which 1 is 200 mV/ms
    bias = torch.linspace(-0.1, 0.6, total.shape[2]) * scale
    return SynapticInput(torch.from_numpy(total).float(), gain=torch.tensor([gain * scale / 16]), bias=bias)


def layer_of(neuron, weight, bits=6):
    """The layer of the integer model of neurons with such weights (N, inputs)."""
    integers, multiplier, shift = neuron.in_integers(drive_of(np.zeros((1, 1, len(weight))), neuron))
    return fixed.IntegerLayer(weight, bits, multiplier, shift, neuron.formats.v, integers)


def network_of(equations, random, preset="biological", count=6):
    """A layer of each equation, one behind the other."""
    layers = []
    for order, reset, limited in equations:
        neuron = neurons(order, reset, limited, preset, count=count)
        layers.append(layer_of(neuron, random.integers(-20, 32, (count, count))))
    return fixed.IntegerNetwork(tuple(layers))
