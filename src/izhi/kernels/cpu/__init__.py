"""Kernels for CPUs, compiled by Numba at their first call and cached on disk."""

import torch

from izhi.kernels.cpu import bits, event_tiles, events, matrix_unit, weighted
from izhi.kernels.cpu.event_binning import bin_events
from izhi.kernels.cpu.rate import rate
from izhi.kernels.cpu.recurrence import backward, feedback, forward
from izhi.kernels.plan import BitKernels, LayerKernels, Plan, ProductKernels

COMPILER, TAKES_FACTORS = "Numba", True
BITS = BitKernels(
    bits.packed_nonzero, bits.dense, bits.counted, events.listed,
    ProductKernels(event_tiles.product, event_tiles.weight_gradient),
)  # fmt: skip
_LAYER = LayerKernels(weighted.forward, weighted.backward, weighted.in_order)


def layer(plan: Plan) -> LayerKernels | None:
    """Kernels that take the product in front of the neurons too: in bfloat16 where that has products of tiles."""
    by_tiles = plan.dtype == torch.bfloat16 and matrix_unit.has_bf16_dot() and not plan.quantized
    return _LAYER if (plan.dtype == torch.float32 or by_tiles) and not plan.coupled else None


__all__ = ["BITS", "COMPILER", "TAKES_FACTORS", "backward", "bin_events", "feedback", "forward", "layer", "rate"]
