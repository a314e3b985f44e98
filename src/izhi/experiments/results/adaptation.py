"""Continual learning of a deployed network under drift: adaptation.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, Field, model_validator

from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.result import (
    Chosen,
    Drawing,
    FolderResult,
    Number,
    Plain,
    Share,
    Table,
    per_cent,
    unlabelled,
)
from izhi.experiments.settings.choices import USUAL_ADAPTATION


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
    old: Share  #: accuracy on test samples of the old task and of what is new, as deployed
    new: Share  #: accuracy on test samples of the old task and of what is new, as deployed
    adapted_old: Share  #: accuracy after the stream
    adapted_new: Share  #: accuracy after the stream
    regained: Number  #: shares of the accuracy that was lost, and of the old task's
    kept: Number  #: shares of the accuracy that was lost, and of the old task's
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
            (name, *(f"{100 * x:.2f}" for x in (before, after)), f"{100 * (after - before):+.2f}")
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

    def charts(self) -> list[Chart]:
        first, *rows = self.history
        stream = []
        arrived = [row.samples for row in rows]
        for colour, (label, found) in enumerate(
            (("adapted", [row.adapting or 0.0 for row in rows]), ("frozen", [row.not_adapting or 0.0 for row in rows]))
        ):
            values = per_cent(found)
            stream.append(Series(label, arrived, plots.smoothed(values), style="bare", colour=colour))
            stream.append(Series(f"{label}, each batch", arrived, values, style="points", colour=colour))
        tested = [row for row in self.history if row.old is not None]
        at = [row.samples for row in tested]
        tests = [
            Series("what is new", at, [100 * (row.new or 0) for row in tested], colour=0),
            Series("the old task", at, [100 * (row.old or 0) for row in tested], colour=2),
            Series(
                "what is new, frozen", [at[0], at[-1]], [100 * (first.frozen_new or 0)] * 2, style="level", colour=1
            ),
            Series(
                "the old task, frozen", [at[0], at[-1]], [100 * (first.frozen_old or 0)] * 2, style="level", colour=6
            ),
        ]
        return [
            Chart("the stream, answered before learning", "samples that arrived", "accuracy (%)", stream),
            Chart("test samples", "samples that arrived", "accuracy (%)", tests),
        ]

    def chosen(self) -> list[Chosen]:
        return [Chosen("adaptation", {**self.settings, "device": self.device}, USUAL_ADAPTATION)]

    def drawings(self) -> Mapping[str, Drawing]:
        return {"adaptation": self.drawn}

    def drawn(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        """Accuracy over the stream, and on test samples."""
        unlabelled("adaptation", labels)
        return plots.adaptation([row.model_dump(exclude_none=True) for row in self.history], title)
