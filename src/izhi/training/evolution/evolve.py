"""Training by evolution: in place of gradient steps, generations of a search over the network's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from izhi.data import NO_LABEL, AnySamples
from izhi.errors import CheckpointError, shown
from izhi.kernels import Spikes
from izhi.network import Network
from izhi.seeds import Purpose, derive_seed
from izhi.training.checkpoint import is_weights
from izhi.training.classifier import Classifier
from izhi.training.evaluation import Row
from izhi.training.evolution.population import Genome, Population
from izhi.training.evolution.search import Search
from izhi.training.trainer import Learner, Trainer


class Members(Protocol):
    """Runs the members of a population."""

    def outputs(self, spikes: Spikes, x: Tensor) -> Iterator[Tensor]:
        """Output (T, B, classes) of each member x (P, n) on spikes (T, B, inputs)."""
        ...


@dataclass(frozen=True)
class Evolution:
    """Training by a search, without gradients; an epoch is one generation.

    Attributes:
        search: one of ``SEARCHES``.
        members: population size.
        step_size: initial spread of the population, in units of 1/√inputs of a weight, a tenth of a
            coefficient's unit.
        searched: ``"weights"``, ``"neurons"`` (the coefficients that they learn), or ``"all"``.
        actors: processes of a Ray cluster that share a population; 0 for none.
        population: (network, genome, whether samples are constant) → the runner of all members.
    """

    search: str = "snes"
    members: int = 64
    step_size: float = 0.3
    searched: str = "all"
    actors: int = 0
    population: Callable[[Network, Genome, bool], Members] = Population

    def begin(
        self, trainer: Trainer, classifier: Classifier, samples: AnySamples,
        state: Mapping[str, Any] | None, epochs: int,
    ) -> tuple[Learner, nn.Module]:  # fmt: skip
        model = trainer.machine.setup(classifier)
        if state is None:
            return Generations(self, trainer, classifier, samples), model
        try:
            if not is_weights(state["start"]):
                raise ValueError(f"its first values are {shown(state['start'])}, expected tensors by name")
            learner = Generations(self, trainer, classifier, samples, state["start"])
            learner.resume(state["losses"], epochs)
        except (KeyError, TypeError, ValueError, RuntimeError, CheckpointError) as error:
            raise CheckpointError(f"it is of another search ({error})") from None
        return learner, model


@dataclass
class Measurement:
    """Losses of a population on the samples of a generation: its fitness.

    Every member of a generation sees the same samples, coded alike: all of them if the batch size allows,
    else as many, drawn anew for each generation.
    """

    trainer: Trainer
    classifier: Classifier
    samples: AnySamples
    members: Members

    @property
    def is_noisy(self) -> bool:
        """Whether a loss depends on the generation."""
        return len(self.samples) > self.trainer.batch_size or self.classifier.encoder.is_random

    def __call__(self, x: Tensor, generation: int) -> Tensor:
        """Losses (P,) of x (P, n)."""
        spikes, labels = self._samples(generation)
        loss = self.trainer.measure
        return torch.stack([loss(out, labels) for out in self.members.outputs(spikes, x)]).cpu()

    def one(self, x: Tensor, generation: int) -> tuple[float, float]:
        """Loss and accuracy of one member (n,)."""
        spikes, labels = self._samples(generation)
        loss = self.trainer.measure
        output = next(iter(self.members.outputs(spikes, x[None])))
        predicted, wanted = loss.compare(output, labels)
        right = (predicted == wanted)[wanted != NO_LABEL]
        return float(loss(output, labels)), float(right.float().mean())

    def _samples(self, generation: int) -> tuple[Spikes, Tensor]:
        trainer, size = self.trainer, len(self.samples)
        index = torch.arange(size)
        if size > trainer.batch_size:
            seed = derive_seed(trainer.seed, Purpose.ORDER, generation)
            order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
            index = order[: trainer.batch_size]
        values, labels = self.samples.batch(index)
        self.classifier.train()
        where = next(self.classifier.parameters()).device
        seed = derive_seed(trainer.seed, Purpose.BATCH, generation)
        spikes = self.classifier.encode(values.to(where), seed)
        self.classifier.eval()
        return spikes, labels.to(where)


class Generations:
    """A search that trains a network, a generation at a time."""

    steps = 1

    def __init__(
        self, settings: Evolution, trainer: Trainer, classifier: Classifier, samples: AnySamples,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.network = classifier.network
        self.genome = Genome(self.network, settings.searched, start)
        members = settings.population(self.network, self.genome, classifier.encoder.is_constant)
        self.measurement = Measurement(trainer, classifier, samples, members)
        self.search = Search(
            settings.search, self.genome.size, members=settings.members,
            spread=settings.step_size, measure=self.measurement, actors=settings.actors,
            seed=derive_seed(trainer.seed, Purpose.SEARCH) % 2**32,
            noisy=self.measurement.is_noisy,
        )  # fmt: skip

    def epoch(self, number: int, progress: Callable[[float], None]) -> Row:
        """One generation, with its result written to the network; its metrics."""
        losses = self.search.step()
        best = self.search.best
        self.genome.write(self.network, best)
        loss, accuracy = self.measurement.one(best, number)
        progress(loss)
        evaluations = float(sum(map(len, self.search.losses)))
        row = {"train_loss": loss, "train_accuracy": accuracy}
        return {**row, "best_loss": float(losses.min()), "evaluations": evaluations}

    def state_dict(self) -> dict[str, object]:
        """The genome's initial values, and all losses of the search."""
        start = {g.name: g.start.cpu() for g in self.genome.genes}
        return {"start": start, "losses": self.search.losses}

    def resume(self, losses: Sequence[Tensor], generations: int) -> None:
        """Continue the search after so many generations with these losses.

        Raises:
            CheckpointError: if its result is not the network.
        """
        self.search.replay(losses, generations)
        if generations:
            wanted = {n: p.detach().clone() for n, p in self.network.named_parameters()}
            self.genome.write(self.network, self.search.best)
            for name, value in self.network.named_parameters():
                if not torch.equal(value, wanted[name]):
                    raise CheckpointError(f"it comes to another {name}, as another evotorch would")
