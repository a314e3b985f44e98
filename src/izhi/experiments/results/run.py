"""A run: its settings in config.toml, and metrics of every epoch in metrics.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure

from izhi.errors import RunFolderError
from izhi.experiments import plots, saved
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.result import Chosen, Drawing, FolderResult, in_groups, labelled
from izhi.experiments.tables import Table

#: Charts: the end of their metrics' names, what is along their vertical axis, and by what numbers are multiplied.
_CHARTS = (("accuracy", "accuracy (%)", 100), ("loss", "loss", 1))


def title(settings: Mapping[str, object]) -> str:
    """The title of a run's figure and reports."""
    return f"{settings['neuron']}, {settings['connection']}, {settings['dataset']}"


def accuracy(history: Sequence[Mapping[str, float]], title: str, labels: Sequence[str] | None = None) -> Figure:
    """Accuracy of a run over its epochs, on each part of the samples on which it was measured."""
    curves = {
        part: [[row[f"{part}_accuracy"] for row in history]]
        for part in ("test", "validation", "train")
        if all(f"{part}_accuracy" in row for row in history)
    }
    return plots.accuracy(labelled(curves, labels), title, "accuracy")


class RunResult(FolderResult):
    """A network that was trained, by gradients or by evolution, or quantised."""

    FILE = saved.METRICS
    PICTURES: ClassVar[Mapping[str, str]] = {
        "accuracy.png": "accuracy over epochs",
        "confusion.png": "confusion matrix",
        "dynamics.png": "coefficients before and after training",
    }

    folder: Path  #: folder of the run, for messages
    settings: dict[str, Any]  #: all settings by name
    history: list[dict[str, float]]  #: metrics of each epoch; some may be missing

    @classmethod
    def read(cls, folder: Path) -> RunResult:
        """See ``FolderResult``."""
        config = saved.config(folder)
        lines = config.decode(errors="replace").split("\n")
        command = saved.command_of(lines)
        header = [line.removeprefix("# ") for line in lines if line.startswith("# ")]
        pairs = (line.partition(" ") for line in header if line != command)
        return cls.model_construct(
            command=command, versions={name: version for name, _, version in pairs}, folder=folder,
            settings=saved.settings(config), history=saved.history(folder),
        )  # fmt: skip

    @property
    def title(self) -> str:
        return title(self.settings)

    @property
    def unit(self) -> str:
        """What an epoch is: one of evolution measures a population."""
        return "generation" if all("evaluations" in row for row in self.history) else "epoch"

    def tables(self) -> list[Table]:
        last = [(name.replace("_", " "), _number(name, value)) for name, value in self.history[-1].items()]
        return [Table((f"after the last {self.unit}", ""), last)]

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        if not self.history[-1]["epoch"]:
            return []
        charts = [Chart(end, self.unit, y, self._series(end, factor)) for end, y, factor in _CHARTS]
        return [chart for chart in charts if chart.series]

    def _series(self, end: str, factor: float) -> list[Series]:
        epochs = [row["epoch"] for row in self.history]
        notes = [f"{row['evaluations']:,.0f} evaluations" for row in self.history if "evaluations" in row]
        names = {f"{part}_{end}": part for part in ("train", "validation", "test")}
        names[f"best_{end}"] = "best of the population"
        return [
            Series(
                label, epochs, [factor * row[name] for row in self.history], notes if len(notes) == len(epochs) else ()
            )
            for name, label in names.items()
            if all(name in row for row in self.history)
        ]

    def chosen(self) -> list[Chosen]:
        return in_groups(self.settings)

    def drawings(self) -> Mapping[str, Drawing]:
        if not self.history[-1]["epoch"] or not all("test_accuracy" in row for row in self.history):
            raise RunFolderError(f"{self.folder} has no accuracy of every epoch, expected a run that was trained there")
        return {"accuracy": lambda title, labels: accuracy(self.history, title, labels)}


def _number(name: str, value: float) -> str:
    if "accuracy" in name:
        return f"{100 * value:.2f} %"
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
