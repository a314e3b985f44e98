from .izhikevich import Izhikevich as Izhikevich, IzhikevichState as IzhikevichState
from .lif import LIF as LIF, LIFState as LIFState
from .neuron import Neuron as Neuron, NeuronCoefficients as NeuronCoefficients, NeuronState as NeuronState
from .state import detach as detach
