"""Variants ranked over several finished comparisons, from their saved numbers: a table, tests and a figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from izhi.errors import SettingError, in_one_line, shown
from izhi.experiments import statistics
from izhi.experiments.results.comparison import ComparisonResult
from izhi.experiments.results.ranks import RankingResult
from izhi.experiments.statistics import LEVEL, Pair, Ranking
from izhi.experiments.tables import Table, write_report

FIGURE, REPORT = "ranks.png", "report.md"


@dataclass(frozen=True)
class Ranked:
    """A ranking, and what its reader must know of the comparisons that it is of."""

    ranking: Ranking  #: ranking of the variants that all comparisons have
    remarks: Sequence[str]  #: sentences

    def summary(self) -> dict[str, object]:
        """As plain values, for --json."""
        ranking = self.ranking
        return {
            **ranking.values(),
            "mean_ranks": dict(ranking.ranks),
            "friedman": None
            if ranking.friedman is None
            else {"statistic": ranking.friedman[0], "p": ranking.friedman[1]},
            "critical_difference": ranking.critical,
            "groups_that_do_not_differ": [list(x) for x in ranking.cliques],
            "pairs": [asdict(pair) for pair in ranking.pairs],
            "limits": ranking.limits,
            "remarks": list(self.remarks),
        }


def of(folders: Sequence[Path]) -> Ranked:
    """Rank the variants of comparisons on different data sets, by the mean test accuracy of their seeds.

    Of the folders, comparison.json alone is opened.

    Raises:
        SettingError: for fewer than two folders, one that is named twice, or fewer than two variants in common.
        FileError, RunFolderError: for a folder that holds no comparison, or a damaged one.
    """
    if len(folders) < 2:
        raise SettingError(f"{len(folders)} folder is named, expected comparisons on two data sets or more")
    if twice := [path for path, count in Counter(folder.resolve() for folder in folders).items() if count > 1]:
        raise SettingError(f"{twice[0]} is named twice, expected different comparisons")
    results = [ComparisonResult.read(folder) for folder in folders]
    accuracies = [{row.label: fmean(row.test_accuracy) for row in one.rows} for one in results]
    for folder, one, of_one in zip(folders, results, accuracies, strict=True):
        if len(of_one) < len(one.rows):
            raise SettingError(f"{folder} has two variants of the same label, expected different ones")
    labels = [label for label in accuracies[0] if all(label in one for one in accuracies)]
    if len(labels) < 2:
        raise SettingError(
            f"the comparisons have {len(labels)} variants in common ({shown(', '.join(accuracies[0]))} in"
            f" {folders[0]}), expected two or more of the same labels"
        )
    datasets = [one.rows[0].config.dataset for one in results]
    tasks = [
        f"{name} ({folder.name})" if datasets.count(name) > 1 else name
        for name, folder in zip(datasets, folders, strict=True)
    ]
    table = {label: [one[label] for one in accuracies] for label in labels}
    return Ranked(statistics.rank(table, tasks), _remarks(results, datasets, labels))


def _remarks(results: Sequence[ComparisonResult], datasets: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Sentences about repeated data sets, variants that are left out, and few seeds."""
    repeated = [name for name, count in Counter(datasets).items() if count > 1]
    remarks = [
        f"{name} is the data set of several comparisons, which the tests take to be independent." for name in repeated
    ]
    omitted = sorted({row.label for one in results for row in one.rows} - {*labels})
    if omitted:
        remarks.append(f"Left out, since not every comparison has them: {in_one_line(', '.join(omitted))}.")
    seeds = {len(row.seeds) for one in results for row in one.rows if row.label in labels}
    if min(seeds) < 3:
        remarks.append(f"There are accuracies of {min(seeds)} run{'s' if min(seeds) > 1 else ''} only.")
    return remarks


def write(ranked: Ranked, folder: Path, command: str) -> None:
    """report.md, ranking.json and ranks.png."""
    ranking = ranked.ranking
    RankingResult.keep(folder, {"command": command, **ranking.values()})
    least = f"{100 * (1 - LEVEL):g} %"
    write_report(
        folder / REPORT, f"# Ranks over {len(ranking.tasks)} data sets", f"    {command}", table(ranking),
        "\n".join(f"- {sentence}" for sentence in sentences(ranked)),
        f"![mean ranks; bars join variants that do not differ]({FIGURE})",
        f"Pairs: differences with intervals of {least} by the bootstrap over data sets, p of Wilcoxon's test:",
        pairs_table(ranking.pairs),
    )  # fmt: skip


def table(ranking: Ranking) -> Table:
    """The table of variants, the best first."""
    return RankingResult.model_validate(ranking.values()).tables()[0]


def pairs_table(pairs: Sequence[Pair]) -> Table:
    """The table of pairs."""
    rows = [
        (f"{in_one_line(pair.first)} − {in_one_line(pair.second)}", interval(pair.rank),
         interval([100 * x for x in pair.accuracy]), f"{pair.p:.3g}", f"{pair.holm:.3g}")
        for pair in pairs
    ]  # fmt: skip
    headings = ("pair", "difference in mean rank", "in accuracy (points)", "p", "p, Holm")
    return Table(headings, rows, right=(1, 2, 3, 4))


def interval(values: Sequence[float]) -> str:
    """A mean and the limits of its interval."""
    mean, low, high = (x + 0.0 for x in values)  # of which none is −0
    return f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"


def sentences(ranked: Ranked) -> list[str]:
    """The results of the tests, and their limits."""
    ranking = ranked.ranking
    lines = []
    if ranking.friedman is None:
        lines.append("Friedman's test is of three variants or more.")
    else:
        statistic, p = ranking.friedman
        said = "some variants differ" if p < LEVEL else "it does not show that variants differ"
        lines.append(f"Friedman's test: χ² = {statistic:.2f}, p = {p:.3g}: {said}.")
    differ = [f"{pair.first} and {pair.second}" for pair in ranking.pairs if pair.holm < LEVEL]
    lines.append(f"Wilcoxon's test with Holm's correction: {'; '.join(differ) or 'no two variants'} differ.")
    groups = ["all" if len(group) == len(ranking.ranks) else " – ".join(group) for group in ranking.cliques]
    together = "; ".join(groups) or "none"
    lines.append(f"Nemenyi's test: mean ranks {ranking.critical:.2f} apart differ; closer together are: {together}.")
    return [in_one_line(line) for line in (*lines, *ranking.limits, *ranked.remarks)]
