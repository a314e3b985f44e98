"""Networks and neurons as plain values, without torch: their shapes, counts and memory, and the registry of neurons."""

# ruff: noqa: F403
# LIF is registered first, and so is the first neuron of lists.
from izhi.spec.lif import *

# isort: split
from izhi.spec.connection import *
from izhi.spec.custom import *
from izhi.spec.distribution import *
from izhi.spec.encoder import *
from izhi.spec.izhikevich import *
from izhi.spec.modules import *
from izhi.spec.network import *
from izhi.spec.neuron import *
from izhi.spec.parameters import *
from izhi.spec.presets import *
from izhi.spec.tables import *
