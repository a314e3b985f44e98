"""Learning rules after deployment: backpropagation on the host, or evolution on the device itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from izhi import training
from izhi.errors import SettingError
from izhi.experiments import build, samples
from izhi.experiments.adaptation.drift import DriftTask
from izhi.experiments.targets import target_of
from izhi.experiments.trained import Trained
from izhi.hardware import networks
from izhi.hardware.artifact import Artifact
from izhi.hardware.devices import Device
from izhi.hardware.devices.evaluation import Labels
from izhi.hardware.devices.evolution import NUMPY_SEARCH, DeviceEvolution, SearchFactory
from izhi.hardware.networks import Inputs
from izhi.seeds import Purpose, derive_seed
from izhi.training import checkpoint
from izhi.training.optimizer import restore

#: The state from which learning resumes exactly.
State: TypeAlias = dict[str, Any]


class DeviceLearner(Protocol):
    """Changes what a device runs."""

    def learn(self, arrived: Tensor, number: int) -> None:
        """Learn from the samples that arrived, indices in the task's pool; ``number`` counts calls from 1."""

    def state_dict(self) -> State:
        """The state from which learning resumes exactly."""

    def load_state_dict(self, state: State, number: int) -> None:
        """Restore the state after so many calls; the device then runs the learned network."""


@dataclass(frozen=True, kw_only=True)
class LearnerOptions:
    """What both learners have: how much they learn in a call, and from which samples."""

    layers: int = 0  #: how many of the last layers learn, the readout counted as one; 0 for all
    steps: int = 10  #: gradient steps or generations of each call
    batch_size: int = 128  #: samples of a step or generation
    latest: int = 500  #: how many of the samples that arrived last are always among those learned from
    seed: int = 0  #: seed of all random draws

    def first(self, count: int) -> int:
        """The first of so many layers that learns; SettingError for more than there are."""
        if not 0 <= self.layers <= count:
            raise SettingError(f"layers is {self.layers}, expected 1 to {count}, or 0 for all that the network has")
        return count - self.layers if self.layers else 0

    def mixed(self, task: DriftTask, arrived: Tensor, *draw: int) -> Tensor:
        """Indices of a batch: half from the memory, half from the stream, most of these from its latest samples."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, Purpose.REHEARSAL, *draw))

        def some(index: Tensor, count: int) -> Tensor:
            if len(index) == 0 or count == 0:
                return index[:0]
            return index[torch.randint(len(index), (count,), generator=generator)]

        size = self.batch_size
        half = size // 2 if len(task.memory) and len(arrived) else size * (len(arrived) > 0)
        lately = some(arrived[-self.latest :], half // 2)
        return torch.cat([lately, some(arrived, half - len(lately)), some(task.memory, size - half)])


class Backpropagation:
    """Trains the last layers of a device's network on the host, and writes them to the device.

    Each call makes some steps of Adam, each on a batch of which half was seen last or is drawn from all that
    arrived, and half from the rehearsal memory of the old task. The trained network of the run is changed.
    """

    def __init__(
        self, run: Trained, artifact: Artifact[networks.HardwareNetwork], device: Device[networks.HardwareNetwork],
        task: DriftTask, *, learning_rate: float = 1e-3, **options: int,
    ) -> None:  # fmt: skip
        self._optimizer_of = replace(build.optimizer(run.experiment), name="adam", learning_rate=learning_rate)
        run.network.dropout = 0.0
        self.run, self.artifact, self.device, self.task = run, artifact, device, task
        self.options = LearnerOptions(**options)
        network = run.network
        modules = [*network.layers, *([] if network.readout is None else [network.readout])]
        parts = [x for x in modules if next(x.parameters(), None) is not None]  # the levels of inputs have none
        self._frozen = parts[: self.options.first(len(parts))]
        self.fabric = training.start_fabric(run.experiment.machine.accelerator, precision="32-true")
        self._prepare()

    def _prepare(self) -> None:
        """Make the optimiser; after weights were loaded, since some modules then hold other parameters."""
        for part in self._frozen:
            part.requires_grad_(False)
        network = self.run.network
        self.optimizer = self._optimizer_of(network)
        model, wrapped = self.fabric.setup(self.run.classifier, self.optimizer)
        loss = training.LOSSES[self.run.experiment.training.loss]
        self.step = training.Step(self.fabric, model, wrapped, loss, self.run.experiment.training.gradient_clip)

    def learn(self, arrived: Tensor, number: int) -> None:
        self.step.model.train()
        for step in range(self.options.steps):
            values, labels = self.task.pool.batch(self.options.mixed(self.task, arrived, number, step))
            seed = derive_seed(self.options.seed, Purpose.BATCH, number, step)
            self.step(values, labels, seed, f"batch {number}, step {step + 1}")
        self._write()

    def _write(self) -> None:
        whole = target_of(self.run.experiment).network(self.run)
        self.device.load(self.artifact.with_network(whole))

    def state_dict(self) -> State:
        return {"model": self.run.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: State, number: int) -> None:
        checkpoint.expect("the learner", state, {"model": checkpoint.WEIGHTS, "optimizer": checkpoint.TABLE})
        checkpoint.load_weights("the learner", self.run.network, state["model"])
        self._prepare()
        restore(self.optimizer, state["optimizer"])
        self._write()


class Evolving:
    """Searches the weights of the last layers on the device; its other arguments are those of ``DeviceEvolution``."""

    def __init__(
        self, run: Trained, artifact: Artifact[networks.HardwareNetwork], device: Device[networks.HardwareNetwork],
        task: DriftTask, *, search: str | SearchFactory = NUMPY_SEARCH, members: int = 32, step_size: float = 0.1,
        layers: int = 1, **options: int,
    ) -> None:  # fmt: skip
        self.task, self.artifact, self.encoder = task, artifact, run.encoder
        self.options = LearnerOptions(layers=layers, **options)
        count = len(device.network.projections)
        first = self.options.first(count)
        inputs, labels = self._samples(task.memory[:0], 0)
        self.evolution = DeviceEvolution(
            device, inputs, labels, search=search, members=members, step_size=step_size,
            batch_size=self.options.batch_size, layers=range(first, count) if layers else None, seed=self.options.seed,
            is_noisy=True,
        )  # fmt: skip

    def learn(self, arrived: Tensor, number: int) -> None:
        for step in range(self.options.steps):
            self.evolution.inputs, self.evolution.labels = self._samples(arrived, number, step)
            self.evolution.generation()

    def _samples(self, arrived: Tensor, *draw: int) -> tuple[Inputs, Labels]:
        values, labels = self.task.pool.batch(self.options.mixed(self.task, arrived, *draw))
        encoded = self.encoder(values, derive_seed(self.options.seed, Purpose.BATCH, *draw))
        return self.artifact.inputs_of(samples.dense(encoded)), labels.numpy()

    def state_dict(self) -> State:
        return {"losses": [torch.from_numpy(np.asarray(x)) for x in self.evolution.state]}

    def load_state_dict(self, state: State, number: int) -> None:
        checkpoint.expect("the learner", state, {"losses": checkpoint.LOSSES})
        losses = [x.double().numpy() for x in state["losses"]]
        self.evolution.resume(losses, number * self.options.steps)


class NoLearning:
    """Leaves the network as it is."""

    def learn(self, arrived: Tensor, number: int) -> None: ...

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State, number: int) -> None: ...
