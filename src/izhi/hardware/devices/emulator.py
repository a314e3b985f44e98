"""The integer model as a device."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from izhi.hardware.artifact import IntegerArtifact
from izhi.hardware.devices.device import Counters, Device
from izhi.hardware.fixed import IntegerNetwork, Outcome, run_compiled


class Emulator(Device[IntegerNetwork]):
    """``izhi.fixed`` behind the interface of a board."""

    name = "emulator"
    runs: ClassVar[str] = IntegerArtifact.about

    def __init__(self) -> None:
        self._counted = (0, 0, 0)

    def _load(self, network: IntegerNetwork, steps: int) -> None:
        self.clear()

    def write_weights(self, layer: int, weight: NDArray[np.integer]) -> None:
        self._network = self.network.with_weights(layer, weight)

    def run(self, inputs: NDArray[np.integer], *, sends_spikes: bool = False) -> Outcome:
        outcome = self.expected(inputs)
        inferences, events, spikes = self._counted
        self._counted = (
            inferences + inputs.shape[1],
            events + int(inputs.sum(dtype=np.int64)),
            spikes + sum(int(s.sum(dtype=np.int64)) for s in outcome.spikes),
        )
        return outcome if sends_spikes else Outcome(outcome.scores, [])

    def expected(self, inputs: NDArray[np.integer]) -> Outcome:
        return run_compiled(self.network, inputs)

    @property
    def counters(self) -> Counters:
        return Counters(*self._counted)

    def clear(self) -> None:
        self._counted = (0, 0, 0)
