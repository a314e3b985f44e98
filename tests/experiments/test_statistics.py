"""Statistics of comparisons: published examples, scipy, and what holds of any numbers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from izhi.experiments import statistics
from izhi.experiments.statistics import holm, paired, pairs_needed, power, rank

#: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006, table 6. Two numbers of the
#: 13th row are printed alike, but ranked 2 and 3.
AUC = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1, 0.940, 0.619, 0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1, 0.962, 0.666, 0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1, 0.965, 0.614, 0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1, 0.962, 0.669, 0.975, 0.970],
}
TASKS = [f"task {k}" for k in range(14)]
accuracy = st.floats(0, 1).map(lambda x: round(x, 3))


def test_demsars_example_has_his_ranks_and_critical_difference():
    found = rank(AUC, TASKS)
    assert list(found.ranks) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert {k: round(v, 3) for k, v in found.ranks.items()} == {
        "C4.5": 3.143, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964,
    }  # fmt: skip
    assert round(found.critical, 2) == 1.25  # 2.569 · √(4 · 5 / (6 · 14))
    assert found.cliques == [("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")]
    # His χ² of 9.28 knows nothing of ties, of which there are three pairs and one of all four.
    ties = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * 4 * (4**2 - 1))
    assert found.friedman[0] * ties == pytest.approx(9.28, abs=0.01)
    assert found.friedman[1] < 0.05


def test_demsars_example_of_wilcoxons_test():
    # His rank sums are 93 and 12, of 14 differences.
    differences = np.array(AUC["C4.5+m"]) - np.array(AUC["C4.5"])
    expected = stats.wilcoxon(np.round(differences, 12), zero_method="zsplit")
    assert expected.statistic == 12
    pair = next(p for p in rank(AUC, TASKS).pairs if (p.first, p.second) == ("C4.5+m", "C4.5"))
    assert pair.p == expected.pvalue < 0.05
    assert pair.accuracy[0] == pytest.approx(differences.mean())
    assert pair.rank[0] == pytest.approx(2.0 - 3.143, abs=1e-3)


@pytest.mark.parametrize(("effect", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_cohens_small_medium_and_large_effects_need_as_many_pairs_as_published(effect, pairs):
    assert pairs_needed(effect, 1.0) == pairs
    assert power(effect, 1.0, pairs - 1) < 0.8 <= power(effect, 1.0, pairs)


def test_power_is_the_share_of_tests_that_show_the_difference():
    draws = np.random.default_rng(0).normal(0.9, 1.0, (20_000, 8))
    shown = stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05
    assert power(0.9, 1.0, 8) == pytest.approx(shown.mean(), abs=0.01)
    assert power(100, 1.0, 2) == pytest.approx(
        (stats.ttest_1samp(np.random.default_rng(0).normal(100, 1, (20_000, 2)), 0, axis=1).pvalue < 0.05).mean(),
        abs=0.01,
    )


@given(st.lists(st.tuples(accuracy, accuracy), min_size=2, max_size=9))
def test_paired_differences_are_those_of_scipys_t_test(pairs):
    ours, theirs = (list(x) for x in zip(*pairs, strict=True))
    found = paired("a", ours, theirs)
    assert found.mean == pytest.approx(np.mean(ours) - np.mean(theirs), abs=1e-12)
    if not found.deviation:
        assert np.ptp(np.subtract(ours, theirs)) < 1e-9
        assert found.low == found.high == found.mean
        assert found.seeds_for(0.01) is None
        return
    expected = stats.ttest_rel(ours, theirs)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)
    assert found.is_noise == (expected.pvalue >= 0.05)


def test_differences_that_are_all_alike_say_nothing_of_noise():
    assert paired("a", [0.5, 0.7], [0.4, 0.6]).verdict == "all alike: too few to say"
    assert paired("a", [0.5, 0.7], [0.5, 0.7]).verdict == "within noise"
    assert paired("a", [0.5, 0.72], [0.4, 0.61]).verdict == "differs"


def test_folds_that_share_training_samples_widen_the_interval():
    ours, theirs = [0.8, 0.9, 0.85, 0.7, 0.75], [0.7, 0.8, 0.8, 0.7, 0.7]
    plain, folds = paired("a", ours, theirs), paired("a", ours, theirs, overlap=1 / 4)
    ratio = (folds.high - folds.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(((1 / 5 + 1 / 4) / (1 / 5)) ** 0.5)  # Nadeau and Bengio 2003
    assert folds.p > plain.p
    assert pairs_needed(0.1, 1.0, overlap=1 / 4) is None  # no number of folds shows it


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction(p):
    found = holm(p)
    order = np.argsort(p, kind="stable")
    assert all(own <= corrected <= 1 for own, corrected in zip(p, found, strict=True))
    assert all(found[a] <= found[b] for a, b in pairwise(order))
    assert found[order[0]] == min(1.0, len(p) * p[order[0]])


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_of_any_accuracies_ranks_are_the_same_under_a_rising_function(data):
    variants, tasks = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 7))
    rows = st.lists(accuracy, min_size=tasks, max_size=tasks)
    table = {f"v{k}": data.draw(rows) for k in range(variants)}
    names = [str(k) for k in range(tasks)]
    found = rank(table, names)
    assert sum(found.ranks.values()) == pytest.approx(variants * (variants + 1) / 2)
    assert list(found.ranks.values()) == sorted(found.ranks.values())
    assert rank({k: [x**2 / 2 for x in row] for k, row in table.items()}, names).ranks == found.ranks
    for pair in found.pairs:
        assert pair.rank[1] - 1e-9 <= pair.rank[0] <= pair.rank[2] + 1e-9
        assert found.ranks[pair.first] - found.ranks[pair.second] == pytest.approx(pair.rank[0])
        assert 0 < pair.p <= pair.holm <= 1 or pair.holm == pytest.approx(pair.p)
    if found.friedman is not None and found.friedman[1] < 1:
        expected = stats.friedmanchisquare(*table.values())
        assert found.friedman == pytest.approx((expected.statistic, expected.pvalue))


def test_intervals_over_tasks_are_scipys_bootstrap():
    found = rank(AUC, TASKS).pairs[0]
    differences = np.array(AUC[found.first]) - np.array(AUC[found.second])
    expected = stats.bootstrap((differences,), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert found.accuracy[1:] == pytest.approx(tuple(expected.confidence_interval), abs=2e-3)


def test_few_tasks_are_said_to_show_nothing():
    few = {label: x[:4] for label, x in AUC.items()}
    lines = rank(few, TASKS[:4]).limits
    # 2 / 2⁴ = 0.125, and six pairs: 2^(1 − N) · 6 ≤ 0.05 from N = 8 on.
    assert "gives no p below 0.125, with Holm's correction over 6 pairs none below 0.75" in lines[0]
    assert lines[0].endswith("It would need 8 tasks.")
    eight = rank({label: x[:8] for label, x in AUC.items()}, TASKS[:8]).limits
    assert not any("Wilcoxon" in line for line in eight)
    two = rank({label: x[:2] for label, x in AUC.items()}, TASKS[:2])
    assert any("Nemenyi" in line and "cannot show any" in line for line in two.limits)
    assert rank(AUC, TASKS).limits == []


def test_groups_that_do_not_differ_are_the_largest_ones():
    found = statistics.Ranking(("a",), {}, {"a": 1.0, "b": 1.5, "c": 2.4, "d": 2.6, "e": 4.0}, None, 1.2, [])
    assert found.cliques == [("a", "b"), ("b", "c", "d")]
