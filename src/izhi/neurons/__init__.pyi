from .izhikevich import Izhikevich as Izhikevich, IzhikevichState as IzhikevichState
from .lif import LIF as LIF, RESETS as RESETS, LIFState as LIFState
from .mixture import Mixture as Mixture
from .neuron import Neuron as Neuron, NeuronCoefficients as NeuronCoefficients, NeuronState as NeuronState
from .parameters import (
    CELLS_2007 as CELLS_2007,
    COEFFICIENTS as COEFFICIENTS,
    LEARNABLE as LEARNABLE,
    ORDERS as ORDERS,
    CapacitanceForm as CapacitanceForm,
    EventOrder as EventOrder,
    IzhikevichParameters as IzhikevichParameters,
    biological as biological,
    normalize as normalize,
)
from .patterns import PATTERNS as PATTERNS, FiringPattern as FiringPattern
from .presets import PRESETS as PRESETS, preset as preset
