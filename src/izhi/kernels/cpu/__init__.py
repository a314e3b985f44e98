"""Kernels for CPUs, compiled by Numba at their first call and cached on disk."""

from izhi.kernels.cpu.frames import frames
from izhi.kernels.cpu.rate import rate
from izhi.kernels.cpu.recurrence import backward, backward_fed_back, feeds_back, forward, forward_fed_back

__all__ = ["backward", "backward_fed_back", "feeds_back", "forward", "forward_fed_back", "frames", "rate"]
