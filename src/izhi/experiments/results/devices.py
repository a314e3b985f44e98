"""Weights that evolved on a device, evolution.json; a deployed network under drift, adaptation.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel, Field, model_validator

from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.result import Chosen, Count, FolderResult, Number, Plain, Share, per_cent
from izhi.experiments.settings.choices import USUAL_ADAPTATION, USUAL_EVOLUTION
from izhi.experiments.tables import Table


class _Generation(BaseModel):
    generation: Count
    loss: Number
    accuracy: Share
    best_loss: Number
    evaluations: Number


class EvolutionResult(FolderResult):
    """A search of weights whose members a device measured."""

    FILE = "evolution.json"
    PICTURES: ClassVar[Mapping[str, str]] = {"evolution.png": "loss and accuracy over generations"}

    settings: dict[str, Plain]  #: the settings that decide its numbers: artifact, device, optimizer and others
    test_accuracy: Share  #: test accuracy of the resulting network
    history: list[_Generation] = Field(min_length=1)  #: history of each generation

    @property
    def title(self) -> str:
        names = {name: self.settings.get(name, "?") for name in ("artifact", "optimizer", "device")}
        return "{artifact}: {optimizer} on the device {device}".format(**names)

    def tables(self) -> list[Table]:
        last = self.history[-1]
        return [Table(("after the last generation", ""), [
            ("generation", f"{last.generation:,}"),
            ("evaluations", f"{last.evaluations:,.0f}"),
            ("loss", f"{last.loss:.4f}"),
            ("best loss of the population", f"{last.best_loss:.4f}"),
            ("accuracy on the generation's samples", f"{100 * last.accuracy:.2f} %"),
            ("test accuracy", f"{100 * self.test_accuracy:.2f} %"),
        ])]  # fmt: skip

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        x = [row.generation for row in self.history]
        notes = [f"{row.evaluations:,.0f} evaluations" for row in self.history]
        return [
            Chart("loss", "generation", "loss", [
                Series("found", x, [row.loss for row in self.history], notes),
                Series("best of the population", x, [row.best_loss for row in self.history], notes),
            ]),
            Chart("accuracy on the generation's samples", "generation", "accuracy (%)", [
                Series("found", x, [100 * row.accuracy for row in self.history], notes),
            ]),
        ]  # fmt: skip

    def chosen(self) -> list[Chosen]:
        return [Chosen("evolution", self.settings, USUAL_EVOLUTION)]


class _AdaptationRow(BaseModel):
    samples: Number
    adapting: Share | None = None
    not_adapting: Share | None = None
    old: Share | None = None
    new: Share | None = None
    frozen_old: Share | None = None
    frozen_new: Share | None = None


class AdaptationResult(FolderResult):
    """A stream of samples that a network answered and learned from, beside itself without learning."""

    FILE = "adaptation.json"
    PICTURES: ClassVar[Mapping[str, str]] = {"adaptation.png": "accuracy under drift"}

    dataset: str  #: dataset of the network
    device: str  #: the device of the network
    settings: dict[str, Plain]  #: the settings that decide its numbers: drift, method and others
    old: Share  #: accuracy on test samples of the old task, as deployed
    new: Share  #: accuracy on test samples of what is new, as deployed
    adapted_old: Share  #: accuracy on the old task after the stream
    adapted_new: Share  #: accuracy on what is new after the stream
    regained: Number  #: share of the accuracy that was lost
    kept: Number  #: share of the old task's accuracy
    history: list[_AdaptationRow] = Field(min_length=2)  #: as deployed, then of each batch

    @model_validator(mode="after")
    def _is_of_a_stream(self) -> AdaptationResult:
        first, *rows = self.history
        if None in (first.old, first.new, first.frozen_old, first.frozen_new):
            raise ValueError("expected accuracies of the network as deployed in the first row")
        if any(row.adapting is None or row.not_adapting is None for row in rows):
            raise ValueError("expected accuracies of both networks on every batch")
        if any((row.old is None) != (row.new is None) for row in rows):
            raise ValueError("expected accuracies of both tasks, or of neither")
        return self

    @property
    def title(self) -> str:
        names = {name: self.settings.get(name, "?") for name in ("drift", "method")}
        return "{}, {drift}: {method} on the device {}".format(self.dataset, self.device, **names)

    def tables(self) -> list[Table]:
        rows = [
            (name, f"{100 * before:.2f}", f"{100 * after:.2f}", f"{100 * (after - before):+.2f}")
            for name, before, after in (
                ("what is new", self.new, self.adapted_new), ("the old task", self.old, self.adapted_old)
            )
        ]  # fmt: skip
        return [
            Table(("test samples", "as deployed (%)", "after the stream (%)", "change"), rows),
            Table(("after the stream", ""), [
                ("samples that arrived", f"{self.history[-1].samples:,.0f}"),
                ("regained of the accuracy lost", f"{100 * self.regained:.1f} %"),
                ("kept of the old task's accuracy", f"{100 * self.kept:.1f} %"),
            ]),
        ]  # fmt: skip

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        first, *rows = self.history
        arrived, stream = [row.samples for row in rows], []
        for colour, (label, name) in enumerate((("adapted", "adapting"), ("frozen", "not_adapting"))):
            values = per_cent([getattr(row, name) for row in rows])
            stream.append(Series(label, arrived, plots.smoothed(values), style="bare", colour=colour))
            stream.append(Series(f"{label}, each batch", arrived, values, style="points", colour=colour))
        tested = [row for row in self.history if row.old is not None]
        at, tests, frozen = [row.samples for row in tested], [], []
        for label, name, colour, level in (("what is new", "new", 0, 1), ("the old task", "old", 2, 6)):
            tests.append(Series(label, at, per_cent([getattr(row, name) for row in tested]), colour=colour))
            ends, before = [at[0], at[-1]], per_cent([getattr(first, f"frozen_{name}")] * 2)
            frozen.append(Series(f"{label}, frozen", ends, before, style="level", colour=level))
        x = "samples that arrived"
        return [
            Chart("the stream, answered before learning", x, "accuracy (%)", stream),
            Chart("test samples", x, "accuracy (%)", [*tests, *frozen]),
        ]

    def chosen(self) -> list[Chosen]:
        return [Chosen("adaptation", {**self.settings, "device": self.device}, USUAL_ADAPTATION)]
