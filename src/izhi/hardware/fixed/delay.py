"""A buffer of spikes that arrive some steps later."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.fixed.arithmetic import Integers


class DelayBuffer:
    """Spikes of each source arrive some steps later: y_i[t] = x_i[t − delay_i], and 0 before.

    Args:
        delay: in steps, of each source.
        steps: of a run; spikes that would arrive after its end are dropped.
        batch: samples.
    """

    def __init__(self, delay: Integers, steps: int, batch: int) -> None:
        self._delay, self._sources = delay, np.arange(len(delay))
        self._slots = np.zeros((min(int(delay.max()) + 1, steps), batch, len(delay)), np.uint8)
        self._step = 0

    def arriving(self, x: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Spikes (batch, sources) that arrive in the step in which ``x`` enters, of at most 255 each."""
        length = len(self._slots)
        self._slots[self._step % length] = x
        # Slots are 0 before their first spikes, so that no spike arrives in the first steps.
        delayed: NDArray[np.uint8] = self._slots[(self._step - self._delay) % length, :, self._sources].T
        self._step += 1
        return np.where(self._delay < length, delayed, np.uint8(0))
