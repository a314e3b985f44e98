"""Evolution on a device: a search over the weights of its network, in which the device evaluates every member.

    search = DeviceEvolution(device, inputs, labels, members=32)
    for _ in range(100):
        print(search.generation()["loss"])

Needs numpy and cmaes, so that it runs on a board; the searches of ``izhi.training.evolution`` need torch as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol

import numpy as np
from numpy.typing import NDArray

from izhi.deprecation import renamed_attribute
from izhi.errors import CheckpointError, DeviceError, SettingError, unknown
from izhi.hardware.devices.device import Device, N
from izhi.hardware.networks import Array
from izhi.seeds import Purpose, derive_seed

Floats = NDArray[np.float64]
#: Losses (P,) of a population (P, n) in a generation.
Measure = Callable[[Floats, int], Floats]


class WeightSearch(Protocol):
    """A search for n numbers of small loss, determined by its seed and the losses of its populations."""

    @property
    def losses(self) -> Sequence[Floats]:
        """Of every population so far."""

    @property
    def found(self) -> Floats:
        """The current numbers, (n,)."""

    def step(self) -> Floats:
        """One generation; the losses of its members."""

    def replay(self, losses: Sequence[Floats], generations: int) -> None:
        """Repeat so many generations of these losses."""


class SearchFactory(Protocol):
    """Makes a search."""

    def __call__(
        self, size: int, *, members: int, spread: float, seed: int, measure: Measure, noisy: bool
    ) -> WeightSearch:
        """A search over n numbers.

        Args:
            size: n.
            members: P, of a generation.
            spread: standard deviation of the first population.
            seed: of the random numbers.
            measure: losses of a population in a generation.
            noisy: whether a loss depends on the generation as well.
        """


class SeparableCMA:
    """A search for n numbers of small loss, which begins at 0, by the package cmaes.

    CMA-ES whose covariance is diagonal (Ros & Hansen 2008). Its arguments are those of ``SearchFactory``; ``noisy`` is
    ignored, since no member survives a generation.
    """

    def __init__(
        self, size: int, *, members: int, spread: float, seed: int, measure: Measure, noisy: bool = False
    ) -> None:
        try:
            from cmaes import SepCMA
        except ImportError:
            raise SettingError("cmaes is not installed; pip install cmaes") from None
        self._search = SepCMA(np.zeros(size), spread, population_size=members, seed=seed)
        self._measure = measure
        self._known: deque[Floats] = deque()
        self.losses: list[Floats] = []

    @property
    def found(self) -> Floats:
        """The centre, (n,)."""
        return np.array(self._search.mean)

    def step(self) -> Floats:
        """One generation; losses (P,)."""
        population = np.array([self._search.ask() for _ in range(self._search.population_size)])
        known = self._known.popleft() if self._known else None
        losses = self._measure(population, len(self.losses) + 1) if known is None else known
        self._search.tell(list(zip(population, losses.tolist(), strict=True)))
        self.losses.append(losses)
        return losses

    def replay(self, losses: Sequence[Floats], generations: int) -> None:
        """Repeat so many generations with these losses, without measuring."""
        if len(losses) != generations:
            raise CheckpointError(f"the search has {len(losses)} populations, expected {generations}; start anew")
        if any(len(x) != self._search.population_size for x in losses):
            raise CheckpointError(f"it has other populations than those of {self._search.population_size} members")
        self._known = deque(losses)
        for _ in range(generations):
            self.step()


#: The search that needs no torch, and the searches by name; ``izhi.experiments.searches`` has more.
NUMPY_SEARCH = "sep-cma-es"
SEARCHES: Mapping[str, SearchFactory] = {NUMPY_SEARCH: SeparableCMA}


class WeightVector(Generic[N]):
    """Weights of some layers as one vector.

        value = start + change·x

    Each projection of the network defines its change, and rounds to its numbers.

    Args:
        network: with the initial weights.
        layers: which, 0 for the first, the readout after the last; None for all.

    Raises:
        SettingError: if there is no such layer.
    """

    def __init__(self, network: N, layers: Sequence[int] | None = None) -> None:
        self.network = network
        projections = network.projections
        chosen = range(len(projections)) if layers is None else layers
        for number in chosen:
            if not 0 <= number < len(projections):
                raise SettingError(f"layer is {number}, expected 0 to {len(projections) - 1}")
        #: The arrays of which the vector is: the number of the projection, the name, and the initial values.
        self._arrays = [(k, name, start) for k in chosen for name, start in projections[k].learnable.items()]
        self.size = sum(start.size for _, _, start in self._arrays)

    def of(self, x: Floats) -> N:
        """The network of one vector (n,)."""
        changed: dict[int, dict[str, Array]] = {}
        at = 0
        for number, name, start in self._arrays:
            projection = self.network.projections[number]
            value = start + projection.change * x[at : at + start.size].reshape(start.shape)
            changed.setdefault(number, {})[name] = projection.rounded(value)
            at += start.size
        return self.network.with_arrays(changed)


def drawn(network: N, seed: int) -> N:
    """A network with random weights."""
    random = np.random.default_rng(derive_seed(seed, Purpose.DEVICE_WEIGHTS))
    return network.with_arrays({number: x.drawn(random) for number, x in enumerate(network.projections)})


def cross_entropy(scores: Array, labels: NDArray[np.int64], unit: float) -> float:
    """Mean cross-entropy of the softmax of scores/unit, (B, classes)."""
    z = scores / unit
    z = z - z.max(1, keepdims=True)
    each = np.log(np.exp(z).sum(1)) - z[np.arange(len(labels)), labels]
    return float(each.mean())


class DeviceEvolution(Generic[N]):
    """A search over the weights of a device's network.

    All members of a generation run the same samples: all samples if ``batch_size`` allows, or else that many, drawn for
    each generation. The loss is the cross-entropy of the scores: of spike counts in spikes, of a readout's scores in
    units of their initial standard deviation over the classes.

    Args:
        device: with a network.
        inputs: of the device: spikes (T, samples, inputs), or currents (samples, inputs).
        labels: (samples,).
        search: a name in ``SEARCHES``, or a factory.
        members: of a generation.
        step_size: first spread of a population, in units of a change.
        batch_size: samples of a generation at most.
        layers: in the search; None for all.
        seed: of search and samples.
        is_noisy: whether samples differ between generations [if a batch is not all samples]; parents of a genetic
            algorithm are then measured again.

    Raises:
        SettingError: for an unknown search or layer, or fewer than 4 members.
    """

    def __init__(
        self, device: Device[N], inputs: Array, labels: NDArray[np.int64], *,
        search: str | SearchFactory = NUMPY_SEARCH, members: int = 32, step_size: float = 0.3, batch_size: int = 1000,
        layers: Sequence[int] | None = None, seed: int = 0, is_noisy: bool | None = None,
    ) -> None:  # fmt: skip
        if members < 4:
            raise SettingError(f"members is {members}, expected at least 4")
        if not (np.isfinite(step_size) and step_size > 0):
            raise SettingError(f"step_size is {step_size}, expected a number above 0")
        if isinstance(search, str) and search not in SEARCHES:
            raise unknown("search", search, SEARCHES)
        if getattr(device.network, "reads", "sum") == "steps":
            raise SettingError("the network has scores of each step, expected one class for a sample; choose another")
        make = SEARCHES[search] if isinstance(search, str) else search
        self.device, self.inputs, self.labels = device, inputs, labels
        self.batch_size, self.seed = batch_size, seed
        self.weights = WeightVector(device.network, layers)
        unit = device.network.score_unit
        if unit is None:
            some, _ = self._samples(0)
            unit = max(float(device.run(some).scores.std(1).mean()), 1.0)
        self.unit = unit
        self.search = make(
            self.weights.size, members=members, spread=step_size, seed=derive_seed(seed, Purpose.SEARCH) % 2**32,
            measure=self._losses, noisy=len(labels) > batch_size if is_noisy is None else is_noisy,
        )  # fmt: skip
        self.generations = 0

    def generation(self) -> dict[str, float]:
        """Run one generation; the device then runs the current network, whose loss and accuracy are returned.

        Raises:
            DeviceError: if the device fails; the result of earlier generations is kept.
        """
        losses = np.asarray(self.search.step())
        self.generations += 1
        inputs, labels = self._samples(self.generations)
        network = self.found
        scores = next(iter(self.device.scores_of([network], inputs)))
        self.device.replace(network)  # A device that runs whole populations has not loaded it.
        return {
            "generation": self.generations,
            "loss": cross_entropy(scores, labels, self.unit),
            "accuracy": float((scores.argmax(1) == labels).mean()),
            "best_loss": float(losses.min()),
            "evaluations": float(sum(len(x) for x in self.search.losses)),
        }

    @property
    def found(self) -> N:
        """The current network of the search."""
        return self.weights.of(np.asarray(self.search.found, np.float64))

    @property
    def state(self) -> list[NDArray[np.float64]]:
        """Losses of every population, all that ``resume`` needs."""
        return [np.asarray(x, np.float64) for x in self.search.losses]

    def resume(self, state: Sequence[NDArray[np.float64]], generations: int) -> None:
        """Repeat so many generations from their losses; the device then holds the network that they led to."""
        self.search.replay(state, generations)
        self.generations = generations
        self.device.replace(self.found)

    go_on = renamed_attribute("go_on", "resume")

    def _samples(self, generation: int) -> tuple[Array, NDArray[np.int64]]:
        if len(self.labels) <= self.batch_size:
            return self.inputs, self.labels
        random = np.random.default_rng(derive_seed(self.seed, Purpose.ORDER, generation))
        some = np.sort(random.permutation(len(self.labels))[: self.batch_size])
        inputs = self.inputs[some] if self.inputs.ndim == 2 else self.inputs[:, some]
        return inputs, self.labels[some]

    def _losses(self, x: Floats, generation: int) -> Floats:
        inputs, labels = self._samples(generation)
        members = [self.weights.of(one) for one in x]
        losses = [cross_entropy(scores, labels, self.unit) for scores in self.device.scores_of(members, inputs)]
        if not np.isfinite(losses).all():
            raise DeviceError(f"the device {self.device.name} gave scores that are no numbers")
        return np.array(losses)
