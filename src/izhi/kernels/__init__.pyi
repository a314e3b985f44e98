from . import routes as routes
from .convolution import convolve as convolve
from .cpu import bin_events as bin_events
from .cpu.arena import release_memory as release_memory
from .delay import delayed as delayed, delayed_product as delayed_product
from .dispatch import (
    KERNELS as KERNELS,
    rate as rate,
    rate_packed as rate_packed,
    run as run,
    step as step,
    trace as trace,
)
from .dropout import drop as drop
from .packed import (
    PackedSpikes as PackedSpikes,
    Spikes as Spikes,
    is_repeated as is_repeated,
    once as once,
    spikes_of_neurons as spikes_of_neurons,
)
from .pooling import pool as pool, pool_bits as pool_bits
from .products import (
    AnyInput as AnyInput,
    SpikeProduct as SpikeProduct,
    WeightedSpikes as WeightedSpikes,
    product as product,
)
from .routes import takes_bits as takes_bits
from .synaptic_input import (
    Memory as Memory,
    SpikeGradient as SpikeGradient,
    StepSettings as StepSettings,
    Synapse as Synapse,
    SynapticInput as SynapticInput,
)
