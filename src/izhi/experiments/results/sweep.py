"""Trained networks in many formats: sweep.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, model_validator

from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.comparison import Config
from izhi.experiments.results.result import Chosen, Drawing, FolderResult, Share, Table, labelled, per_cent, shared
from izhi.experiments.tables import percent

_Bits = Annotated[int, Field(gt=0, lt=1 << 53)]


class Point(BaseModel):
    """Networks in a format."""

    model_config = ConfigDict(frozen=True)

    method: str  #: the method of quantisation
    weight_bits: _Bits  #: their format
    state_bits: _Bits  #: their format
    bits: _Bits  #: bits of memory for weights and states of one network
    accuracies: tuple[Share, ...]  #: test accuracy of each run

    @property
    def place(self) -> tuple[float, float, str]:
        """Where it is among others: kB, mean accuracy, and bits of weights/states."""
        return self.bits / 8000, fmean(self.accuracies), f"{self.weight_bits}/{self.state_bits}"


class SweepResult(FolderResult):
    """Accuracy of networks against their memory, by each method of quantisation."""

    FILE = "sweep.json"
    PICTURES: ClassVar[Mapping[str, str]] = {"pareto.png": "accuracy against memory"}

    float_accuracies: list[Share] = Field(min_length=1)  #: test accuracies of the float networks
    float_bits: _Bits  #: bits of memory of one of these networks
    seeds: list[int]  #: their seeds
    config: Config  #: settings of the first one
    points: list[Point] = Field(min_length=1, max_length=10_000)  #: the same networks in each format

    @model_validator(mode="after")
    def _have_the_same_runs(self) -> SweepResult:
        if any(len(x) != len(self.float_accuracies) for x in (self.seeds, *(p.accuracies for p in self.points))):
            raise ValueError(f"expected {len(self.float_accuracies)} accuracies of every point, and as many seeds")
        return self

    @property
    def title(self) -> str:
        return f"{self.config.dataset}, {(self.config.model_extra or {}).get('neuron', 'network')}, quantised"

    @property
    def whole(self) -> tuple[float, float]:
        """kB and mean accuracy of the float networks."""
        return self.float_bits / 8000, fmean(self.float_accuracies)

    def labels(self) -> list[str]:
        return list(self.series)

    @property
    def series(self) -> dict[str, list[Point]]:
        """The points of each method."""
        methods = dict.fromkeys(p.method for p in self.points)
        return {method: [p for p in self.points if p.method == method] for method in methods}

    def tables(self) -> list[Table]:
        unchanged = ("float", "32", "32", f"{self.whole[0]:,.1f}", percent(self.float_accuracies), "")
        seeds = Table(("seeds",), [(", ".join(map(str, self.seeds)),)])
        return [Table(self.table().headings, [unchanged, *self.table().rows]), seeds]

    def table(self) -> Table:
        """A row for each point."""
        headings = ("method", "weights (bits)", "states (bits)", "memory (kB)", "test accuracy (%)", "against float")
        rows = [
            (p.method, str(p.weight_bits), str(p.state_bits), f"{p.place[0]:,.1f}", percent(p.accuracies),
             f"{100 * (p.place[1] - self.whole[1]):+.2f}")
            for p in self.points
        ]  # fmt: skip
        return Table(headings, rows)

    def charts(self) -> list[Chart]:
        series = []
        for method, points in self.series.items():
            memory, accuracy, texts = zip(*(p.place for p in points), strict=True)
            notes = [
                f"weights/states: {text} bits, {percent(p.accuracies)} %" for p, text in zip(points, texts, strict=True)
            ]
            series.append(Series(method, memory, per_cent(accuracy), notes, style="points"))
        memory, accuracy, texts = zip(*plots.front([p.place for p in self.points]), strict=True)
        series.append(
            Series("best for its memory (weights/states)", memory, per_cent(accuracy), texts=texts, style="steps")
        )
        kilobytes, level = self.whole
        series.append(Series("float", [min(memory), kilobytes], [100 * level] * 2, style="level", colour=6))
        return [
            Chart(
                "accuracy against memory",
                "memory of weights and states (kB)",
                "test accuracy (%)",
                series,
                is_logarithmic=True,
            )
        ]

    def chosen(self) -> list[Chosen]:
        return shared([self.config.model_dump()])

    def drawings(self) -> Mapping[str, Drawing]:
        return {"pareto": self.pareto}

    def pareto(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        """Accuracy against memory."""
        places = {method: [p.place for p in points] for method, points in self.series.items()}
        return plots.pareto(labelled(places, labels), self.whole, title)
