"""Kernels for GPUs, in Triton; its interpreter runs them on a CPU for tests (TRITON_INTERPRET=1)."""

from izhi.kernels.cuda.rate import rate
from izhi.kernels.cuda.recurrence import backward, feedback, forward, is_interpreted

COMPILER = "Triton"

__all__ = ["COMPILER", "backward", "feedback", "forward", "is_interpreted", "rate"]
