"""Kernels for CPUs, compiled by Numba at their first call and cached on disk."""

from izhi.kernels.cpu import bits, event_tiles, events, samples, weighted, weighted_backward
from izhi.kernels.cpu.delay import DELAYS
from izhi.kernels.cpu.event_binning import bin_events
from izhi.kernels.cpu.pool import POOLS
from izhi.kernels.cpu.rate import rate
from izhi.kernels.cpu.recurrence import backward, forward
from izhi.kernels.plan import BitKernels, LayerKernels, ProductKernels, SampleKernels

COMPILER, TAKES_FACTORS, LOADS_DECAY = "Numba", True, False
BITS = BitKernels(
    bits.packed_nonzero, bits.dense, bits.counted, events.listed, events.listed,
    ProductKernels(event_tiles.product, event_tiles.weight_gradient),
)  # fmt: skip
LAYER = LayerKernels(weighted.forward, weighted_backward.backward)
SAMPLES = SampleKernels(samples.forward, samples.backward)

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
    "bin_events",
    "forward",
    "rate",
]
