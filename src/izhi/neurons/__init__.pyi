from .izhikevich import Izhikevich as Izhikevich
from .izhikevich import IzhikevichState as IzhikevichState
from .lif import LIF as LIF
from .lif import RESETS as RESETS
from .lif import LIFState as LIFState
from .mixture import Mixture as Mixture
from .neuron import Neuron as Neuron
from .neuron import NeuronCoefficients as NeuronCoefficients
from .neuron import NeuronState as NeuronState
from .parameters import (
    CELLS_2007 as CELLS_2007,
)
from .parameters import (
    COEFFICIENTS as COEFFICIENTS,
)
from .parameters import (
    LEARNABLE as LEARNABLE,
)
from .parameters import (
    ORDERS as ORDERS,
)
from .parameters import (
    CapacitanceForm as CapacitanceForm,
)
from .parameters import (
    EventOrder as EventOrder,
)
from .parameters import (
    IzhikevichParameters as IzhikevichParameters,
)
from .parameters import (
    biological as biological,
)
from .parameters import (
    normalize as normalize,
)
from .patterns import PATTERNS as PATTERNS
from .patterns import FiringPattern as FiringPattern
from .presets import PRESETS as PRESETS
from .presets import preset as preset
