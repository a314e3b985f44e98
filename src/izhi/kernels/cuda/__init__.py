"""Kernels for GPUs, in Triton; its interpreter runs them on a CPU for tests (TRITON_INTERPRET=1)."""

from izhi.kernels.cuda.delay import DELAYS
from izhi.kernels.cuda.events import BITS
from izhi.kernels.cuda.launch import is_interpreted
from izhi.kernels.cuda.pool import POOLS
from izhi.kernels.cuda.rate import rate
from izhi.kernels.cuda.recurrence import backward, forward
from izhi.kernels.cuda.samples import SAMPLES
from izhi.kernels.cuda.weighted import LAYER

COMPILER, TAKES_FACTORS, LOADS_DECAY = "Triton", False, True

__all__ = [
    "BITS",
    "COMPILER",
    "DELAYS",
    "LAYER",
    "LOADS_DECAY",
    "POOLS",
    "SAMPLES",
    "TAKES_FACTORS",
    "backward",
    "forward",
    "is_interpreted",
    "rate",
]
