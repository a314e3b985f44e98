"""Lines along which spikes travel for some steps before they arrive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Integers


class DelayBuffer:
    """Spikes of each source arrive some steps later: y_i[t] = x_i[t − delay_i], and 0 before.

    Args:
        delay: in steps, of each source.
        steps: of a run; what would arrive behind its end is lost.
        batch: samples.
    """

    def __init__(self, delay: Integers, steps: int, batch: int) -> None:
        self._delay, self._sources = delay, np.arange(len(delay))
        self._slots = np.zeros((min(int(delay.max()) + 1, steps), batch, len(delay)), np.uint8)
        self._step = 0

    def arriving(self, x: NDArray[np.integer]) -> NDArray[np.uint8]:
        """What arrives in a step, (batch, sources), in which that comes in, of at most 255 each."""
        length = len(self._slots)
        self._slots[self._step % length] = x
        # Before its first spike a slot is empty, so that nothing arrives in the first steps.
        found: NDArray[np.uint8] = self._slots[(self._step - self._delay) % length, :, self._sources].T
        self._step += 1
        return np.where(self._delay < length, found, np.uint8(0))


__all__ = ["DelayBuffer"]
