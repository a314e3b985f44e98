"""Kernels for GPUs, in Triton; its interpreter runs them on a CPU for tests (TRITON_INTERPRET=1)."""

from izhi.kernels.cuda.events import BITS
from izhi.kernels.cuda.rate import rate
from izhi.kernels.cuda.recurrence import backward, feedback, forward
from izhi.kernels.cuda.scalars import is_interpreted
from izhi.kernels.cuda.weighted import layer

COMPILER, TAKES_FACTORS = "Triton", False

__all__ = ["BITS", "COMPILER", "TAKES_FACTORS", "backward", "feedback", "forward", "is_interpreted", "layer", "rate"]
