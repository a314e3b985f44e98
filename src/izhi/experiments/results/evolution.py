"""The weights of an artifact that evolved on a device: evolution.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, Field

from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.result import (
    Chosen,
    Count,
    Drawing,
    FolderResult,
    Number,
    Plain,
    Share,
    Table,
    unlabelled,
)
from izhi.experiments.settings.choices import USUAL_EVOLUTION


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

    def charts(self) -> list[Chart]:
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

    def drawings(self) -> Mapping[str, Drawing]:
        return {"evolution": self.drawn}

    def drawn(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        """Loss and accuracy over generations."""
        unlabelled("evolution", labels)
        return plots.evolution([row.model_dump() for row in self.history], title)
