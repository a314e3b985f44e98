"""A comparison of several neurons or connections, each with several seeds: comparison.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Annotated, ClassVar

from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, model_validator

from izhi.data.catalogue import FOLDS
from izhi.experiments import plots
from izhi.experiments.charts import Chart, Series
from izhi.experiments.results.result import Chosen, Count, Drawing, FolderResult, Number, Share, labelled, shared
from izhi.experiments.tables import Table, percent, span


class _Epoch(BaseModel):
    test_accuracy: Share


class Config(BaseModel):
    """Settings of an experiment: those that titles name, and all others as they are."""

    model_config = ConfigDict(extra="allow")

    dataset: str
    steps: Count
    fold: Count | None = None


class _ComparisonRow(BaseModel):
    label: str
    config: Config
    seeds: list[int] = Field(min_length=1)
    test_accuracy: list[Share] = Field(min_length=1)
    groups: dict[str, Annotated[list[Share], Field(min_length=1)]]
    history: list[Annotated[list[_Epoch], Field(min_length=1)]] = Field(min_length=1)


#: Columns of the table of differences, and of that of energy behind what the energy is of.
DIFFERENCE_HEADINGS = (
    "variant", "difference (points)", "95 % interval", "p", "", "seeds for it", "seeds for 0.5 points",
)  # fmt: skip
ENERGY_HEADINGS = ("estimate for", "nJ a sample", "dense twin, nJ", "ratio")


class DifferenceRow(BaseModel):
    """What a variant has more than the reference; see ``izhi.experiments.statistics.Difference``."""

    label: str
    mean: Number
    low: Number
    high: Number
    p: Number
    verdict: str = ""
    pairs: Count = 0
    overlap: Number = 0.0
    seeds_for_it: Count | None
    seeds_for_half_a_point: Count | None

    def cells(self) -> tuple[str, ...]:
        """A row of a table."""
        needed = ("–" if n is None else f"{n:,}" for n in (self.seeds_for_it, self.seeds_for_half_a_point))
        return (
            self.label, f"{100 * self.mean:+.2f}", f"{100 * self.low:+.2f} … {100 * self.high:+.2f}", f"{self.p:.3g}",
            self.verdict, *needed,
        )  # fmt: skip


class Estimate(BaseModel):
    """Energy of a sample in a technology, in nJ: of the network, and of its dense twin."""

    technology: str
    network: Number
    dense_twin: Number

    def cells(self) -> tuple[str, ...]:
        """A row of a table."""
        ratio = f"{self.network / self.dense_twin:.2f}" if self.dense_twin else "–"
        return self.technology, f"{self.network:,.1f}", f"{self.dense_twin:,.1f}", ratio


class _Energy(BaseModel):
    spikes: Number
    estimated_nanojoules: list[Estimate]


class ComparisonResult(FolderResult):
    """As much of comparison.json as is shown; comparisons of earlier versions have no differences and no energy."""

    FILE = "comparison.json"
    PICTURES: ClassVar[Mapping[str, str]] = {
        "accuracy.png": "accuracy over epochs",
        "outcomes.png": "accuracy of each seed",
    }

    rows: list[_ComparisonRow] = Field(min_length=1, max_length=1000)
    reference: str = ""
    differences: list[DifferenceRow] = Field(default=[], max_length=1000)
    energy: dict[str, _Energy] = Field(default={}, max_length=1000)

    @model_validator(mode="after")
    def _have_the_same_groups(self) -> ComparisonResult:
        if any(row.groups.keys() != self.rows[0].groups.keys() for row in self.rows):
            raise ValueError("expected the same groups of test samples in every row")
        return self

    @property
    def title(self) -> str:
        first = self.rows[0]
        seeds = len({*first.seeds})
        folds = "" if first.config.fold is None else f", {FOLDS} folds"
        return f"{first.config.dataset}, T = {first.config.steps}, {seeds} seed{'s' if seeds > 1 else ''}{folds}"

    def labels(self) -> list[str]:
        return [*(row.label for row in self.rows), self.reference]

    def tables(self) -> list[Table]:
        groups = [name.replace("_", " ") for name in self.rows[0].groups]
        headings = ("variant", "test accuracy (%)", "least … most", *(f"{name} (%)" for name in groups), "seeds")
        return [Table(headings, [
            (row.label, percent(row.test_accuracy), span(row.test_accuracy), *map(percent, row.groups.values()),
             ", ".join(map(str, dict.fromkeys(row.seeds))))
            for row in self.rows
        ]), *self.differences_table(), *self._energy()]  # fmt: skip

    def differences_table(self) -> list[Table]:
        """The table of differences, if there are any."""
        rows = [one.cells() for one in self.differences]
        return [Table(DIFFERENCE_HEADINGS, rows, f"against {self.reference}, paired over seeds")] if rows else []

    def _energy(self) -> list[Table]:
        headings = ("variant", "spikes a sample", *ENERGY_HEADINGS)
        rows = [
            (label, f"{one.spikes:,.0f}", *x.cells())
            for label, one in self.energy.items()
            for x in one.estimated_nanojoules
        ]
        return [Table(headings, rows, "energy: an estimate from published costs per operation")] if rows else []

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        return [Chart("mean test accuracy", "epoch", "mean test accuracy (%)", [_series(row) for row in self.rows])]

    def chosen(self) -> list[Chosen]:
        return shared([row.config.model_dump() for row in self.rows])

    def drawings(self) -> Mapping[str, Drawing]:
        return {"accuracy": self._accuracy, "outcomes": self._outcomes}

    def _accuracy(self, title: str, labels: Sequence[str] | None) -> Figure:
        """Test accuracy over epochs."""
        curves = {row.label: [[epoch.test_accuracy for epoch in seed] for seed in row.history] for row in self.rows}
        return plots.accuracy(labelled(curves, labels), title)

    def _outcomes(self, title: str, labels: Sequence[str] | None) -> Figure:
        accuracies = {row.label: row.groups or {"all": row.test_accuracy} for row in self.rows}
        return plots.outcomes(labelled(accuracies, labels), title)


def _series(row: _ComparisonRow) -> Series:
    """Means over seeds, up to the last epoch that all of them finished."""
    epochs = [[seed.test_accuracy for seed in of] for of in zip(*row.history, strict=False)]
    notes = [span(values) for values in epochs] if len(row.history) > 1 else ()
    return Series(row.label, range(1, len(epochs) + 1), [100 * fmean(values) for values in epochs], notes)
