"""Evolution by EvoTorch: draw a population, measure the losses (its fitness), update the search.

A search depends on its seed and its losses alone. A checkpoint therefore holds the losses: a resumed search receives
them again, and is in the same state.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from izhi.errors import CheckpointError, of_extra, unknown
from izhi.training.checkpoint import is_losses

#: Names of the searches: Separable Natural Evolution Strategies (Schaul et al. 2011), Covariance Matrix
#: Adaptation (Hansen 2001), and a genetic algorithm (tournaments, simulated binary crossover, mutation).
SEARCHES = ("snes", "cma-es", "ga")
#: Numbers up to which a covariance matrix is kept; above, CMA-ES keeps its diagonal alone.
LARGEST_COVARIANCE = 1000
#: Losses (P,) of a population (P, n) in a generation.
Measure = Callable[[Tensor, int], Tensor]


def _evotorch() -> tuple[Any, Any]:
    logger = logging.getLogger("evotorch")
    logger.setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="evotorch")
    with of_extra("evotorch", "evolve"):
        import evotorch.algorithms
        import evotorch.operators

        from izhi.training.evolution.problem import Problem
    logger.setLevel(logging.ERROR)  # It sets its own when it is imported.
    return evotorch, Problem


class Search:
    """A search for n numbers of small loss, which begins at 0.

    Args:
        name: one of ``SEARCHES``.
        size: n.
        members: P, the size of the population.
        spread: initial standard deviation of the population.
        seed: of all that is drawn.
        measure: losses of a population in a generation; pickled for actors.
        actors: processes or machines of a Ray cluster among which a population is divided; 0 for none.
        noisy: whether a loss depends on the generation as well, as on a batch of samples; parents of the
            genetic algorithm are then measured anew.

    Raises:
        SettingError: for an unknown search, or if EvoTorch is not installed.
    """

    def __init__(
        self, name: str, size: int, *, members: int, spread: float, seed: int, measure: Measure,
        actors: int = 0, noisy: bool = False,
    ) -> None:  # fmt: skip
        if name not in SEARCHES:
            raise unknown("search", name, SEARCHES)
        evotorch, problem_type = _evotorch()
        self._problem = problem = problem_type(measure, size=size, spread=spread, seed=seed, actors=actors)
        algorithms, operators = evotorch.algorithms, evotorch.operators
        self._is_genetic = name == "ga"
        start = torch.zeros(size)
        if name == "snes":
            self._search = algorithms.SNES(problem, stdev_init=spread, popsize=members, center_init=start)
        elif name == "cma-es":
            self._search = algorithms.CMAES(
                problem, stdev_init=spread, popsize=members, center_init=start, separable=size > LARGEST_COVARIANCE
            )
        else:
            self._search = algorithms.GeneticAlgorithm(
                problem, popsize=members, re_evaluate=noisy,
                operators=[
                    operators.SimulatedBinaryCrossOver(problem, tournament_size=4, eta=8.0),
                    operators.GaussianMutation(problem, stdev=spread / 4),
                ],
            )  # fmt: skip

    @property
    def losses(self) -> list[Tensor]:
        """The losses of every population so far, from which ``replay`` restores the state of the search."""
        return self._problem.losses  # type: ignore[no-any-return]

    def step(self) -> Tensor:
        """One generation: losses of all that were measured, (P,), or (2P,) with parents."""
        self._problem.generation += 1
        before = len(self.losses)
        self._search.step()
        return torch.cat(self.losses[before:])

    @property
    def best(self) -> Tensor:
        """The result so far, (n,): the centre of the search, or the best member of a genetic population."""
        if self._is_genetic:
            population = self._search.population
            best = int(population.evals[:, 0].argmin())
            return population.values[best].as_subclass(Tensor).clone()  # type: ignore[no-any-return]
        center: Tensor = self._search.status["center"].as_subclass(Tensor).clone()
        return center

    def replay(self, losses: Sequence[Tensor], generations: int) -> None:
        """Repeat generations with known losses, without measuring.

        Raises:
            CheckpointError: for losses of another number of generations, or values that are no losses.
        """
        if not is_losses(losses):
            raise CheckpointError("its losses are not lists of finite numbers, one for each population; start anew")
        self._problem.replayed.extend(losses)
        done = 0
        try:
            while self._problem.replayed and done < generations:
                self.step()
                done += 1
        except (ValueError, RuntimeError) as error:  # of evotorch, for losses of more or fewer members
            raise CheckpointError(f"its losses are not those of this population ({error}); start anew") from None
        if self._problem.replayed or done < generations or len(self.losses) != len(losses):
            raise CheckpointError(
                f"the search was told {len(losses)} populations, expected those of {generations}"
                " generations; start anew"
            )
