"""Kernels for CPUs, compiled by Numba at their first call and cached on disk."""

from izhi.kernels.cpu.frames import frames
from izhi.kernels.cpu.rate import rate
from izhi.kernels.cpu.recurrence import backward, feedback, forward

COMPILER, TAKES_FACTORS = "Numba", True

__all__ = ["COMPILER", "TAKES_FACTORS", "backward", "feedback", "forward", "frames", "rate"]
