"""Learning rules after deployment: backpropagation on the host, or evolution on the device itself."""

from __future__ import annotations

from dataclasses import replace
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


class Backpropagation:
    """Trains the last layers of a device's network on the host, and writes them to the device.

    Each call makes some steps, each on a batch of which half was seen last or is drawn from all that
    arrived, and half from the rehearsal memory of the old task.

    Args:
        run: the trained network; changed.
        layers: how many of the last layers learn, the readout counted as one; 0 for all.
        latest: how many of the samples that arrived last are always among those learned from.
    """

    def __init__(
        self, run: Trained, artifact: Artifact[networks.HardwareNetwork], device: Device[networks.HardwareNetwork],
        task: DriftTask, *, layers: int = 0,
        steps: int = 10, batch_size: int = 128, learning_rate: float = 1e-3, latest: int = 500, seed: int = 0,
    ) -> None:  # fmt: skip
        self._optimizer_of = replace(build.optimizer(run.experiment), name="adam", learning_rate=learning_rate)
        run.network.dropout = 0.0
        self.run, self.artifact, self.device, self.task = run, artifact, device, task
        self.steps, self.batch_size, self.latest = steps, batch_size, latest
        self.seed = seed
        network = run.network
        parts = [*network.layers, *([] if network.readout is None else [network.readout])]
        if not 0 <= layers <= len(parts):
            raise SettingError(f"layers is {layers}, expected 1 to {len(parts)}, or 0 for all that the network has")
        self._frozen = parts[: len(parts) - layers] if layers else []
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
        for step in range(self.steps):
            index = _mixed(self.task, arrived, self.latest, self.batch_size, self.seed, number, step)
            values, labels = self.task.pool.batch(index)
            seed = derive_seed(self.seed, Purpose.BATCH, number, step)
            where = f"batch {number}, step {step + 1}"
            self.step(values, labels, seed, where)
        self._write()

    def _write(self) -> None:
        whole = target_of(self.run.experiment).network(self.run.network.eval())
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
    """Searches the weights of the last layers on the device; see ``izhi.hardware.devices.evolution``.

    Args:
        run: the trained network, whose encoding the samples get.
        layers: how many of the last layers are searched, the readout counted as one; 0 for all.
        steps: generations of each call.
        search, members, step_size: see ``DeviceEvolution``.
        latest: how many of the samples that arrived last are always among those measured on.
    """

    def __init__(
        self, run: Trained, artifact: Artifact[networks.HardwareNetwork], device: Device[networks.HardwareNetwork],
        task: DriftTask, *, layers: int = 1,
        steps: int = 10, batch_size: int = 128, search: str | SearchFactory = NUMPY_SEARCH, members: int = 32,
        step_size: float = 0.1, latest: int = 500, seed: int = 0,
    ) -> None:  # fmt: skip
        self.task, self.steps, self.batch_size = task, steps, batch_size
        self.latest, self.seed, self.artifact = latest, seed, artifact
        self.encoder = run.encoder
        count = len(device.network.projections)
        if not 0 <= layers <= count:
            raise SettingError(f"layers is {layers}, expected 1 to {count}, or 0 for all that the network has")
        inputs, labels = self._samples(task.memory[:0], 0)
        self.evolution = DeviceEvolution(
            device, inputs, labels, search=search, members=members, step_size=step_size,
            batch_size=batch_size, layers=range(count - layers, count) if layers else None, seed=seed,
            is_noisy=True,
        )  # fmt: skip

    def learn(self, arrived: Tensor, number: int) -> None:
        for step in range(self.steps):
            self.evolution.inputs, self.evolution.labels = self._samples(arrived, number, step)
            self.evolution.generation()

    def _samples(self, arrived: Tensor, *draw: int) -> tuple[Inputs, Labels]:
        index = _mixed(self.task, arrived, self.latest, self.batch_size, self.seed, *draw)
        values, labels = self.task.pool.batch(index)
        encoded = self.encoder(values, derive_seed(self.seed, Purpose.BATCH, *draw))
        return self.artifact.inputs_of(samples.dense(encoded)), labels.numpy()

    def state_dict(self) -> State:
        return {"losses": [torch.from_numpy(np.asarray(x)) for x in self.evolution.state]}

    def load_state_dict(self, state: State, number: int) -> None:
        checkpoint.expect("the learner", state, {"losses": checkpoint.LOSSES})
        losses = [x.double().numpy() for x in state["losses"]]
        self.evolution.resume(losses, number * self.steps)


class NoLearning:
    """Leaves the network as it is."""

    def learn(self, arrived: Tensor, number: int) -> None: ...

    def state_dict(self) -> State:
        return {}

    def load_state_dict(self, state: State, number: int) -> None: ...


def _mixed(task: DriftTask, arrived: Tensor, latest: int, size: int, seed: int, *draw: int) -> Tensor:
    """Indices of a batch: half from the memory, half from the stream, most of these from its latest samples."""
    generator = torch.Generator().manual_seed(derive_seed(seed, Purpose.REHEARSAL, *draw))

    def some(index: Tensor, count: int) -> Tensor:
        if len(index) == 0 or count == 0:
            return index[:0]
        return index[torch.randint(len(index), (count,), generator=generator)]

    half = size // 2 if len(task.memory) and len(arrived) else size * (len(arrived) > 0)
    lately = some(arrived[-latest:], half // 2)
    return torch.cat([lately, some(arrived, half - len(lately)), some(task.memory, size - half)])
