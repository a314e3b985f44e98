"""What a user would take in place of spikes: a GRU and a temporal convolutional network by the protocol of a study.

    python benchmarks/conventional.py docs/results/temporal-benchmark benchmark

On each task they see the samples as the spiking networks do, have at most as many parameters as a variant of the study
(--like), and the same batches, epochs, schedule, held-out samples and seeds. Trials search the learning rate alone, as
many as the study has, and the test samples are opened once. Rows are kept in conventional/TASK.json of the folder; the
same command goes on with what is missing.

Sources: K. Cho et al., EMNLP 2014 (GRU); S. Bai, J. Z. Kolter, V. Koltun, arXiv 1803.01271 (TCN).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import torch
from torch import Tensor, nn

from izhi import files
from izhi.data import NO_LABEL, AnySamples
from izhi.errors import IzhiError, SettingError
from izhi.experiments import build
from izhi.experiments.planned import Resources, without_test_samples
from izhi.experiments.settings import Experiment
from izhi.experiments.study import rows
from izhi.experiments.study.protocol import Protocol, Task, find, read
from izhi.experiments.study.rows import RunRow
from izhi.network.encoders import Encoder
from izhi.seeds import Purpose, derive_seed
from izhi.training import LOSSES, Loss

#: Learning rates of the trials, spaced in logs.
RATES = (1e-3, 3e-2)
#: Samples of a batch of the evaluation.
AT_ONCE = 256


class Recurrent(nn.Module):
    """Gated recurrent units and a linear readout, (T, B, inputs) → (T, B, classes)."""

    def __init__(self, inputs: int, size: int, classes: int, steps: int) -> None:
        super().__init__()
        self.units, self.readout = nn.GRU(inputs, size), nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.readout(self.units(x)[0])
        return output


class Block(nn.Module):
    """A causal convolution of three steps, ``dilation`` apart, and a shortcut."""

    def __init__(self, inputs: int, size: int, dilation: int) -> None:
        super().__init__()
        self.before, self.convolution = 2 * dilation, nn.Conv1d(inputs, size, 3, dilation=dilation)
        self.shortcut = nn.Conv1d(inputs, size, 1) if inputs != size else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        before, beside = nn.functional.pad(x, (self.before, 0)), self.shortcut(x)
        output: Tensor = torch.relu(self.convolution(before)) + beside
        return output


class Convolutional(nn.Module):
    """Blocks whose dilation doubles until they see all steps, and a linear readout; shapes as of ``Recurrent``."""

    def __init__(self, inputs: int, size: int, classes: int, steps: int) -> None:
        super().__init__()
        count = max(1, math.ceil(math.log2(max(2, steps) / 2)))
        self.blocks = nn.Sequential(*(Block(size if k else inputs, size, 2**k) for k in range(count)))
        self.readout = nn.Linear(size, classes)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.readout(self.blocks(x.permute(1, 2, 0)).permute(2, 0, 1))
        return output


MODELS: dict[str, Callable[[int, int, int, int], nn.Module]] = {"GRU": Recurrent, "TCN": Convolutional}


def parameters(model: nn.Module) -> int:
    """The number of what it learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def widest(model: str, inputs: int, classes: int, steps: int, most: int) -> nn.Module:
    """The widest model of at most so many parameters, and of one unit at least."""
    size = 1
    with torch.device("meta"):
        while parameters(MODELS[model](inputs, size + 1, classes, steps)) <= most:
            size += 1
    return MODELS[model](inputs, size, classes, steps)


def loss_of(e: Experiment) -> Loss:
    """The loss of an experiment; sums over time become means, which suit units that are not sparse."""
    return LOSSES["mean" if e.training.loss == "count" else e.training.loss]


def trained(
    model: str, e: Experiment, rate: float, most: int, resources: Resources
) -> tuple[nn.Module, Encoder, AnySamples]:
    """A model trained without test samples, the encoder of its samples, and those that were held out."""
    dataset = without_test_samples(resources.dataset(e))
    samples, held_out = build.training_samples(e.data, dataset)
    encoder = build.encoder(e.replace(kernel="reference"), dataset)
    loss, seed, size = loss_of(e), e.training.seed, e.training.batch_size
    torch.manual_seed(derive_seed(seed, Purpose.WEIGHTS))
    made = widest(model, encoder.features, len(dataset.classes), e.coding.steps, most)
    optimizer = torch.optim.Adam(made.parameters(), rate)
    updates = e.training.epochs * math.ceil(len(samples) / size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates)
    for epoch in range(e.training.epochs):
        generator = torch.Generator().manual_seed(derive_seed(seed, Purpose.ORDER, epoch))
        order = torch.randperm(len(samples), generator=generator)
        for number, index in enumerate(torch.split(order, size)):
            values, labels = samples.batch(index)
            inputs = encoder(values, derive_seed(seed, Purpose.BATCH, epoch, number), training=True)
            optimizer.zero_grad()
            torch.autograd.backward(loss(made(inputs), labels))
            nn.utils.clip_grad_norm_(made.parameters(), e.training.gradient_clip or math.inf)
            optimizer.step()
            schedule.step()
    return made.eval(), encoder, held_out


@torch.no_grad()
def accuracy(model: nn.Module, e: Experiment, encoder: Encoder, samples: AnySamples, purpose: Purpose) -> float:
    """The share of right answers, 0 to 1."""
    right = known = 0
    for number, index in enumerate(torch.split(torch.arange(len(samples)), AT_ONCE)):
        values, labels = samples.batch(index)
        inputs = encoder(values, derive_seed(e.training.seed, purpose, number), training=False)
        predicted, wanted = loss_of(e).compare(model(inputs), labels)
        counts = wanted != NO_LABEL
        right += int(((predicted == wanted) & counts).sum())
        known += int(counts.sum())
    return right / known


def searched(model: str, protocol: Protocol, task: Task, most: int, resources: Resources) -> dict[str, object]:
    """The best learning rate of the trials, by validation samples, and the test accuracies of all seeds with it."""
    variant, count = protocol.variants[0], task.trials or protocol.trials
    settings = protocol.tried(task, variant)[0]  # of neurons, which these models do not have
    rates = [RATES[0] * (RATES[1] / RATES[0]) ** ((k + 0.5) / count) for k in range(count)]
    judged = []
    for rate in rates:
        parts = []
        for e in protocol.of_trial(task, variant, settings):
            made, encoder, held_out = trained(model, e, rate, most, resources)
            parts.append(accuracy(made, e, encoder, held_out, Purpose.VALIDATION))
        judged.append(fmean(parts))
    best = rates[judged.index(max(judged))]
    tests, began = [], time.perf_counter()
    for seed in protocol.seeds:
        e = protocol.of_run(task, variant, settings, seed)
        made, encoder, _ = trained(model, e, best, most, resources)
        tests.append(accuracy(made, e, encoder, resources.dataset(e).test, Purpose.TEST))
    return {
        "learning_rate": best, "validation": judged, "test": tests, "parameters": parameters(made),
        "seconds": (time.perf_counter() - began) / len(tests),
    }  # fmt: skip


def most_parameters(folder: Path, task: str, like: str) -> int:
    """Parameters of a variant on a task of a study; SettingError if it has no run there."""
    for row in rows.read(folder, task):
        if isinstance(row, RunRow) and row.variant == like:
            return row.parameters
    raise SettingError(
        f"{rows.place(folder, task)} holds no run of {like!r}; run the study first, or choose tasks by --tasks, or"
        " another variant by --like"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of the rows of the study")
    parser.add_argument("protocol", help="TOML file, or benchmark, Izhi's own")
    parser.add_argument("--like", default="resonators", help="variant that has as many parameters")
    parser.add_argument("--tasks", default="", help="comma-separated; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    resources = Resources()
    names = [name.strip() for name in options.tasks.split(",") if name.strip()]
    try:
        protocol = read(find(options.protocol), names)
        tasks = [(x, most_parameters(options.folder, x.name, options.like)) for x in protocol.chosen(names)]
    except IzhiError as error:
        parser.error(str(error))
    print("| task | model | parameters | learning rate | test (%) | seconds |\n|---|---|---:|---:|---:|---:|")
    for task, most in tasks:
        path = options.folder / "conventional" / f"{task.name}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        for model in MODELS:
            if model not in found:
                found[model] = searched(model, protocol, task, most, resources)
                path.parent.mkdir(exist_ok=True)
                files.write_bytes(path, (json.dumps(found, indent=1) + "\n").encode())
            row = found[model]
            tests = [100 * x for x in row["test"]]
            spread = f"{fmean(tests):.2f} ± {stdev(tests) if len(tests) > 1 else 0:.2f}"
            cells = f"{row['parameters']:,} | {row['learning_rate']:.2g} | {spread} | {row['seconds']:.1f}"
            print(f"| {task.name} | {model} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
