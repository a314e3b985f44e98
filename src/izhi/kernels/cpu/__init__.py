"""Kernels for CPUs, compiled by Numba at their first call and cached on disk."""

from izhi.kernels.cpu.frames import frames
from izhi.kernels.cpu.rate import rate
from izhi.kernels.cpu.recurrence import backward, feedback, forward

COMPILER = "Numba"

__all__ = ["COMPILER", "backward", "feedback", "forward", "frames", "rate"]
