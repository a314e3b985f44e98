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
#: Loss in place of one that is not finite.
WORST = 1e9


class Problem(evotorch.Problem):  # type: ignore[misc]
    """Measures populations in this process or in those of a Ray cluster.

    Args:
        measure: population → losses; pickled for other processes.
        size: n.
        spread: standard deviation of an initial population.
        seed: of EvoTorch's draws.
        actors: number of other processes; 0 for this process.

    Attributes:
        losses: of all populations so far.
        replayed: losses that replace measurements, in their order.
    """

    def __init__(self, measure: Measure, *, size: int, spread: float, seed: int, actors: int) -> None:
        bound = 3**0.5 * spread
        super().__init__(
            "min", solution_length=size, initial_bounds=(-bound, bound), dtype=torch.float32,
            device="cpu", seed=seed, num_actors=actors or None,
        )  # fmt: skip
        self.measure, self.generation = measure, 0
        self.losses: list[Tensor] = []
        self.replayed: deque[Tensor] = deque()

    def seed(self, seed: int) -> None:
        """Called by EvoTorch's actors."""
        self.manual_seed(seed)

    def evaluate(self, x: Any) -> None:
        if not self.is_main:  # in an actor
            super().evaluate(x)
            return
        self._parallelize()  # It draws seeds, also for replayed losses.
        if self.replayed:
            x.set_evals(self.replayed.popleft())
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
