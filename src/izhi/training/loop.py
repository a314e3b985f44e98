"""The training loop: read it from top to bottom.

Device, precision, several devices and several machines come from Lightning Fabric. All randomness is a
function of the experiment's seed and of (epoch, step), so a run that goes on from its checkpoint has
the same numbers as one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from izhi.data import AnySamples, Dataset, EventBatch, hold_out_speaker, split, stream
from izhi.errors import CheckpointError, DivergenceError, SettingError, unknown
from izhi.experiments import build
from izhi.experiments.run_folder import RunFolder
from izhi.experiments.settings import Experiment, experiment
from izhi.kernels import Spikes
from izhi.network.layers import Layer, Network, first_nonfinite
from izhi.seeds import Purpose, derive_seed
from izhi.training import checkpoint
from izhi.training.activity import Activity
from izhi.training.classifier import Classifier, inputs
from izhi.training.evolution.evolve import restored
from izhi.training.losses import LOSSES, predict
from izhi.training.memory import keep_freed_memory
from izhi.training.optimizer import make_optimizer, rate_factor

#: Samples by which formats of quantised states are chosen.
_CALIBRATION_SAMPLES = 512
EVALUATION_BATCH = 1000

Row = dict[str, float]


class Listener(Protocol):
    """What is told about a run while it goes on."""

    def begin(self, e: Experiment, steps: int, finished: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def epoch(self, row: Row, warnings: list[str]) -> None: ...


class Silent:
    """A listener that says nothing."""

    def begin(self, e: Experiment, steps: int, finished: int) -> None: ...
    def step(self, loss: float) -> None: ...
    def epoch(self, row: Row, warnings: list[str]) -> None: ...


@dataclass
class Result:
    """A finished run: a row of metrics per epoch, and remarks about the last one.

    Attributes:
        experiment: its settings.
        history: metrics of each epoch.
        warnings: of the last epoch.
        parameters: numbers that were learned.
        widths: of the layers of neurons.
    """

    experiment: Experiment
    history: list[Row]
    warnings: list[str] = field(default_factory=list)
    parameters: int = 0
    widths: tuple[int, ...] = ()

    @classmethod
    def of(cls, e: Experiment, network: Network, history: list[Row], warnings: list[str]) -> Result:
        """The result of a network, with its parameters and widths."""
        learned = sum(p.numel() for p in network.parameters() if p.requires_grad)
        widths = tuple(cast(Layer, x).connection.out_features for x in network.layers)
        return cls(e, history, warnings, learned, widths)

    @property
    def test_accuracy(self) -> float:
        """After the last epoch, which no result chose."""
        return self.history[-1]["test_accuracy"]

    @property
    def spikes(self) -> float:
        """Spikes that a test sample causes in all layers of neurons."""
        last, steps = self.history[-1], self.experiment.steps
        rates = [last[f"rate_{number}"] for number in range(1, len(self.widths) + 1)]
        return steps * sum(rate * width for rate, width in zip(rates, self.widths, strict=True))


def start_fabric(e: Experiment) -> Fabric:
    """Fabric for the experiment's accelerator, devices, machines and precision, launched."""
    keep_freed_memory()
    try:
        fabric = Fabric(
            accelerator=e.accelerator,
            devices=e.devices,
            num_nodes=e.nodes,
            precision=_precision(e),
        )
        fabric.launch()
    except (ValueError, RuntimeError, ImportError) as error:  # whatever Fabric says of the machine
        first = str(error).splitlines()[0]
        raise SettingError(f"accelerator {e.accelerator!r}, devices {e.devices}: {first}") from None
    return fabric


def _precision(e: Experiment) -> Any:
    if e.precision != "auto":
        return e.precision
    # A population is measured in float32, and so is then what it found.
    return "32-true" if e.evolves else fast_precision(e.accelerator)


def fast_precision(accelerator: str) -> Any:
    """``bf16-mixed`` where bfloat16 products are fast (CPUs with AMX, recent GPUs), else 32 bits."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "32-true"
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    return "bf16-mixed" if has_amx() else "32-true"


def train(
    fabric: Fabric,
    e: Experiment,
    dataset: Dataset,
    folder: RunFolder,
    listener: Listener | None = None,
    *,
    start: Mapping[str, Any] | None = None,
) -> Result:
    """Train the experiment to its last epoch, going on from the folder's checkpoint if it has one.

    After every epoch the folder holds its metrics and a checkpoint. The test accuracy of each epoch is
    recorded for the figure; the run's result is that of the last epoch.

    Args:
        fabric: see ``start_fabric``.
        e: the resolved experiment.
        dataset: its data.
        folder: of the run, opened.
        listener: told of every step and epoch.
        start: weights of a trained float network, which a quantised one begins with.

    Raises:
        DivergenceError: if a loss or gradient is not finite, naming epoch, step and layer.
        CheckpointError: if the folder's checkpoint is of another network.
        FileError: if the folder cannot be written.
    """
    listener = listener or Silent()
    training, validation = training_samples(e, dataset)
    fresh = not folder.checkpoint.exists()
    network = build.network(
        e, inputs(e, dataset), len(dataset.classes), start=start if fresh else None,
        samples=partial(calibration, e, training, dataset.shape) if fresh else None,
    )  # fmt: skip
    saved = _restored(e, folder, network)
    history, warnings = (saved["history"], saved["warnings"]) if saved else ([], [])
    classifier = Classifier(e, network, dataset.shape)
    if e.evolves:
        model = fabric.setup(classifier)
        optimizer: Any = restored(e, folder.checkpoint, classifier, training, saved)
    else:
        optimizer = _optimizer(e, folder, network, saved)
        model, optimizer = fabric.setup(classifier, optimizer)
    steps = 1 if e.evolves else -(-len(training) // e.batch_size)
    listener.begin(e, steps, len(history))
    board = _tensorboard(folder) if e.tensorboard and fabric.is_global_zero else None
    for epoch in range(len(history) + 1, e.epochs + 1):
        began = time.perf_counter()
        row: Row = {"epoch": epoch}
        if e.evolves:
            row.update(optimizer.generation(epoch))
            listener.step(row["train_loss"])
        else:
            row["train_loss"], row["train_accuracy"] = _train_epoch(
                fabric, e, model, optimizer, training, epoch, listener
            )
        row["train_seconds"] = time.perf_counter() - began
        for part, samples, purpose in (
            ("validation", validation, Purpose.VALIDATION),
            ("test", dataset.test, Purpose.TEST),
        ):
            if len(samples):
                groups = dataset.groups if part == "test" else {}
                found = evaluate(fabric, e, model, samples, purpose, groups)
                row.update(found.as_metrics(part))
        row.update(found.rates())
        row["seconds"] = time.perf_counter() - began
        warnings = found.activity.warnings()
        history.append(row)
        if fabric.is_global_zero:
            folder.save_epoch(history, content(e, dataset, network, optimizer, history, warnings))
        fabric.barrier()
        if board is not None:
            for name, value in row.items():
                board.add_scalar(name, value, epoch)
        listener.epoch(row, warnings)
    if board is not None:
        board.close()
    return Result.of(e, network, history, warnings)


def training_samples(e: Experiment, dataset: Dataset) -> tuple[AnySamples, AnySamples]:
    """Samples to learn from, and those held out for validation; neither of classes that are left out."""
    if e.validation_speaker is not None:
        parts = hold_out_speaker(dataset, e.validation_speaker)
    else:
        parts = split(dataset.train, e.validation, e.split_seed)
    for name in e.without:
        if name not in dataset.classes:
            raise unknown("class", name, dataset.classes)
    out = torch.tensor([dataset.classes.index(name) for name in e.without])
    train, validation = (x.subset(~torch.isin(x.labels, out)) if e.without else x for x in parts)
    return train, validation


def calibration(
    e: Experiment, samples: AnySamples, shape: tuple[int, ...], network: Network
) -> Spikes:
    """Encoded training samples, by which the formats of quantised states are chosen."""
    generator = torch.Generator().manual_seed(derive_seed(e.seed, Purpose.CALIBRATION, 0))
    index = torch.randperm(len(samples), generator=generator)[:_CALIBRATION_SAMPLES]
    values, _ = samples.batch(index.sort().values)
    return (
        Classifier(e, network, shape)
        .eval()
        .encode(values, derive_seed(e.seed, Purpose.CALIBRATION, 1))
    )


def _tensorboard(folder: RunFolder) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingError(
            "tensorboard is set, but it is not installed; pip install 'izhi[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder.path / "tensorboard"))  # type: ignore[no-untyped-call,unused-ignore]


def _train_epoch(
    fabric: Fabric, e: Experiment, model: Any, optimizer: Any, samples: AnySamples, epoch: int,
    listener: Listener,
) -> tuple[float, float]:  # fmt: skip
    model.train()
    total = torch.zeros(3, device=fabric.device)
    batches = _batches(fabric, e, len(samples), epoch)
    for step, (values, labels) in enumerate(stream(samples, batches)):
        values, labels = values.to(fabric.device), labels.to(fabric.device)
        progress = (epoch - 1 + step * e.batch_size / len(samples)) / e.epochs
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * rate_factor(
                e.schedule, progress
            )
        seed = derive_seed(e.seed, Purpose.BATCH, epoch, step, fabric.global_rank)
        where = f"epoch {epoch}, step {step + 1}"
        loss, output = train_step(fabric, e, model, optimizer, values, labels, seed, where)
        correct = (predict(output, e.loss) == labels).sum()
        total += torch.stack([loss * len(labels), correct, correct.new_tensor(len(labels))])
        listener.step(loss.item())
    total = _summed(fabric, total)
    return float(total[0] / total[2]), float(total[1] / total[2])


def train_step(
    fabric: Fabric, e: Experiment, model: Any, optimizer: Any, values: Tensor | EventBatch,
    labels: Tensor, seed: int, where: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """One step of the optimiser on one batch; its loss and output, detached.

    Raises:
        DivergenceError: if the loss or a gradient is not finite, naming ``where`` and the layer.
    """
    output, _ = model(_precise(values, fabric), seed)
    loss = LOSSES[e.loss](output, labels)
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(loss)
    _check_finite(e, model, loss, values, seed, where)
    optimizer.step()
    return loss.detach(), output.detach()


def _batches(fabric: Fabric, e: Experiment, samples: int, epoch: int) -> Iterator[Tensor]:
    """Indices of each batch, shuffled by (seed, epoch); this process's share of each."""
    generator = torch.Generator().manual_seed(derive_seed(e.seed, Purpose.ORDER, epoch))
    for batch in torch.split(torch.randperm(samples, generator=generator), e.batch_size):
        if len(batch) >= fabric.world_size:
            yield batch[fabric.global_rank :: fabric.world_size]


def _check_finite(
    e: Experiment, model: Any, loss: Tensor, values: Tensor | EventBatch, seed: int, where: str
) -> None:
    """Stop where the loss or a gradient is not finite; clip the gradient where that is asked for."""
    classifier: Classifier = model.module
    parameters = [p for p in classifier.parameters() if p.grad is not None]
    total = loss.detach() + sum(p.grad.sum() for p in parameters if p.grad is not None)
    if torch.isfinite(total):
        if e.gradient_clip is not None:
            nn.utils.clip_grad_norm_(parameters, e.gradient_clip)
        return
    place = first_nonfinite(classifier.network, classifier.encode(values, seed))
    if torch.isfinite(loss):
        names = [
            name
            for name, p in classifier.network.named_parameters()
            if p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        what = f"the gradient of {names[0] if names else 'the network'}"
    else:
        what = "the loss"
    place = f", first seen in {place}" if place else ""
    raise DivergenceError(
        f"{what} is not finite at {where}{place}; lower learning_rate, or set jacobian_limit to 1 or"
        " gradient_clip"
    )


@dataclass
class Evaluation:
    """Loss and accuracy over samples, the accuracy of each group of them, and the layers' activity."""

    loss: float
    accuracy: float
    groups: dict[str, float]
    activity: Activity

    def as_metrics(self, part: str) -> Row:
        """Loss and accuracies under the names that a row of metrics has for a part of the samples."""
        groups = {f"{part}_accuracy_{name}": x for name, x in self.groups.items()}
        return {f"{part}_loss": self.loss, f"{part}_accuracy": self.accuracy, **groups}

    def rates(self) -> Row:
        """Spikes per neuron and step of each layer, as a row of metrics names them."""
        return {f"rate_{k}": x.rate for k, x in enumerate(self.activity.layers, start=1)}


def evaluate(
    fabric: Fabric, e: Experiment, model: Any, samples: AnySamples, purpose: int = Purpose.TEST,
    groups: Mapping[str, Tensor] | None = None,
) -> Evaluation:  # fmt: skip
    """Evaluate samples, and groups of them (name → mask); the coding is fixed by the seed.

    Quantised networks are evaluated in float32, in which sums of their integers, and samples, are exact.
    """
    model.eval()
    run = model.module if e.is_quantized else model
    activity = Activity()
    masks = torch.stack([torch.ones(len(samples), dtype=torch.bool), *(groups or {}).values()])
    # Rows: sums over all samples and over each group; columns: loss, correct, number.
    total = torch.zeros(len(masks), 3, device=fabric.device)
    rank, world = fabric.global_rank, fabric.world_size
    parts = [
        torch.arange(start, min(start + EVALUATION_BATCH, len(samples)))[rank::world]
        for start in range(0, len(samples), EVALUATION_BATCH)
    ]
    with torch.no_grad():
        for step, (values, labels) in enumerate(stream(samples, parts)):
            values, labels = values.to(fabric.device), labels.to(fabric.device)
            seed = derive_seed(e.seed, purpose, step, rank)
            output, spikes = run(_precise(values, fabric), seed)
            loss = LOSSES[e.loss](output, labels)
            correct = (predict(output, e.loss) == labels).float()
            each = torch.stack([loss.expand(len(labels)), correct, torch.ones_like(correct)], 1)
            total += masks[:, parts[step]].to(each) @ each
            activity.add(spikes)
    total = _summed(fabric, total)
    loss, accuracy = (total[0, :2] / total[0, 2]).tolist()
    shares = (total[1:, 1] / total[1:, 2]).tolist()
    return Evaluation(loss, accuracy, dict(zip(groups or {}, shares, strict=True)), activity)


def _precise(values: Tensor | EventBatch, fabric: Fabric) -> Tensor | EventBatch:
    """Values in the floating point format of the run."""
    wide = fabric.strategy.precision.precision == "64-true"
    return values.double() if wide and isinstance(values, Tensor) else values


def _summed(fabric: Fabric, total: Tensor) -> Tensor:
    return fabric.all_reduce(total, reduce_op="sum") if fabric.world_size > 1 else total  # type: ignore[return-value]


def _restored(e: Experiment, folder: RunFolder, network: Network) -> dict[str, Any] | None:
    """Load the weights of the folder's checkpoint, if there is one; all that it holds."""
    path = folder.checkpoint
    if not path.exists():
        return None
    saved = checkpoint.load(path)
    # A setting that is newer than the checkpoint had its default there.
    there = experiment(saved["config"]).model_dump(mode="json")
    checkpoint.check_same_network(path, there, e.model_dump(mode="json"))
    checkpoint.load_weights(path, network, saved["model"])
    return saved


def _optimizer(
    e: Experiment, folder: RunFolder, network: Network, saved: Mapping[str, Any] | None
) -> torch.optim.Optimizer:
    """The optimiser, in its saved state if there is one.

    It is made after the weights are loaded, since some modules then hold other parameters.
    """
    optimizer = make_optimizer(e, network)
    if saved is not None:
        try:
            optimizer.load_state_dict(saved["optimizer"])
        except ValueError as error:
            raise CheckpointError(
                f"{folder.checkpoint} is from another optimiser ({error}); start anew"
            ) from None
    return optimizer


def content(
    e: Experiment, dataset: Dataset, network: Network, optimizer: Any, history: list[Row],
    warnings: list[str],
) -> dict[str, Any]:  # fmt: skip
    """What a checkpoint holds after an epoch."""
    return {
        "config": e.model_dump(mode="json"),
        "inputs": inputs(e, dataset),
        "classes": list(dataset.classes),
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": len(history),
        "history": history,
        "warnings": warnings,
    }
