from .izhikevich import Izhikevich as Izhikevich, IzhikevichState as IzhikevichState
from .lif import LIF as LIF, RESETS as RESETS, LIFState as LIFState
from .mixture import Mixture as Mixture
from .neuron import Neuron as Neuron, NeuronCoefficients as NeuronCoefficients, NeuronState as NeuronState
