"""Trained networks in many formats, sweep.json; every trial of a search of hyperparameters, trials.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from izhi.experiments.charts import Chart, Series, Style
from izhi.experiments.results.comparison import Config
from izhi.experiments.results.result import Chosen, Count, FolderResult, Plain, Share, per_cent, shared
from izhi.experiments.tables import Table, percent

_Bits = Annotated[int, Field(gt=0, lt=1 << 53)]


class Point(BaseModel):
    """Networks in a format."""

    model_config = ConfigDict(frozen=True)

    method: str  #: the method of quantisation
    weight_bits: _Bits  #: bits of a weight
    state_bits: _Bits  #: bits of a state
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

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        series = []
        for method, points in zip(labels or self.labels(), self.series.values(), strict=True):
            memory, accuracy, texts = zip(*(p.place for p in points), strict=True)
            notes = [
                f"weights/states: {text} bits, {percent(p.accuracies)} %" for p, text in zip(points, texts, strict=True)
            ]
            series.append(Series(method, memory, per_cent(accuracy), notes, style="points"))
        memory, accuracy, texts = zip(*_front([p.place for p in self.points]), strict=True)
        best = "best for its memory (weights/states)"
        series.append(Series(best, memory, per_cent(accuracy), texts=texts, style="steps"))
        kilobytes, level = self.whole
        series.append(Series("float", [min(memory), kilobytes], [100 * level] * 2, style="level", colour=6))
        x = "memory of weights and states (kB)"
        return [Chart("accuracy against memory", x, "test accuracy (%)", series, is_logarithmic=True)]

    def chosen(self) -> list[Chosen]:
        return shared([self.config.model_dump()])


def _front(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Of points (kB, accuracy, label), in the order of their memory, those that none of less memory reaches."""
    best: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


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
    warnings: list[str] = []  #: about the network of that trial
    trials: list[TrialResult] = Field(min_length=1)  #: all that ended, those that were stopped early included

    @model_validator(mode="after")
    def _has_a_whole_trial(self) -> VariantTrials:
        if not any(trial.is_whole and trial.accuracy is not None for trial in self.trials):
            raise ValueError("expected a complete trial")
        return self


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

    def warnings(self) -> list[str]:
        """About the networks that were found."""
        return [f"{row.label}: {line}" for row in self.variants for line in row.warnings]

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

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        series = []
        for colour, (label, row) in enumerate(zip(labels or self.labels(), self.variants, strict=True)):
            trained = [(t, t.accuracy) for t in row.trials if t.accuracy is not None]  # stopped ones may have none
            whole = [(t.number, accuracy) for t, accuracy in trained if t.is_whole]
            best = per_cent(list(accumulate((accuracy for _, accuracy in whole), max)))
            numbers = [number for number, _ in whole]
            series.append(Series(f"{label}: best so far", numbers, best, style="steps", colour=colour))
            for name, style, is_whole in _MARKS:
                if marked := [(t, accuracy) for t, accuracy in trained if t.is_whole == is_whole]:
                    numbers, notes = [t.number for t, _ in marked], [_listed(t.settings) for t, _ in marked]
                    shares = per_cent([accuracy for _, accuracy in marked])
                    series.append(Series(f"{label}: {name}", numbers, shares, notes, style=style, colour=colour))
        return [Chart("trials", "trial", "validation accuracy (%)", series)]

    def chosen(self) -> list[Chosen]:
        searched = {name for row in self.variants for name in row.found}
        configs = [row.config.model_dump() for row in self.variants]
        return shared([{n: v for n, v in config.items() if n not in searched} for config in configs])


def _listed(settings: Mapping[str, Plain]) -> str:
    return ", ".join(f"{k} = {v:.4g}" if isinstance(v, float) else f"{k} = {v}" for k, v in settings.items())
