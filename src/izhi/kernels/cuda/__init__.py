"""Kernels for GPUs, in Triton; its interpreter runs them on a CPU for tests (TRITON_INTERPRET=1)."""

from izhi.kernels.cuda.rate import rate
from izhi.kernels.cuda.recurrence import backward, feedback, forward, is_interpreted, layer

COMPILER, TAKES_FACTORS = "Triton", False

__all__ = ["COMPILER", "TAKES_FACTORS", "backward", "feedback", "forward", "is_interpreted", "layer", "rate"]
