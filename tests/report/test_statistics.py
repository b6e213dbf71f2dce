"""Statistics over seeds: statsmodels, scikit-posthocs, SciPy's own tests, published figures and cases by hand."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import special, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from benchmark.report import statistics as st

NAN = float("nan")
DOCS = Path(__file__).parents[2] / "docs" / "statistics.md"


@pytest.fixture
def scores():
    return np.random.default_rng(1).normal(0.6, 0.02, (8, 5))


@pytest.fixture
def holey(scores):
    scores[0, 1] = scores[3, 1] = scores[2, 4] = NAN
    return scores


def test_intervals_are_those_of_statsmodels(holey):
    found = st.mean_intervals(holey)
    for column, *ours in zip(holey.T, found.mean, found.low, found.high, found.std, found.n, strict=True):
        theirs = DescrStatsW(column[~np.isnan(column)], ddof=0)
        expected = [theirs.mean, *theirs.tconfint_mean(0.05), theirs.std_ddof(1), theirs.nobs]
        np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_an_interval_by_hand():
    # 1, 2, 3: mean 2, std 1, t(2, 0.975) = 4.3027, half width 4.3027 / sqrt 3 = 2.4841
    found = st.mean_intervals(np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose([found.mean[0], found.std[0], found.high[0]], [2, 1, 4.4841], atol=1e-4)


def test_one_seed_has_no_interval_and_none_has_no_mean():
    found = st.mean_intervals(np.array([[0.5, NAN], [NAN, NAN]]))
    np.testing.assert_array_equal(found.mean, [0.5, NAN])
    np.testing.assert_array_equal(found.n, [1, 0])
    for undefined in (found.low, found.high, found.std):
        assert np.isnan(undefined).all()


def test_infinite_scores_have_an_infinite_mean_and_no_interval():
    found = st.mean_intervals(np.array([[np.inf], [1.0], [2.0]]))
    assert found.mean[0] == np.inf and np.isnan(found.low[0])


def test_differences_are_those_of_scipy(holey):
    found = st.differences(holey, 2)
    for index, column in enumerate(holey.T):
        if index == 2:
            continue
        both = ~np.isnan(column)
        test = stats.ttest_rel(column[both], holey[both, 2])
        interval = test.confidence_interval(0.95)
        assert found.n[index] == both.sum()
        ours = [found.p_t[index], found.low[index], found.high[index]]
        np.testing.assert_allclose(ours, [test.pvalue, interval.low, interval.high], rtol=1e-9)
        signed = stats.wilcoxon(column[both], holey[both, 2], method="exact")
        assert found.p_wilcoxon[index] == pytest.approx(signed.pvalue, rel=1e-12)
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(found.p_holm[others], multipletests(found.p_t[others], method="holm")[1], rtol=1e-12)


def test_the_reference_is_compared_with_nothing(scores):
    found = st.differences(scores, 0)
    for name in ("mean", "low", "high", "p_t", "p_wilcoxon", "p_holm", "effect", "effect_low", "effect_high"):
        column = getattr(found, name)
        assert np.isnan(column[0]) and not np.isnan(column[1:]).any(), name
    assert found.n[0] == 0


@pytest.mark.parametrize(("seeds", "interval", "test"), [(1, False, False), (2, True, False), (3, True, True)])
def test_how_many_seeds_what_needs(scores, seeds, interval, test):
    found = st.differences(scores[:seeds], 0)
    assert np.isnan(found.low[1]) != interval
    assert np.isnan(found.p_t[1]) != test
    assert np.isnan(found.effect[1]) != test
    assert np.isnan(found.p_wilcoxon[1])
    assert np.isnan(st.separations(scores[:seeds])[0, 1]) != test


def test_what_a_seed_does_to_all_methods_cancels(scores):
    shifted = scores + np.arange(8.0)[:, None]
    plain, found = st.differences(scores, 0), st.differences(shifted, 0)
    for name in ("low", "high", "p_t", "p_wilcoxon", "p_holm", "effect"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name), rtol=1e-9)
    np.testing.assert_allclose(st.separations(shifted), st.separations(scores), rtol=1e-9)


def test_equal_differences_are_no_proof():
    same = np.array(
        [[0.5, 0.5, 0.7], [0.6, 0.6, 0.8], [0.4, 0.4, 0.6]]
    )  # on a grid; 0.7 - 0.5 is not 0.8 - 0.6 in bits
    found = st.differences(same, 0)
    assert found.p_t[1] == 1 and found.mean[1] == 0
    assert np.isnan(found.p_t[2]) and found.mean[2] == pytest.approx(0.2)
    assert np.isnan(found.effect[1:]).all()


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(0).uniform(0, 0.1, 40)
    np.testing.assert_allclose(st.holm(p), multipletests(p, method="holm")[1], rtol=1e-12)
    # by hand: 0.01 * 3, 0.02 * 2, 0.03 * 1 raised to the one before; the missing test counts for nothing
    np.testing.assert_allclose(st.holm(np.array([0.03, NAN, 0.01, 0.02])), [0.04, NAN, 0.03, 0.04])


@pytest.mark.parametrize(
    "paired", [[1.0, 2, 3, 4, 5, 6], [1.0, 1, -1, 2, 2, -3, 4], [0.0, 0, 1, -1, 2, 2, 2, 5], [0.0] * 6, [-1.0] * 7]
)
def test_signed_ranks_are_exact_with_ties_and_zeros(paired):
    kept = np.array([d for d in paired if d])
    ranks = stats.rankdata(np.abs(kept))
    observed = abs(np.sign(kept) @ ranks)
    outcomes = [abs(np.array(signs) @ ranks) for signs in itertools.product((-1, 1), repeat=len(kept))]
    expected = np.mean([outcome >= observed - 1e-9 for outcome in outcomes])
    assert st.signed_rank(np.array(paired)[:, None])[0] == pytest.approx(expected)


def test_five_seeds_cannot_reach_significance_by_signs():
    columns = np.array([[1.0, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, NAN]]).T
    np.testing.assert_array_equal(st.signed_rank(columns), [2 / 2**6, NAN])


def test_the_effect_by_hand():
    # differences 1, 2, 3: d = 2; J(2) = Gamma(1) / (sqrt(1) Gamma(1/2)) = 1 / sqrt(pi)
    found = st.differences(np.array([[0.0, 1], [0, 2], [0, 3]]), 0)
    assert found.effect[1] == pytest.approx(2 / math.sqrt(math.pi))
    t = 2 * math.sqrt(3)  # the ends are the shifts that leave 2.5 % beyond the observed t
    assert stats.nct.sf(t, 2, found.effect_low[1] * math.sqrt(3)) == pytest.approx(0.025, abs=1e-7)
    assert stats.nct.cdf(t, 2, found.effect_high[1] * math.sqrt(3)) == pytest.approx(0.025, abs=1e-7)


def groupings(methods):
    """Every way to call methods equal, each as one group number per method."""
    if methods == 0:
        yield ()
    for first in groupings(methods - 1) if methods else ():
        yield from ((*first, group) for group in range(len(set(first)) + 1))


@pytest.mark.parametrize("methods", [2, 3, 4, 5, 6])
def test_shaffers_factors_count_every_grouping(methods):
    pairs = list(itertools.combinations(range(methods), 2))
    true = {sum(groups[a] == groups[b] for a, b in pairs) for groups in groupings(methods)}
    factors = [max(count for count in true if count <= left) for left in range(len(pairs), 0, -1)]
    if methods == 4:
        assert factors == [6, 3, 3, 3, 2, 1]  # García & Herrera 2008, section 3.1
    small = 1e-6 * np.arange(1, len(pairs) + 1)
    p = np.full((methods, methods), NAN)
    p[np.triu_indices(methods, 1)] = small
    p.T[np.triu_indices(methods, 1)] = small
    found = st.shaffer(p)[np.triu_indices(methods, 1)]
    np.testing.assert_allclose(found, np.maximum.accumulate(small * factors))
    assert (found <= st.holm(small) + 1e-15).all()


def test_a_pair_without_a_test_counts_for_nothing():
    p = np.array([[NAN, 0.01, NAN], [0.01, NAN, 0.04], [NAN, 0.04, NAN]])
    # two tests; were one of them false, at most one equality could be true: factors 2, 1
    expected = np.array([[NAN, 0.02, NAN], [0.02, NAN, 0.04], [NAN, 0.04, NAN]])
    np.testing.assert_allclose(st.shaffer(p), expected)


def test_separations_are_paired_tests_of_every_pair(holey):
    found = st.separations(holey)
    plain = np.full((5, 5), NAN)
    for a, b in itertools.permutations(range(5), 2):
        plain[a, b] = stats.ttest_rel(holey[:, a], holey[:, b], nan_policy="omit").pvalue
    np.testing.assert_allclose(found, st.shaffer(plain), rtol=1e-9)
    np.testing.assert_array_equal(found, found.T)
    assert np.isnan(np.diag(found)).all()


def test_many_methods_are_compared_in_blocks():
    values = np.random.default_rng(3).normal(size=(4, st.BLOCK + 3))
    found, few = st._pairs(values), st._pairs(values[:, -5:])
    for whole, part in zip(found, few, strict=True):
        np.testing.assert_array_equal(whole[-5:, -5:], part)
    assert found[0].shape == (st.BLOCK + 3, st.BLOCK + 3)


def test_two_methods_need_no_correction(scores):
    test = stats.ttest_rel(scores[:, 0], scores[:, 1])
    assert st.separations(scores[:, :2])[0, 1] == pytest.approx(test.pvalue, rel=1e-9)


@pytest.mark.parametrize("df", [2.0, 4.0, 19.0, 99.0])
def test_noncentral_shifts_are_those_of_a_sum_over_quantiles(df):
    t = np.array([-300.0, -4, -0.5, 0, 1, 3, 30, 900, 1100, 1e7])
    u = (np.arange(100_000) + 0.5) / 100_000
    spread = np.sqrt(stats.chi2.ppf(u, df) / df)
    for probability in (0.025, 0.975):
        for value, shift in zip(t, st._noncentrality(t, np.full(10, df), probability), strict=True):
            below = special.ndtr(value * spread - shift).mean()  # P((Z + shift) / S < t)
            assert below == pytest.approx(probability, abs=1e-3 if value == 1100 else 1e-4), value


def test_ties_are_with_all_that_nothing_beats():
    p = np.full((3, 3), NAN)
    p[0, 1] = p[1, 0] = 0.20
    p[0, 2] = p[2, 0] = 0.01
    p[1, 2] = p[2, 1] = 0.90
    np.testing.assert_array_equal(st.tied(np.array([0.9, 0.8, 0.7]), p), [True, True, False])
    np.testing.assert_array_equal(st.tied(np.array([0.7, 0.8, 0.9]), p), [False, True, True])
    np.testing.assert_array_equal(st.tied(np.array([NAN, 0.8, 0.9]), p), [False, True, True])


def test_ranks_by_hand():
    scores = np.array([[0.5, 0.7, 0.1 + 0.4, 0.2], [0.3, NAN, 0.1 + 0.2, 0.9]])  # 0.1 + 0.2 is not 0.3 in bits
    np.testing.assert_array_equal(st.ranks(scores), [[2.5, 1, 2.5, 4], [2.5, NAN, 2.5, 1]])


def test_rank_bounds_by_hand():
    p = np.full((4, 4), NAN)
    for a, b, value in ((0, 1, 0.01), (0, 2, 0.3), (0, 3, 0.001), (1, 2, 0.2), (1, 3, 0.04), (2, 3, 0.06)):
        p[a, b] = p[b, a] = value
    low, high = st.rank_bounds(np.array([0.9, 0.7, 0.8, 0.5]), p)  # 0 beats 1 and 3, 1 beats 3
    np.testing.assert_array_equal(low, [1, 2, 1, 3])
    np.testing.assert_array_equal(high, [2, 3, 4, 4])
    low, high = st.rank_bounds(np.array([0.9, NAN, 0.8, 0.5]), p)
    np.testing.assert_array_equal(low, [1, NAN, 1, 2])
    np.testing.assert_array_equal(high, [2, NAN, 3, 3])


def test_a_rank_may_be_1_where_a_method_is_tied(scores):
    scores = np.vstack([scores, scores[:4] + 0.001]) + 0.02 * np.arange(5)
    p, means = st.separations(scores), scores.mean(axis=0)
    low, _ = st.rank_bounds(means, p)
    assert 0 < st.tied(means, p).sum() < 5
    np.testing.assert_array_equal(low == 1, st.tied(means, p))


def test_one_seed_has_a_rank_and_no_interval():
    rank, low, high = st.rank_intervals(np.array([[0.5, 0.7]]), np.random.default_rng(0))
    np.testing.assert_array_equal(rank, [2, 1])
    assert np.isnan(low).all() and np.isnan(high).all()


def test_rank_intervals_where_nothing_overlaps():
    values = np.array([[0.1, 0.5, 0.5, NAN], [0.2, 0.6, 0.6, NAN], [0.3, 0.7, 0.7, NAN]])
    rank, low, high = st.rank_intervals(values, np.random.default_rng(0))
    np.testing.assert_array_equal(rank, [3, 1.5, 1.5, NAN])
    np.testing.assert_array_equal(low, rank)
    np.testing.assert_array_equal(high, rank)


@pytest.mark.parametrize(("ahead", "turns"), [(0.0, True), (0.06, True), (0.5, False)])
def test_rank_intervals_are_those_of_all_resamples(ahead, turns):
    values = np.array([[0.5, 0.40], [0.5, 0.60], [0.5, 0.45]]) - [0, ahead]
    mean = values[:, 1].mean()
    wider = math.sqrt(3 / 2) * 4.302653 / 1.959964  # t and z at 0.975
    outcomes = [mean + wider * (values[list(rows), 1].mean() - mean) for rows in itertools.product(range(3), repeat=3)]
    assert (np.mean(np.array(outcomes) > 0.5) > 0.025) == turns  # of all 27 resamples
    rank, low, high = st.rank_intervals(values, np.random.default_rng(0))
    np.testing.assert_array_equal(rank, [1, 2])
    np.testing.assert_array_equal(low, [1, 1 if turns else 2])
    np.testing.assert_array_equal(high, [2 if turns else 1, 2])


def test_mean_ranks_over_tasks():
    clear, turned = np.array([[0.9, 0.5], [0.8, 0.4]]), np.array([[0.1, 0.5], [0.2, 0.6], [0.1, 0.7]])
    rank, low, high = st.mean_rank_intervals([clear, clear, turned], np.random.default_rng(0))
    for found in (rank, low, high):
        np.testing.assert_allclose(found, [4 / 3, 5 / 3])


def test_friedman_by_hand():
    # ranks 1 2 3, 1 2 3, 1.5 1.5 3, 2 1 3: sums 5.5, 6.5, 12; 12 / (4 * 3 * 4) * (5.5^2 + 6.5^2 + 12^2) - 3 * 4 * 4
    # = 6.125; one tie of two: 1 - (2^3 - 2) / (4 * (3^3 - 3)) = 0.9375
    found = st.friedman(np.array([[0.9, 0.8, 0.7], [0.5, 0.4, 0.3], [0.6, 0.6, 0.1], [0.2, 0.3, 0.1]]))
    np.testing.assert_allclose(found.mean_ranks, [1.375, 1.625, 3])
    assert found.statistic == pytest.approx(6.125 / 0.9375)
    assert found.p == pytest.approx(math.exp(-found.statistic / 2))  # chi-squared with two degrees of freedom


@pytest.mark.parametrize("scores", [np.ones((5, 2)), np.ones((1, 4)), np.ones((5, 4))])
def test_friedman_needs_methods_tasks_and_differences(scores):
    found = st.friedman(scores)
    assert np.isnan(found.statistic) and np.isnan(found.p)
    assert len(found.mean_ranks) == scores.shape[1]


def test_critical_differences_are_those_of_scikit_posthocs():
    scores = np.random.default_rng(0).normal(size=(9, 5)) + np.arange(5)
    ranks = st.friedman(scores).mean_ranks
    significant = np.abs(ranks[:, None] - ranks) >= st.critical_difference(5, 9)
    assert 0 < significant.sum() < 20
    np.testing.assert_array_equal(significant, posthoc_nemenyi_friedman(scores) <= 0.05)


def test_critical_differences_are_demsars():
    q = [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]  # table 5(a)
    for methods, value in enumerate(q, start=2):
        expected = value * math.sqrt(methods * (methods + 1) / 6)
        assert st.critical_difference(methods, 1) == pytest.approx(expected, abs=2e-3 * methods)
    assert st.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


def test_cliques_by_hand():
    ranks = np.array([3.2, 1.0, 1.4, 2.1, 3.0])  # in order: 1 (1.0), 2 (1.4), 3 (2.1), 4 (3.0), 0 (3.2)
    assert st.cliques(ranks, 1.15) == [(1, 2, 3), (3, 4, 0)]
    assert st.cliques(ranks, 0.1) == []
    assert st.cliques(ranks, 9) == [(1, 2, 3, 4, 0)]


def test_what_can_be_detected_is_that_of_statsmodels():
    for n, comparisons in ((3, 1), (5, 6), (10, 31), (20, 1), (50, 21)):
        found = st.detectable(n, 0.02, comparisons)
        power = TTestPower().power(found / 0.02, n, 0.05 / comparisons, alternative="two-sided")
        assert power == pytest.approx(0.8, abs=1e-5)
    assert st.detectable(3, 0.02, 124_750) > st.detectable(3, 0.02, 21) > st.detectable(3, 0.02, 21, power=0.5)
    assert np.isnan(st.detectable(2, 0.02, 1)) and np.isnan(st.detectable(5, NAN, 1))


def test_the_docs_table_of_detectable_differences_is_true():
    lines = re.findall(r"^\| (3|5|10|20) \| ([\d. |]+) \|$", DOCS.read_text(), flags=re.MULTILINE)
    assert len(lines) == 4
    for seeds, cells in lines:
        expected = [st.detectable(int(seeds), 1.0, comparisons) for comparisons in (1, 6, 31, 21, 496)]
        np.testing.assert_allclose([float(cell) for cell in cells.split("|")], expected, rtol=5e-3)
