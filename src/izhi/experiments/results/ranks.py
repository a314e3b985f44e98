"""Variants ranked over several data sets, or tasks of a study: ranking.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from matplotlib.figure import Figure
from pydantic import Field, model_validator

from izhi.errors import in_one_line
from izhi.experiments import plots, statistics
from izhi.experiments.charts import Chart
from izhi.experiments.results.result import Chosen, FolderResult, Share, labelled
from izhi.experiments.statistics import Ranking
from izhi.experiments.tables import Table


class RankingResult(FolderResult):
    """Mean test accuracy of each variant on each data set, and the mean ranks."""

    FILE = "ranking.json"
    PICTURES: ClassVar[Mapping[str, str]] = {"ranks.png": "mean ranks; bars join variants that do not differ"}

    tasks: list[str] = Field(min_length=2, max_length=1000)  #: names of the data sets
    accuracies: dict[str, list[Share]] = Field(min_length=2, max_length=1000)  #: of each variant on each of them

    @model_validator(mode="after")
    def _have_every_task(self) -> RankingResult:
        if any(len(x) != len(self.tasks) for x in self.accuracies.values()):
            raise ValueError(f"expected {len(self.tasks)} accuracies of every variant")
        return self

    @cached_property
    def ranking(self) -> Ranking:
        """The ranks and tests of these accuracies."""
        return statistics.rank(self.accuracies, self.tasks)

    @property
    def title(self) -> str:
        return f"mean rank of test accuracy over {len(self.tasks)} data sets"

    def labels(self) -> list[str]:
        return list(self.ranking.ranks)

    def tables(self) -> list[Table]:
        rows = [
            (in_one_line(label), f"{mean:.2f}", *(f"{100 * x:.2f}" for x in self.accuracies[label]))
            for label, mean in self.ranking.ranks.items()
        ]
        tasks = [f"{in_one_line(task)} (%)" for task in self.tasks]
        return [Table(("variant", "mean rank", *tasks), rows, right=range(1, len(tasks) + 2))]

    def charts(self, labels: Sequence[str] | None = None) -> list[Chart]:
        return []

    def chosen(self) -> list[Chosen]:
        return []

    def figure(self, title: str, labels: Sequence[str] | None = None) -> Figure:
        named = labelled({label: label for label in self.labels()}, labels)
        new = {old: label for label, old in named.items()}
        means = {new[label]: mean for label, mean in self.ranking.ranks.items()}
        cliques = [tuple(new[label] for label in group) for group in self.ranking.cliques]
        return plots.ranks(means, self.ranking.critical, cliques, title)
