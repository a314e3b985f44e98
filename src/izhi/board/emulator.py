"""The integer model as a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from izhi import fixed
from izhi.board.device import Counters, Device, with_weights
from izhi.fixed import Network, Outcome


def model() -> Callable[..., Outcome]:
    """The integer model's fast path, or the plain one where there is no Numba."""
    try:
        from izhi.fixed import fast
    except ImportError:
        return fixed.run
    return fast.run


class Emulator(Device):
    """``izhi.fixed`` behind the interface of a board."""

    name = "emulator"

    def __init__(self) -> None:
        self._run = model()
        self._counters = Counters(0, 0, 0)

    def _load(self, network: Network, steps: int) -> None:
        self.clear()

    def write_weights(self, layer: int, weight: NDArray[np.integer[Any]]) -> None:
        self._network = with_weights(self.network, layer, weight)

    def run(self, spikes: NDArray[np.integer[Any]], *, sends_spikes: bool = False) -> Outcome:
        found = self._run(self.network, spikes)
        had = self._counters
        self._counters = Counters(
            had.inferences + spikes.shape[1],
            had.events + int(spikes.sum(dtype=np.int64)),
            had.spikes + sum(int(s.sum(dtype=np.int64)) for s in found.spikes),
        )
        return found if sends_spikes else Outcome(found.scores, [])

    @property
    def counters(self) -> Counters:
        return self._counters

    def clear(self) -> None:
        self._counters = Counters(0, 0, 0)


__all__ = ["Emulator", "model"]
