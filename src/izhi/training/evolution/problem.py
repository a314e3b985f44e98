"""EvoTorch's problem: it measures the losses of populations, and keeps them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import evotorch
import torch
from torch import Tensor

#: Losses (P,) of a population (P, n) in a generation.
Measure = Callable[[Tensor, int], Tensor]
#: What a loss that is not finite counts as.
WORST = 1e9


class Problem(evotorch.Problem):  # type: ignore[misc]
    """Measures populations, here or in the processes of a Ray cluster.

    Args:
        measure: gives the losses; pickled for other processes.
        size: n.
        spread: standard deviation of an initial population.
        seed: of all that EvoTorch draws.
        actors: other processes; 0 to measure here.

    Attributes:
        losses: of all populations so far.
        told: losses that are taken from here, before anything is measured.
    """

    def __init__(self, measure: Measure, *, size: int, spread: float, seed: int, actors: int) -> None:
        bound = 3**0.5 * spread
        super().__init__(
            "min", solution_length=size, initial_bounds=(-bound, bound), dtype=torch.float32,
            device="cpu", seed=seed, num_actors=actors or None,
        )  # fmt: skip
        self.measure, self.generation = measure, 0
        self.losses: list[Tensor] = []
        self.told: deque[Tensor] = deque()

    def seed(self, seed: int) -> None:
        """What EvoTorch's actors call, and its problems lack."""
        self.manual_seed(seed)

    def evaluate(self, x: Any) -> None:
        if not self.is_main:  # in an actor, which measures and remembers nothing
            super().evaluate(x)
            return
        self._parallelize()  # It draws seeds, also where nothing is measured.
        if self.told:
            x.set_evals(self.told.popleft())
        else:
            super().evaluate(x)
        self.losses.append(x.evals[:, 0].as_subclass(Tensor).clone())

    def _evaluate_batch(self, batch: Any) -> None:
        losses = self.measure(batch.values.as_subclass(Tensor), self.generation).float()
        batch.set_evals(losses.nan_to_num(WORST, WORST, WORST).clamp(max=WORST))

    # EvoTorch sends this to its actors before every population.
    def _make_sync_data_for_actors(self) -> int:
        return self.generation

    def _use_sync_data_from_main(self, generation: int) -> None:
        self.generation = generation
