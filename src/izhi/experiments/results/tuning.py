"""A search of hyperparameters: every trial of each variant, in trials.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, model_validator

from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series, Style
from izhi.experiments.results.comparison import Config
from izhi.experiments.results.result import (
    Chosen,
    Count,
    Drawing,
    FolderResult,
    Plain,
    Share,
    Table,
    labelled,
    per_cent,
    shared,
)

#: Groups of trials in a chart: name, style, and whether they were complete.
_MARKS: Sequence[tuple[str, Style, bool]] = (("whole trial", "points", True), ("stopped early", "crosses", False))


class TrialResult(BaseModel):
    """A trial that ended."""

    model_config = ConfigDict(frozen=True)

    number: Count  #: counted from 1
    settings: dict[str, Plain]  #: settings of the trial
    #: validation accuracy; of a stopped trial, after the last epoch that it trained, and None before the first
    accuracy: Share | None
    is_whole: bool  #: whether it was complete, and not stopped early


class VariantTrials(BaseModel):
    """The search of a variant."""

    label: str  #: label of the variant
    config: Config  #: its settings before the search
    found: dict[str, Plain]  #: settings of the best trial
    accuracy: Share  #: accuracy of that trial on the validation samples
    trials: list[TrialResult] = Field(min_length=1)  #: all that ended, those that were stopped early included

    @model_validator(mode="after")
    def _has_a_whole_trial(self) -> VariantTrials:
        if not any(trial.is_whole and trial.accuracy is not None for trial in self.trials):
            raise ValueError("expected a complete trial")
        return self

    @property
    def points(self) -> list[tuple[int, float, bool]]:
        """Number, accuracy and whether it was complete, of each trial that trained an epoch."""
        return [(t.number, t.accuracy, t.is_whole) for t in self.trials if t.accuracy is not None]


class TuningResult(FolderResult):
    """A search, the same budget for every variant."""

    FILE = "trials.json"
    PICTURES: ClassVar[Mapping[str, str]] = {"trials.png": "trials of the search"}

    variants: list[VariantTrials] = Field(min_length=1, max_length=1000)

    @property
    def title(self) -> str:
        most = max(len(row.trials) for row in self.variants)
        return f"{self.variants[0].config.dataset}: best of {most} trials, validation accuracy"

    def labels(self) -> list[str]:
        return [row.label for row in self.variants]

    def tables(self) -> list[Table]:
        return [self.best_table(), self.trials_table()]

    def best_table(self) -> Table:
        """What was found for each variant."""
        return Table(("variant", "validation (%)", "settings found", "trials", "stopped early"), [
            (row.label, f"{100 * row.accuracy:.2f}", _listed(row.found), str(len(row.trials)),
             str(sum(not trial.is_whole for trial in row.trials)))
            for row in self.variants
        ])  # fmt: skip

    def trials_table(self) -> Table:
        """Every trial of each variant."""
        rows = [
            (row.label, str(trial.number), "" if trial.accuracy is None else f"{100 * trial.accuracy:.2f}",
             "" if trial.is_whole else "stopped", _listed(trial.settings))
            for row in self.variants
            for trial in row.trials
        ]  # fmt: skip
        return Table(("variant", "trial", "validation (%)", "", "settings"), rows, "every trial")

    def charts(self) -> list[Chart]:
        series = []
        for colour, row in enumerate(self.variants):
            best = plots.best_so_far(row.points)
            series.append(
                Series(
                    f"{row.label}: best so far", [x for x, _ in best], per_cent([y for _, y in best]), style="steps",
                    colour=colour,
                )
            )  # fmt: skip
            for name, style, is_whole in _MARKS:
                marked = [t for t in row.trials if t.is_whole == is_whole and t.accuracy is not None]
                if marked:
                    numbers, notes = [t.number for t in marked], [_listed(t.settings) for t in marked]
                    shares = per_cent([t.accuracy or 0.0 for t in marked])
                    series.append(Series(f"{row.label}: {name}", numbers, shares, notes, style=style, colour=colour))
        return [Chart("trials", "trial", "validation accuracy (%)", series)]

    def chosen(self) -> list[Chosen]:
        searched = {name for row in self.variants for name in row.found}
        configs = [row.config.model_dump() for row in self.variants]
        return shared([{n: v for n, v in config.items() if n not in searched} for config in configs])

    def drawings(self) -> Mapping[str, Drawing]:
        return {"trials": self.drawn}

    def drawn(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        """Validation accuracy of every trial, and the best so far."""
        return plots.trials(labelled({row.label: row.points for row in self.variants}, labels), title)


def _listed(settings: Mapping[str, Plain]) -> str:
    return ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in settings.items())
