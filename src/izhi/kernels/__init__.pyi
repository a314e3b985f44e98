from .cpu import frames as frames
from .delay import delayed as delayed
from .delay import delayed_product as delayed_product
from .dispatch import KERNELS as KERNELS
from .dispatch import izhikevich as izhikevich
from .dispatch import izhikevich_step as izhikevich_step
from .dispatch import lif as lif
from .dispatch import rate as rate
from .dispatch import rate_packed as rate_packed
from .drive import (
    Coefficients as Coefficients,
)
from .drive import (
    Drive as Drive,
)
from .drive import (
    IzhikevichSettings as IzhikevichSettings,
)
from .drive import (
    LIFCoefficients as LIFCoefficients,
)
from .drive import (
    LIFSettings as LIFSettings,
)
from .drive import (
    Memory as Memory,
)
from .drive import (
    QuantizedLIFCoefficients as QuantizedLIFCoefficients,
)
from .drive import (
    SpikeGradient as SpikeGradient,
)
from .drive import (
    Synapse as Synapse,
)
from .packed import PackedSpikes as PackedSpikes
from .packed import Spikes as Spikes
from .packed import product as product
from .plan import EventOrder as EventOrder
