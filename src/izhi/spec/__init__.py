"""Networks and neurons as plain values, without torch: their shapes, counts and memory, and the registry of neurons."""

from izhi.spec.connection import (
    CONNECTIONS,
    ConductanceSpec,
    ConnectionSpec,
    ConvolutionSpec,
    DelaySpec,
    LinearSpec,
    NormSpec,
    SynapseSpec,
)
from izhi.spec.lif import RESETS, LIFSpec, ResetMode

# isort: split
# LIF is registered first, and so is the first neuron of lists.
from izhi.spec.izhikevich import IzhikevichSpec, MixtureSpec
from izhi.spec.network import (
    FlattenSpec,
    IdentitySpec,
    LayerSpec,
    ModuleSpec,
    NetworkSpec,
    PoolSpec,
    ResidualSpec,
    UnflattenSpec,
)
from izhi.spec.neuron import (
    NEURONS,
    Coefficient,
    NeuronEntry,
    NeuronSpec,
    Shape,
    SurrogateSpec,
    Table,
    entry_of,
    entry_of_preset,
    neuron_spec,
    preset_names,
    register,
)
from izhi.spec.parameters import (
    CELLS_2007,
    COEFFICIENTS,
    LEARNABLE,
    ORDERS,
    CapacitanceForm,
    EventOrder,
    IzhikevichParameters,
    biological,
    normalize,
)
from izhi.spec.patterns import PATTERNS, FiringPattern
from izhi.spec.presets import PRESETS, preset

__all__ = [
    "CELLS_2007",
    "COEFFICIENTS",
    "CONNECTIONS",
    "LEARNABLE",
    "NEURONS",
    "ORDERS",
    "PATTERNS",
    "PRESETS",
    "RESETS",
    "CapacitanceForm",
    "Coefficient",
    "ConductanceSpec",
    "ConnectionSpec",
    "ConvolutionSpec",
    "DelaySpec",
    "EventOrder",
    "FiringPattern",
    "FlattenSpec",
    "IdentitySpec",
    "IzhikevichParameters",
    "IzhikevichSpec",
    "LIFSpec",
    "LayerSpec",
    "LinearSpec",
    "MixtureSpec",
    "ModuleSpec",
    "NetworkSpec",
    "NeuronEntry",
    "NeuronSpec",
    "NormSpec",
    "PoolSpec",
    "ResetMode",
    "ResidualSpec",
    "Shape",
    "SurrogateSpec",
    "SynapseSpec",
    "Table",
    "UnflattenSpec",
    "biological",
    "entry_of",
    "entry_of_preset",
    "neuron_spec",
    "normalize",
    "preset",
    "preset_names",
    "register",
]
