"""Searches by evolution on devices, by name: NumPy's, and those of torch with a NumPy interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from izhi.hardware.devices import evolution as on_devices
from izhi.hardware.devices.evolution import Measure, SearchFactory
from izhi.training import evolution

Floats = NDArray[np.float64]


class TorchSearch:
    """A search of ``izhi.training.evolution`` over arrays; see ``izhi.hardware.devices.evolution.Searching``."""

    def __init__(
        self, name: str, size: int, *, members: int, spread: float, seed: int, measure: Measure, noisy: bool
    ) -> None:
        def in_torch(x: Tensor, generation: int) -> Tensor:
            return torch.from_numpy(measure(x.double().numpy(), generation))

        self._search = evolution.Search(
            name, size, members=members, spread=spread, seed=seed, measure=in_torch, noisy=noisy
        )

    @property
    def losses(self) -> list[Floats]:
        """Losses of every population so far."""
        return [x.double().numpy() for x in self._search.losses]

    @property
    def found(self) -> Floats:
        """The current point of the search, (n,)."""
        found: Floats = self._search.best.double().numpy()
        return found

    def step(self) -> Floats:
        """One generation; the losses of its members."""
        losses: Floats = self._search.step().double().numpy()
        return losses

    def replay(self, losses: Sequence[Floats], generations: int) -> None:
        """Restore the state after so many generations with these losses."""
        told = [torch.from_numpy(np.asarray(x, np.float32)) for x in losses]
        self._search.replay(told, generations)


#: Every search by its name.
SEARCHES: Mapping[str, SearchFactory] = {
    **on_devices.SEARCHES,
    **{name: partial(TorchSearch, name) for name in evolution.SEARCHES},
}
