"""Learning by gradients: backpropagation through time with surrogate gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.data import NO_LABEL, AnyBatch, AnySamples, stream
from izhi.errors import DivergenceError, SettingError, shown, unknown
from izhi.network import Network, first_nonfinite
from izhi.seeds import Purpose, derive_seed
from izhi.training.classifier import Classifier
from izhi.training.evaluation import Row, precise, summed
from izhi.training.losses import Loss
from izhi.training.optimizer import Optimizer, restore

if TYPE_CHECKING:
    from izhi.training.trainer import Learner, Trainer

#: Factor on every learning rate by the completed fraction of a run, 0 to 1.
SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "cosine": lambda progress: 0.5 + 0.5 * math.cos(math.pi * progress),
}


@dataclass(frozen=True)
class Backprop:
    """Training by backpropagation through time and an optimiser of torch.

    Attributes:
        optimizer: network → optimiser, called after weights are loaded, which may replace parameters.
        schedule: of the learning rates: a name in ``SCHEDULES``, or a function of the completed fraction of the run.
        clip: largest norm of the gradient; None for none.
    """

    optimizer: Callable[[Network], torch.optim.Optimizer] = field(default_factory=Optimizer)
    schedule: str | Callable[[float], float] = "constant"
    clip: float | None = None

    def begin(
        self, trainer: Trainer, classifier: Classifier, samples: AnySamples,
        state: Mapping[str, object] | None, epochs: int,
    ) -> tuple[Learner, nn.Module]:  # fmt: skip
        optimizer = self.optimizer(classifier.network)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])  # which the schedule multiplies, and a checkpoint keeps
        model, wrapped = trainer.machine.setup(classifier, optimizer)
        if state is not None:  # after setup, in the precision of training
            restore(optimizer, state)
        return Descent(trainer, self.start_step(trainer, model, wrapped), samples, _schedule(self.schedule)), model

    def start_step(self, trainer: Trainer, model: nn.Module, optimizer: Any) -> Step:
        """What learns from each batch: model and optimiser are those that Fabric set up."""
        return Step(trainer.machine, model, optimizer, trainer.measure, self.clip)


def _schedule(schedule: str | Callable[[float], float]) -> Callable[[float], float]:
    if not isinstance(schedule, str):
        return schedule
    if schedule not in SCHEDULES:
        raise unknown("schedule", schedule, SCHEDULES)
    return SCHEDULES[schedule]


@dataclass
class Step:
    """One step of an optimiser on one batch."""

    fabric: Fabric  #: that set up model and optimiser
    model: Any  #: that is trained
    optimizer: Any  #: of its parameters
    loss: Loss  #: of its output
    clip: float | None = None  #: largest norm of the gradient; None for none

    @cached_property
    def _weights(self) -> list[nn.Parameter]:
        return [p for p in self.model.module.parameters() if p.requires_grad]

    def __call__(
        self, samples: AnyBatch, labels: Tensor, seed: int, where: str, weight: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Learn from a batch, whose gradient counts ``weight`` times; its loss and output, detached.

        Raises:
            DivergenceError: if the loss or a gradient is not finite, naming ``where`` and the layer.
        """
        for parameter in self._weights:
            parameter.grad = None
        try:
            loss, output = self.differentiate(precise(self.fabric, samples), labels, seed, weight)
        except DivergenceError:
            raise self._diverged("a state", samples, seed, where) from None
        self._check_finite(loss, samples, seed, where)
        self.optimizer.step()
        return loss.detach(), output.detach()

    def differentiate(self, samples: AnyBatch, labels: Tensor, seed: int, weight: float) -> tuple[Tensor, Tensor]:
        """Add ``weight`` times the gradient to that of the parameters; the loss and the output."""
        output = self._output(samples, seed)
        loss = self.loss(output, labels)
        check_loss(loss, output)
        self.fabric.backward(loss if weight == 1 else weight * loss)
        return loss, output

    def _output(self, samples: AnyBatch, seed: int) -> Tensor:
        """The model's output; with one process without Fabric's synchronisation."""
        if self.fabric.world_size > 1:
            output, _ = self.model(samples, seed)
        else:
            with self.fabric.autocast():
                output, _ = self.model.module(samples, seed)
        return cast(Tensor, output)

    def _check_finite(self, loss: Tensor, samples: AnyBatch, seed: int, where: str) -> None:
        """Raise DivergenceError if the loss or a gradient is not finite; clip the gradient if ``clip`` is set."""
        classifier: Classifier = self.model.module
        parameters = [p for p in self._weights if p.grad is not None]
        total = torch.stack([loss.detach(), *(p.grad.sum() for p in parameters if p.grad is not None)]).sum()
        if math.isfinite(total.item()):
            if self.clip is not None:
                nn.utils.clip_grad_norm_(parameters, self.clip)
            return
        value = "the loss"
        if torch.isfinite(loss):
            gradients = {name: p.grad for name, p in classifier.network.named_parameters() if p.grad is not None}
            names = (name for name, x in gradients.items() if not torch.isfinite(x).all())
            value = f"the gradient of {next(names, 'the network')}"
        raise self._diverged(value, samples, seed, where)

    def _diverged(self, value: str, samples: AnyBatch, seed: int, where: str) -> DivergenceError:
        """The error for a value that is not finite, which names the first layer of such values."""
        classifier: Classifier = self.model.module
        layer = first_nonfinite(classifier.network, classifier.encode(precise(self.fabric, samples), seed))
        first = f", first seen in {layer}" if layer else ""
        return DivergenceError(
            f"{value} is not finite at {where}{first}; lower learning_rate, or set jacobian_limit to 1 or gradient_clip"
        )


def check_loss(loss: object, output: Tensor) -> None:
    """Raise SettingError for a loss that no gradient comes from."""
    if not isinstance(loss, Tensor) or loss.dim():
        given = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else shown(loss)
        raise SettingError(f"the loss is {given}, expected a tensor of one number; take its mean")
    if not output.requires_grad:
        raise independent_output()
    if not loss.requires_grad:
        raise SettingError(
            "the loss has no gradient: it does not depend on the network's output by operations of torch; leave"
            " .detach(), .item() and argmax out"
        )


def independent_output() -> SettingError:
    """The error for an output that no gradient comes from."""
    return SettingError(
        "the loss has no gradient: the output of the network does not depend on its weights within these steps; choose"
        " more steps"
    )


@dataclass
class Descent:
    """Epochs of gradient steps over all samples, in an order drawn anew for each."""

    trainer: Trainer
    step: Step
    samples: AnySamples
    schedule: Callable[[float], float]

    @property
    def steps(self) -> int:
        return -(-len(self.samples) // self.trainer.batch_size)

    def epoch(self, number: int, progress: Callable[[float], None]) -> Row:
        trainer, fabric, count = self.trainer, self.trainer.machine, len(self.samples)
        self.step.model.train()
        total = torch.zeros(4, device=fabric.device)
        rank = fabric.global_rank
        seeds = [derive_seed(trainer.seed, Purpose.BATCH, number, step, rank) for step in range(self.steps)]
        for step, (samples, labels) in enumerate(stream(self.samples, self._batches(number))):
            samples, labels = samples.to(fabric.device), labels.to(fabric.device)
            done = (number - 1 + step * trainer.batch_size / count) / trainer.epochs
            self._set_rates(self.schedule(done))
            own, weight = self._share(step)
            loss, output = self.step(samples, labels, seeds[step], f"epoch {number}, step {step + 1}", weight)
            predicted, wanted = trainer.measure.compare(output, labels)
            hits = torch.stack([(predicted == wanted).sum(), (wanted != NO_LABEL).sum()]) * min(own, 1)
            total += torch.cat([torch.stack([loss * own, loss.new_tensor(own)]), hits])
            progress(loss.item())
        total = summed(fabric, total)
        return {"train_loss": float(total[0] / total[1]), "train_accuracy": float(total[2] / total[3])}

    def state_dict(self) -> dict[str, object]:
        state: dict[str, object] = self.step.optimizer.state_dict()
        return state

    def _set_rates(self, factor: float) -> None:
        for group in self.step.optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]

    def _batches(self, epoch: int) -> Iterator[Tensor]:
        """Indices of each batch, shuffled by (seed, epoch); this process's share of each, else one sample."""
        trainer, fabric = self.trainer, self.trainer.machine
        seed = derive_seed(trainer.seed, Purpose.ORDER, epoch)
        order = torch.randperm(len(self.samples), generator=torch.Generator().manual_seed(seed))
        for batch in torch.split(order, trainer.batch_size):
            own = batch[fabric.global_rank :: fabric.world_size]
            yield own if len(own) else batch[:1]

    def _share(self, step: int) -> tuple[int, float]:
        """Samples of a batch that are this process's, and their weight in the mean of all processes' gradients."""
        fabric, size = self.trainer.machine, self.trainer.batch_size
        whole = min(size, len(self.samples) - step * size)
        own = len(range(fabric.global_rank, whole, fabric.world_size))
        return own, own * fabric.world_size / whole
