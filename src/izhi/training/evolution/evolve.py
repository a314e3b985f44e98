"""Training by evolution: in place of gradient steps, generations of a search over the network's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from izhi.data import AnySamples, EventBatch
from izhi.errors import CheckpointError, SettingError
from izhi.experiments.settings import Experiment
from izhi.kernels import Spikes
from izhi.seeds import Purpose, derive_seed
from izhi.training.classifier import Classifier
from izhi.training.evolution import Genome, Population, Search
from izhi.training.losses import LOSSES, predict


class Measurement:
    """Losses of a population on the samples of a generation.

    Every member of a generation sees the same samples, coded alike: all of them if ``batch_size`` allows,
    else as many, drawn anew for each generation.
    """

    def __init__(
        self, e: Experiment, classifier: Classifier, samples: AnySamples, genome: Genome
    ) -> None:
        self.experiment, self.classifier, self.samples, self.genome = e, classifier, samples, genome
        self.population: Population | Any = Population(e, classifier.network, genome)
        if e.measured_on == "hls-ip":
            if e.loss != "count":
                raise SettingError(f"loss is {e.loss!r}, but the IP gives counts; set it to count")
            from izhi.training.evolution.ip import IpPopulation

            self.population = IpPopulation(e, classifier.network, genome)
        self.is_noisy = len(samples) > e.batch_size or e.encoding == "rate"

    def __call__(self, x: Tensor, generation: int) -> Tensor:
        """Losses (P,) of x (P, n)."""
        spikes, labels = self._samples(generation)
        loss = LOSSES[self.experiment.loss]
        return torch.stack([loss(out, labels) for out in self.population.outputs(spikes, x)]).cpu()

    def one(self, x: Tensor, generation: int) -> tuple[float, float]:
        """Loss and accuracy of one member (n,)."""
        spikes, labels = self._samples(generation)
        output = next(iter(self.population.outputs(spikes, x[None])))
        right = predict(output, self.experiment.loss) == labels
        return float(LOSSES[self.experiment.loss](output, labels)), float(right.float().mean())

    def _samples(self, generation: int) -> tuple[Spikes, Tensor]:
        e, size = self.experiment, len(self.samples)
        index = torch.arange(size)
        if size > e.batch_size:
            generator = torch.Generator().manual_seed(
                derive_seed(e.seed, Purpose.ORDER, generation)
            )
            index = torch.randperm(size, generator=generator)[: e.batch_size]
        values, labels = self.samples.batch(index)
        self.classifier.train()
        where = next(self.classifier.parameters()).device
        if not isinstance(values, EventBatch):
            values = values.to(where)
        spikes = self.classifier.encode(values, derive_seed(e.seed, Purpose.BATCH, generation))
        self.classifier.eval()
        return spikes, labels.to(where)


class Evolution:
    """A search that trains a network.

    Args:
        e: settings; its optimiser is one of ``izhi.evolution.SEARCHES``.
        classifier: holds the network, whose values the search begins at and writes what it found into.
        samples: of training.
        start: values by name that the search begins at, in place of the network's.
    """

    def __init__(
        self, e: Experiment, classifier: Classifier, samples: AnySamples,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.network = classifier.network
        self.genome = Genome(self.network, e.searched, start)
        self.measurement = Measurement(e, classifier, samples, self.genome)
        self.search = Search(
            e.optimizer, self.genome.size, members=e.members, spread=e.step_size,
            seed=derive_seed(e.seed, Purpose.SEARCH) % 2**32, measure=self.measurement,
            actors=e.actors, noisy=self.measurement.is_noisy,
        )  # fmt: skip

    def generation(self, number: int) -> dict[str, float]:
        """One generation, after which the network holds what was found; its metrics."""
        losses = self.search.step()
        found = self.search.found
        self.genome.write(self.network, found)
        loss, accuracy = self.measurement.one(found, number)
        return {
            "train_loss": loss,
            "train_accuracy": accuracy,
            "best_loss": float(losses.min()),
            "evaluations": float(sum(map(len, self.search.losses))),
        }

    def state_dict(self) -> dict[str, Any]:
        """What an exact continuation needs."""
        start = {g.name: g.start.cpu() for g in self.genome.genes}
        return {"start": start, "losses": self.search.losses}

    def go_on(self, losses: Sequence[Tensor], generations: int) -> None:
        """Bring the search to where so many generations, of these losses, left it.

        Raises:
            CheckpointError: if it does not come to what the network holds.
        """
        self.search.replay(losses, generations)
        if generations:
            wanted = {n: p.detach().clone() for n, p in self.network.named_parameters()}
            self.genome.write(self.network, self.search.found)
            for name, value in self.network.named_parameters():
                if not torch.equal(value, wanted[name]):
                    raise CheckpointError(f"it comes to another {name}, as another evotorch would")


def restored(
    e: Experiment, checkpoint: Path, classifier: Classifier, samples: AnySamples,
    saved: Mapping[str, Any] | None,
) -> Evolution:  # fmt: skip
    """The search of a run, brought to where what its checkpoint held, if anything, left it.

    Raises:
        CheckpointError: if the checkpoint is of another search.
    """
    if saved is None:
        return Evolution(e, classifier, samples)
    try:
        evolution = Evolution(e, classifier, samples, saved["optimizer"]["start"])
        evolution.go_on(saved["optimizer"]["losses"], len(saved["history"]))
    except (KeyError, TypeError, ValueError, CheckpointError) as error:
        raise CheckpointError(f"{checkpoint} is of another search ({error}); start anew") from None
    return evolution


__all__ = ["Evolution", "Measurement", "restored"]
