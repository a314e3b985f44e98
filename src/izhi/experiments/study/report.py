"""The results of a study: tables for each task, ranks over tasks, contrasts with wins, ties and losses, figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Literal

from izhi.experiments import plots, ranking, statistics
from izhi.experiments.energy import CAVEAT
from izhi.experiments.ranking import Ranked
from izhi.experiments.results.ranks import RankingResult
from izhi.experiments.statistics import Difference, Pair, Ranking
from izhi.experiments.study.protocol import Contrast, Task
from izhi.experiments.study.rows import RunRow
from izhi.experiments.study.run import Study
from izhi.experiments.tables import Table, percent, span, write_report

REPORT, RANKS, DIFFERENCES = "report.md", "ranks.png", "differences.png"
#: Two variants have no ranking with a test of their own.
_FEWEST_TASKS = 2


@dataclass(frozen=True)
class ContrastResult:
    """A contrast over tasks."""

    contrast: Contrast  #: the contrast of the protocol
    pair: Pair  #: difference over tasks, of the first variant less the second
    holm: float  #: p corrected over all contrasts but the first, whose own it is
    differences: Sequence[Difference]  #: of each task, over seeds

    def count(self, wanted: str) -> int:
        """Of tasks with that verdict."""
        return sum(verdict(x) == wanted for x in self.differences)

    def cells(self) -> tuple[str, ...]:
        """A row of the table of contrasts."""
        accuracy = [100 * x for x in self.pair.accuracy]
        return (
            self.contrast.name, ranking.interval(accuracy), ranking.interval(self.pair.rank), f"{self.pair.p:.3g}",
            f"{self.holm:.3g}", ", ".join(str(self.count(each)) for each in ("win", "tie", "loss")),
        )  # fmt: skip


def verdict(difference: Difference) -> Literal["win", "tie", "loss"]:
    """The verdict of the interval over seeds."""
    return "tie" if difference.is_noise else "win" if difference.mean > 0 else "loss"


@dataclass(frozen=True)
class Findings:
    """The results of a study on some of its tasks."""

    study: Study  #: the study with its rows
    tasks: Sequence[Task]  #: the finished tasks

    @classmethod
    def of(cls, study: Study) -> Findings:
        """On all tasks that are finished, but for those of a search alone."""
        tested = [task for task in study.protocol.tasks if study.protocol.seeds_of(task)]
        return cls(study, [task for task in tested if study.is_finished(task)])

    @property
    def apart(self) -> Findings:
        """On the first task of every data set, so that no two tasks share one."""
        first: dict[object, Task] = {}
        for task in self.tasks:
            first.setdefault(task.settings.get("dataset", self.study.protocol.settings.get("dataset")), task)
        return Findings(self.study, list(first.values()))

    @property
    def labels(self) -> list[str]:
        """Of the variants."""
        return [variant.label for variant in self.study.protocol.variants]

    @cached_property
    def runs(self) -> Mapping[str, Mapping[str, Sequence[RunRow]]]:
        """Task → label → runs by seed."""
        variants = self.study.protocol.variants
        return {t.name: {v.label: self.study.runs(t, v) for v in variants} for t in self.tasks}

    def accuracies(self, task: str, label: str) -> list[float]:
        """Test accuracy of each seed."""
        return [run.test for run in self.runs[task][label]]

    @cached_property
    def ranking(self) -> Ranking:
        """Of all variants."""
        names = [task.name for task in self.tasks]
        return statistics.rank(
            {label: [fmean(self.accuracies(name, label)) for name in names] for label in self.labels}, names
        )

    @cached_property
    def contrasts(self) -> list[ContrastResult]:
        """Every contrast of the protocol."""
        chosen = self.study.protocol.contrasts
        pairs = [self._pair(one) for one in chosen]
        corrected = [pairs[0].p, *statistics.holm([pair.p for pair in pairs[1:]])] if pairs else []
        return [
            ContrastResult(one, pair, p, [self._difference(task.name, one.of, one.against) for task in self.tasks])
            for one, pair, p in zip(chosen, pairs, corrected, strict=True)
        ]

    def contrasts_table(self) -> Table:
        """The table of contrasts."""
        headings = ("contrast", "accuracy (points)", "mean rank", "p", "p, Holm", "wins, ties, losses")
        return Table(headings, [x.cells() for x in self.contrasts], "contrasts", right=range(1, 6))

    def _pair(self, contrast: Contrast) -> Pair:
        pairs = {(pair.first, pair.second): pair for pair in self.ranking.pairs}
        if (contrast.of, contrast.against) in pairs:
            return pairs[contrast.of, contrast.against]
        pair = pairs[contrast.against, contrast.of]
        return Pair(contrast.of, contrast.against, _turned(pair.rank), _turned(pair.accuracy), pair.p, pair.holm)

    def _difference(self, task: str, of: str, against: str) -> Difference:
        return statistics.paired(of, self.accuracies(task, of), self.accuracies(task, against))

    def best_or_tied(self, label: str) -> list[str]:
        """Tasks on which the variant does not lose against the one with the largest mean."""
        names = []
        for number, task in enumerate(self.tasks):
            best = max(self.labels, key=lambda one: self.ranking.accuracies[one][number])
            if best == label or verdict(self._difference(task.name, label, best)) != "loss":
                names.append(task.name)
        return names

    def summary(self) -> dict[str, object]:
        """As plain values, for --json."""
        if not self.is_enough:
            return {"tasks": [task.name for task in self.tasks]}
        return {
            **Ranked(self.ranking, []).summary(),
            "contrasts": [
                {
                    "name": one.contrast.name, "of": one.contrast.of, "against": one.contrast.against,
                    "accuracy": one.pair.accuracy, "rank": one.pair.rank, "p": one.pair.p, "holm": one.holm,
                    "verdicts": {t.name: verdict(x) for t, x in zip(self.tasks, one.differences, strict=True)},
                }
                for one in self.contrasts
            ],
            "best_or_tied": {label: self.best_or_tied(label) for label in self.labels},
        }  # fmt: skip

    @property
    def is_enough(self) -> bool:
        """Whether there are enough tasks and seeds for statistics."""
        return len(self.tasks) >= _FEWEST_TASKS and all(len(self.study.protocol.seeds_of(x)) > 1 for x in self.tasks)


def _turned(interval: tuple[float, float, float]) -> tuple[float, float, float]:
    """The interval of the opposite difference."""
    mean, low, high = interval
    return -mean, -high, -low


def write(study: Study, command: str) -> Findings:
    """Write report.md and figures into the study's folder; the results that they show."""
    findings = Findings.of(study)
    open_tasks = [task.name for task in study.protocol.tasks if not study.is_finished(task)]
    names, unfinished = f"{len(findings.tasks)} tasks and {len(findings.labels)} variants", ", ".join(open_tasks)
    write_report(
        study.folder / REPORT, f"# A study of {names}", f"    {command}",
        f"Not finished: {unfinished}." if open_tasks else "",
        *(_over_tasks(findings, study.folder, command) if findings.is_enough else ()),
        *(block for task in findings.tasks for block in _of_task(findings, task)), CAVEAT if findings.tasks else "",
    )  # fmt: skip
    return findings


def _over_tasks(findings: Findings, folder: Path, command: str) -> list[str | Table]:
    ranks = findings.ranking
    title = f"mean rank of test accuracy over {len(findings.tasks)} tasks"
    RankingResult.keep(folder, {"command": command, **ranks.values()})
    plots.save(plots.ranks(ranks.ranks, ranks.critical, ranks.cliques, title), folder / RANKS)
    best = [(label, findings.best_or_tied(label)) for label in ranks.ranks]
    blocks: list[str | Table] = [
        "## Ranks", ranking.table(ranks),
        "\n".join(f"- {sentence}" for sentence in ranking.sentences(Ranked(ranks, []))),
        f"![mean ranks; bars join variants that do not differ]({RANKS})", "## Best or tied",
        Table(
            ("variant", "best or tied on", "tasks"),
            [(label, f"{len(tasks)} of {len(findings.tasks)}", ", ".join(tasks)) for label, tasks in best],
        ),
        "Tied: the interval of 95 % of paired differences over seeds, to the variant with the largest mean, includes"
        " 0.",
    ]  # fmt: skip
    if findings.contrasts:
        blocks += [*_contrasts("Contrasts", findings), *_by_task(findings, folder)]
        if len(findings.apart.tasks) < len(findings.tasks) and findings.apart.is_enough:
            blocks += _contrasts("Contrasts over different data sets", findings.apart)
    return blocks


def _contrasts(title: str, findings: Findings) -> list[str | Table]:
    return [
        f"## {title}", findings.contrasts_table(),
        f"Over {', '.join(task.name for task in findings.tasks)}: mean differences with intervals of 95 % by the"
        " bootstrap over tasks (a rank below 0 is better), p of Wilcoxon's test. The first contrast is the main"
        " hypothesis; Holm's correction is over the others. Wins, ties and losses of tasks: by intervals of 95 % over"
        " seeds.",
    ]  # fmt: skip


def _by_task(findings: Findings, folder: Path) -> list[str | Table]:
    """Every contrast on every task, and the figure of those against the main hypothesis's other side."""
    names = [task.name for task in findings.tasks]
    other = findings.contrasts[0].contrast.against
    drawn = {one.contrast.of: one.differences for one in findings.contrasts if one.contrast.against == other}
    plots.save(plots.differences(names, drawn, f"test accuracy less that of {other}"), folder / DIFFERENCES)
    rows = [
        (one.contrast.name, *(f"{verdict(x)} {100 * x.mean:+.2f}" for x in one.differences))
        for one in findings.contrasts
    ]
    return [
        "## Contrasts by task", Table(("contrast", *names), rows, right=range(1, len(names) + 1)),
        "Points of test accuracy, mean over seeds.",
        f"![differences by task, with intervals of 95 % over seeds]({DIFFERENCES})",
    ]  # fmt: skip


def _of_task(findings: Findings, task: Task) -> list[str | Table]:
    runs = findings.runs[task.name]
    groups = list(runs[findings.labels[0]][0].groups)
    technologies = list(runs[findings.labels[0]][0].nanojoules)
    curves = all(run.training for own in runs.values() for run in own)
    headings = (
        "variant", "validation (%)", "test (%)", "least … most", *(f"{name.replace('_', ' ')} (%)" for name in groups),
        "parameters", *(["epochs to 95 %"] if curves else []), "spikes",
        "synaptic operations", *(f"nJ, {name}" for name in technologies), "what was found",
    )  # fmt: skip
    rows = []
    for label in findings.labels:
        own, tests = runs[label], findings.accuracies(task.name, label)
        rows.append((
            label, f"{100 * own[0].validation:.2f}", percent(tests), span(tests),
            *(percent([run.groups.get(name, 0.0) for run in own]) for name in groups), f"{own[0].parameters:,}",
            *([f"{fmean(run.epochs_to_95_percent or 0 for run in own):.1f}"] if curves else []),
            f"{fmean(run.spikes for run in own):,.0f}", f"{fmean(run.acs + run.macs for run in own):,.0f}",
            *(f"{fmean(run.nanojoules.get(x, (0.0, 0.0))[0] for run in own):,.0f}" for x in technologies),
            ", ".join(f"{name} {value}" for name, value in own[0].settings.items()),
        ))  # fmt: skip
    twins = ", ".join(f"{runs[findings.labels[0]][0].nanojoules[x][1]:,.1f} nJ ({x})" for x in technologies)
    seeds = ", ".join(str(seed) for seed in findings.study.protocol.seeds_of(task))
    return [
        f"## {task.name}", Table(headings, rows, right=range(1, len(headings) - 1)),
        f"Seeds {seeds}. The dense twin, passed once: {twins}."
        + (" Epochs to 95 % of the training accuracy of the last." if curves else ""),
        "\n".join(f"- {label}: {runs[label][-1].warnings[0]}" for label in findings.labels if runs[label][-1].warnings),
    ]  # fmt: skip
