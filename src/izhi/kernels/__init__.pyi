from . import routes as routes
from .cpu import bin_events as bin_events
from .delay import delayed as delayed, delayed_product as delayed_product
from .dispatch import (
    KERNELS as KERNELS,
    izhikevich as izhikevich,
    izhikevich_step as izhikevich_step,
    lif as lif,
    rate as rate,
    rate_packed as rate_packed,
    trace as trace,
)
from .packed import (
    PackedSpikes as PackedSpikes,
    Spikes as Spikes,
    is_repeated as is_repeated,
    once as once,
    spikes_of_neurons as spikes_of_neurons,
)
from .pooling import pool as pool
from .products import (
    AnyInput as AnyInput,
    WeightedSpikes as WeightedSpikes,
    note_convolution as note_convolution,
    product as product,
)
from .routes import takes_bits as takes_bits
from .synaptic_input import (
    Coefficients as Coefficients,
    IzhikevichSettings as IzhikevichSettings,
    LIFCoefficients as LIFCoefficients,
    LIFSettings as LIFSettings,
    Memory as Memory,
    QuantizedLIFCoefficients as QuantizedLIFCoefficients,
    QuantizedValueLIFCoefficients as QuantizedValueLIFCoefficients,
    SpikeGradient as SpikeGradient,
    Synapse as Synapse,
    SynapticInput as SynapticInput,
    ValueLIFCoefficients as ValueLIFCoefficients,
)
