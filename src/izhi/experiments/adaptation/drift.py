"""Drift: how the inputs change after deployment, as a stream of labelled samples.

rotate=45       images turn by up to 45° over the first half of the stream, and stay so
permute=0.3     the places of three tenths of the inputs are exchanged at once, as in a damaged sensor
classes=8+9     classes that training left out (its setting ``without``) appear
speaker=3       a speaker whom training left out (``validation_speaker``) speaks
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from izhi.data import AnySamples, Dataset, Samples, has_step_labels
from izhi.errors import SettingError, unknown
from izhi.experiments.build import training_samples
from izhi.experiments.settings import Experiment
from izhi.seeds import Purpose, derive_seed

KINDS = ("rotate", "permute", "classes", "speaker")
#: Share of the stream after which a rotation is complete.
TURNED = 0.5
#: Share of a new speaker's recordings that are the stream; the others test.
STREAMED = 0.6


@dataclass(frozen=True)
class Drift:
    """A kind of drift, and how much or what: ``Drift.parse("rotate=45")``."""

    kind: str
    amount: str

    @classmethod
    def parse(cls, text: str) -> Drift:
        """From ``kind=amount``; SettingError for an unknown kind or an amount that is none."""
        kind, _, amount = (piece.strip() for piece in text.partition("="))
        if kind not in KINDS:
            raise unknown("drift", kind, KINDS)
        drift = cls(kind, amount)
        if kind in ("rotate", "permute"):
            low, high = (-360.0, 360.0) if kind == "rotate" else (0.0, 1.0)
            if not low <= drift.number <= high or drift.number == 0:
                raise SettingError(f"drift is {text!r}, expected {kind}= a number from {low:g} to {high:g}, not 0")
        elif not amount:
            raise SettingError(f"drift is {text!r}, expected {kind}= what is new")
        return drift

    @property
    def number(self) -> float:
        """The amount as a number; SettingError if it is none."""
        try:
            return float(self.amount)
        except ValueError:
            raise SettingError(f"drift is '{self.kind}={self.amount}', expected a number after =") from None


@dataclass(frozen=True)
class DriftTask:
    """The stream of a deployed network, and the samples that evaluate it."""

    pool: AnySamples  #: all samples that it may learn from
    stream: Tensor  #: indices of the samples that arrive, in order
    memory: Tensor  #: indices of the samples of the old task that are kept for rehearsal
    old: AnySamples  #: test samples of the task of the training
    new: AnySamples  #: test samples of the new task


def task(dataset: Dataset, e: Experiment, drift: Drift, *, samples: int, memory: int, seed: int) -> DriftTask:
    """The stream of a drift, and the samples that evaluate it.

    Args:
        samples: length of the stream at most.
        memory: samples of the old task kept for rehearsal.
        seed: seed of the choice of both.

    Raises:
        SettingError: if the data set or the training does not fit the drift.
    """
    trained_on, _ = training_samples(e.data, dataset)
    if has_step_labels(trained_on):
        raise SettingError(f"{dataset.name} has a label for each step, expected one for a sample; choose other data")
    generator = torch.Generator().manual_seed(derive_seed(seed, Purpose.STREAM))
    if drift.kind in ("rotate", "permute"):
        return _changed(dataset, drift, trained_on, samples, memory, generator)
    if drift.kind == "classes":
        news, old, new, others = _classes(dataset, e, drift)
    else:
        news, old, new, others = _speaker(dataset, e, drift, generator)
    arriving = news[torch.randperm(len(news), generator=generator)]
    usual = others[torch.randperm(len(others), generator=generator)]
    kept, rest = usual[:memory], usual[memory:]
    if drift.kind == "classes":
        # Samples of the old classes still arrive, as often for each class.
        share = len(others) / max(1, len(news))
        arriving = torch.cat([arriving, rest[: int(share * len(arriving))]])
        arriving = arriving[torch.randperm(len(arriving), generator=generator)]
    return DriftTask(dataset.train, arriving[:samples], kept, old, new)


def _changed(
    dataset: Dataset, drift: Drift, trained_on: AnySamples, samples: int, memory: int, generator: torch.Generator
) -> DriftTask:
    test = dataset.test
    if not isinstance(trained_on, Samples) or not isinstance(test, Samples):
        raise SettingError(f"drift is {drift.kind}, but {dataset.name} holds recordings; choose speaker or classes")
    if drift.kind == "rotate" and len(dataset.shape) != 2:
        raise SettingError(f"drift is rotate, but {dataset.name} holds no images; choose permute")
    order = torch.randperm(len(trained_on), generator=generator)
    kept, arriving = order[:memory], order[memory : memory + samples]
    if len(arriving) == 0:
        raise SettingError(
            f"replay is {memory}, but there are {len(trained_on)} samples; keep fewer, so that some arrive"
        )
    progress = torch.arange(len(arriving)) / max(1, TURNED * len(arriving))
    values = change(trained_on.batch(arriving)[0], drift, dataset.shape, progress.clamp(max=1))
    old_values, old_labels = trained_on.batch(kept)
    pool = Samples(torch.cat([values, old_values]), torch.cat([trained_on.labels[arriving], old_labels]))
    tested = change(test.batch(slice(None))[0], drift, dataset.shape, torch.ones(len(test)))
    everything = torch.arange(len(pool))
    return DriftTask(pool, everything[: len(arriving)], everything[len(arriving) :], test, Samples(tested, test.labels))


def change(values: Tensor, drift: Drift, shape: tuple[int, ...], progress: Tensor) -> Tensor:
    """Values (B, N) after a rotation or an exchange of inputs, of which so much has happened, (B,) from 0 to 1."""
    if drift.kind == "permute":
        size = values.shape[1]
        random = np.random.default_rng(derive_seed(0, Purpose.PERMUTATION))
        moved = np.sort(random.permutation(size)[: round(drift.number * size)])
        places = np.arange(size)
        places[moved] = np.roll(random.permutation(moved), 1)
        return values[:, torch.from_numpy(places)]
    angle = torch.deg2rad(drift.number * progress)
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros_like(cos)
    turn = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    images = values.view(-1, 1, *shape)
    grid = functional.affine_grid(turn, list(images.shape), align_corners=False)
    turned = functional.grid_sample(images, grid, align_corners=False)
    return turned.clamp(0, 1).view(len(values), -1)


def _classes(dataset: Dataset, e: Experiment, drift: Drift) -> tuple[Tensor, AnySamples, AnySamples, Tensor]:
    names = tuple(name.strip() for name in drift.amount.split("+"))
    if set(names) != set(e.data.exclude_classes):
        raise SettingError(
            f"drift is 'classes={drift.amount}', but training left out {', '.join(e.data.exclude_classes) or 'none'};"
            f" train with --exclude-classes {','.join(names)}"
        )
    wanted = torch.tensor([dataset.classes.index(name) for name in names])
    train, test = (torch.isin(x.labels, wanted) for x in (dataset.train, dataset.test))
    numbers = torch.arange(len(dataset.train))
    return numbers[train], dataset.test.subset(~test), dataset.test.subset(test), numbers[~train]


def _speaker(
    dataset: Dataset, e: Experiment, drift: Drift, generator: torch.Generator
) -> tuple[Tensor, AnySamples, AnySamples, Tensor]:
    if dataset.speakers is None or str(e.data.validation_speaker) != drift.amount:
        raise SettingError(
            f"drift is 'speaker={drift.amount}', but training left out speaker {e.data.validation_speaker};"
            f" train with --validation-speaker {drift.amount}"
        )
    his = torch.eq(dataset.speakers, int(drift.amount))
    numbers = torch.arange(len(dataset.train))
    own = numbers[his][torch.randperm(int(his.sum()), generator=generator)]
    count = round(STREAMED * len(own))
    tested = torch.zeros(len(numbers), dtype=torch.bool)
    tested[own[count:]] = True
    known = dataset.groups.get("known_speakers", torch.ones(len(dataset.test), dtype=torch.bool))
    return own[:count], dataset.test.subset(known), dataset.train.subset(tested), numbers[~his]
