"""Statistics of comparisons: differences over seeds, and ranks over several data sets.

Paired t intervals and their power: of differences between runs of the same seeds. Over data sets: mean ranks, the tests
of Friedman and Wilcoxon, Holm's correction, Nemenyi's critical difference and intervals by the bootstrap, as advised by
J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import scipy  # loads its modules on first use; stats alone takes half a second
from numpy.typing import NDArray

from izhi.seeds import Purpose, derive_seed

#: Share of errors that tests and intervals allow, and the power that numbers of seeds are for.
LEVEL, POWER = 0.05, 0.8
#: Seeds beyond which no number is given.
MOST_SEEDS = 100_000
#: Samples of a bootstrap.
_RESAMPLES = 9999

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The difference between two variants, in pairs of runs with the same seed."""

    label: str  #: label of the variant
    mean: float  #: mean difference
    deviation: float  #: their standard deviation
    low: float  #: lower limit of the interval of 95 % about the mean
    high: float  #: upper limit of that interval
    p: float  #: p of a two-sided t test that there is none
    pairs: int  #: number of pairs of runs
    overlap: float = 0.0  #: see ``paired``

    @property
    def is_noise(self) -> bool:
        """Whether the interval includes no difference at all."""
        return self.low <= 0 <= self.high

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.deviation and self.mean:
            return "all alike: too few to say"
        return "within noise" if self.is_noise else "differs"

    def seeds_for(self, size: float) -> int | None:
        """How many pairs show a difference of that size; see ``pairs_needed``."""
        return pairs_needed(size, self.deviation, self.overlap)


def paired(label: str, values: Sequence[float], reference: Sequence[float], overlap: float = 0.0) -> Difference:
    """The difference of paired values, with a t interval of 95 %.

        mean ± t(0.975, n − 1) · deviation · √(1/n + overlap)

    A bootstrap of so few values as there are seeds would be too narrow: of three it has ten different samples.

    Args:
        reference: the other variant's, of the same seeds in the same order.
        overlap: of cross-validation, where runs share training samples: test samples of a fold per training sample
            (C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52, 2003); 0 for seeds.
    """
    differences = np.asarray(values, float) - np.asarray(reference, float)
    count, mean, deviation = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    if np.ptp(differences) <= 1e-12:  # the rest is of rounding
        deviation = 0.0
    error = deviation * math.sqrt(1 / count + overlap)
    reach = float(scipy.stats.t.ppf(1 - LEVEL / 2, count - 1)) * error
    without_spread = float(abs(mean) <= 1e-12)
    p = float(2 * scipy.stats.t.sf(abs(mean) / error, count - 1)) if error else without_spread
    return Difference(label, mean, deviation, mean - reach, mean + reach, p, count, overlap)


def power(size: float, deviation: float, pairs: int, overlap: float = 0.0) -> float:
    """Chance that a two-sided paired t test at 5 % shows a difference of that size, by the noncentral t."""
    shift = abs(size) / (deviation * math.sqrt(1 / pairs + overlap))
    limit = float(scipy.stats.t.ppf(1 - LEVEL / 2, pairs - 1))
    if shift > 30:  # for which scipy's series is not made: what spreads then is the estimate of the deviation alone
        return float(scipy.stats.chi2.cdf((pairs - 1) * (shift / limit) ** 2, pairs - 1))
    return float(scipy.stats.nct.sf(limit, pairs - 1, shift) + scipy.stats.nct.cdf(-limit, pairs - 1, shift))


def pairs_needed(size: float, deviation: float, overlap: float = 0.0) -> int | None:
    """The fewest pairs of runs of which a paired t test at 5 % shows a difference of that size with a power of 80 %.

    Args:
        deviation: standard deviation of the differences; that of a few seeds is itself a rough estimate.
        overlap: see ``paired``.

    Returns:
        at least 2; None where a hundred thousand are too few, as for no difference, and where the differences that
        were measured have no spread.
    """
    if not size or not deviation:
        return None

    def is_enough(pairs: int) -> bool:
        return power(size, deviation, pairs, overlap) >= POWER

    high = 2
    while not is_enough(high):
        high *= 2
        if high > MOST_SEEDS:
            return None
    return bisect_left(range(high), True, high // 2 + 1, high, key=is_enough)


def holm(p: Sequence[float]) -> list[float]:
    """p values of several tests with Holm's correction, which bounds the chance that any of them errs (Holm 1979)."""
    corrected, largest = [0.0] * len(p), 0.0
    for index, number in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - index) * p[number]))
        corrected[number] = largest
    return corrected


@dataclass(frozen=True)
class Pair:
    """The difference between two variants over data sets; intervals of 95 % by the bootstrap over data sets."""

    first: str  #: label of a variant
    second: str  #: label of the other
    rank: tuple[float, float, float]  #: difference in mean rank, low and high limit; below 0 the first is better
    accuracy: tuple[float, float, float]  #: difference in mean accuracy, low and high limit
    p: float  #: p of Wilcoxon's signed-rank test, two-sided; exact, or by permutations, for few data sets
    holm: float  #: the same with Holm's correction over all pairs


@dataclass(frozen=True)
class Ranking:
    """Variants over several data sets."""

    tasks: tuple[str, ...]  #: names of the data sets
    accuracies: Mapping[str, Sequence[float]]  #: label → accuracy on each
    ranks: Mapping[str, float]  #: label → mean rank, the best first; 1 is the best, and equal ones share theirs
    friedman: tuple[float, float] | None  #: statistic, corrected for ties, and p (χ² of k − 1); None for two variants
    critical: float  #: difference in mean rank from which two differ, by Nemenyi's test at 5 %
    pairs: Sequence[Pair]  #: all pairs of variants

    def values(self) -> dict[str, object]:
        """The data sets and accuracies as plain values, from which the rest follows."""
        return {"tasks": list(self.tasks), "accuracies": {label: list(x) for label, x in self.accuracies.items()}}

    @property
    def cliques(self) -> list[tuple[str, ...]]:
        """The largest groups of variants, by rank, that do not differ; only those of two or more."""
        names, values = list(self.ranks), list(self.ranks.values())
        groups: list[tuple[str, ...]] = []
        reached = 0
        for begin in range(len(names)):
            end = max(k for k in range(begin, len(names)) if values[k] - values[begin] < self.critical or k == begin)
            if end > begin and end + 1 > reached:
                groups.append(tuple(names[begin : end + 1]))
            reached = max(reached, end + 1)
        return groups

    @property
    def limits(self) -> list[str]:
        """What so few data sets cannot show, as sentences."""
        tasks, variants = len(self.tasks), len(self.ranks)
        tests, least = len(self.pairs), 2.0 ** (1 - tasks)
        sentences = []
        if least * tests > LEVEL:
            needed = math.ceil(1 + math.log2(tests / LEVEL))
            sentences.append(
                f"Wilcoxon's test of {tasks} tasks gives no p below {least:.3g}, with Holm's correction over {tests}"
                f" pair{'s' if tests > 1 else ''} none below {min(1.0, least * tests):.3g}: it cannot come below"
                f" {LEVEL:g}, whatever the numbers. It would need {needed} tasks."
            )
        if self.critical >= variants - 1:
            sentences.append(
                f"Nemenyi's critical difference, {self.critical:.2f}, is as large as the largest difference that"
                f" {variants} variants can have, {variants - 1}: it cannot show any."
            )
        if self.friedman is not None:
            smallest = float(scipy.stats.chi2.sf(tasks * (variants - 1), variants - 1))
            if smallest > LEVEL:
                sentences.append(
                    f"Friedman's test of {tasks} tasks gives no p below {smallest:.3g}: it cannot show any."
                )
            elif tasks < 10:
                sentences.append(f"Friedman's p is that of many tasks; of {tasks} it is rough.")
        if tasks < 10:
            sentences.append(
                f"Bootstrap intervals of {tasks} tasks are too narrow: they know no other tasks than these."
            )
        return sentences


def rank(accuracies: Mapping[str, Sequence[float]], tasks: Sequence[str]) -> Ranking:
    """Rank variants over several data sets.

    Args:
        accuracies: label → accuracy on each data set; two variants or more.
        tasks: names of the data sets; two or more.
    """
    labels, table = list(accuracies), np.array([list(x) for x in accuracies.values()], float).T  # (tasks, variants)
    of_tasks: Floats = scipy.stats.rankdata(-table, axis=1)
    means = of_tasks.mean(axis=0)
    order = np.argsort(means, kind="stable")
    variants = len(labels)
    friedman = None
    if variants > 2:
        tied = bool((of_tasks == of_tasks[0, 0]).all())  # of which scipy would divide 0 by 0
        result = (0.0, 1.0) if tied else scipy.stats.friedmanchisquare(*table.T)
        friedman = float(result[0]), float(result[1])
    chosen = [(int(order[i]), int(order[j])) for i, j in combinations(range(variants), 2)]
    p = [_wilcoxon(tuple((table[:, i] - table[:, j]).round(12))) for i, j in chosen]
    pairs = [
        Pair(labels[i], labels[j], _over_tasks(of_tasks[:, i] - of_tasks[:, j]),
             _over_tasks(table[:, i] - table[:, j]), own, corrected)
        for (i, j), own, corrected in zip(chosen, p, holm(p), strict=True)
    ]  # fmt: skip
    ranks = {labels[k]: float(means[k]) for k in order}
    return Ranking(tuple(tasks), accuracies, ranks, friedman, critical_difference(variants, len(tasks)), pairs)


def critical_difference(variants: int, tasks: int) -> float:
    """Nemenyi's critical difference of mean ranks at 5 %: q · √(k (k + 1) / 6N), with the studentised range q / √2."""
    q = float(scipy.stats.studentized_range.ppf(1 - LEVEL, variants, np.inf)) / math.sqrt(2)
    return q * math.sqrt(variants * (variants + 1) / (6 * tasks))


@cache  # a report ranks the same accuracies several times
def _wilcoxon(differences: tuple[float, ...]) -> float:
    """Two-sided p of the signed-rank test; ranks of zeros count half for either side, as Demšar has it.

    Args:
        differences: rounded, so that equal differences tie, whatever their last bits.
    """
    return float(scipy.stats.wilcoxon(differences, zero_method="zsplit").pvalue) if any(differences) else 1.0


def _over_tasks(differences: Floats) -> tuple[float, float, float]:
    """Mean, and limits of the interval of 95 % by the percentiles of a bootstrap over tasks."""
    draws = np.random.default_rng(derive_seed(0, Purpose.BOOTSTRAP))
    chosen = draws.integers(0, len(differences), (_RESAMPLES, len(differences)))
    low, high = np.quantile(differences[chosen].mean(axis=1), (LEVEL / 2, 1 - LEVEL / 2))
    return float(differences.mean()), float(low), float(high)
