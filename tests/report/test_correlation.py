"""Rank correlation: scipy on samples written out, cases by hand, exact permutation distributions, calibration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmark.report import correlation


def columns(*values):
    return np.array(values, float).T


def test_rho_by_hand():
    # x ranks 1 2 3 4, y ranks 2 1 4 3: differences 1, each squared 1, sum 4; rho = 1 - 6 * 4 / (4 * 15) = 0.6
    assert correlation.spearman(columns([1, 2, 3, 9]), columns([20, 10, 40, 30]))[0, 0, 0] == pytest.approx(0.6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_rho_with_ties_is_scipys(pairs):
    x, y = np.array(pairs, float).T
    found = correlation.spearman(x[:, None], y[:, None])[0, 0, 0]
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


def test_every_column_with_every_column():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(15, 3)), rng.normal(size=(15, 2))
    expected = [[stats.spearmanr(a, b).statistic for b in y.T] for a in x.T]
    np.testing.assert_allclose(correlation.spearman(x, y)[0], expected, atol=1e-12)


def test_a_weight_is_so_many_copies():
    rng = np.random.default_rng(1)
    x, y, z = rng.integers(0, 6, (3, 14)).astype(float)
    weights = rng.integers(0, 4, (correlation.CHUNK + 7, 14))
    rho = correlation.spearman(x[:, None], y[:, None], weights)[:, 0, 0]
    partial = correlation.partial(x[:, None], y[:, None], z, weights)[:, 0, 0]
    for found, given_control, counts in zip(rho, partial, weights, strict=True):
        copies = np.repeat(np.arange(14), counts)
        assert found == pytest.approx(stats.spearmanr(x[copies], y[copies]).statistic, abs=1e-12)
        assert given_control == pytest.approx(by_regression(x[copies], y[copies], z[copies]), abs=1e-9)


def by_regression(x, y, z):
    """Partial correlation of ranks as the correlation of the residuals of two regressions."""
    a, b, c = (stats.rankdata(values) for values in (x, y, z))
    design = np.stack([np.ones_like(c), c], axis=1)
    left = [values - design @ np.linalg.lstsq(design, values, rcond=None)[0] for values in (a, b)]
    return np.corrcoef(*left)[0, 1]


def test_undefined_is_nan():
    varied, constant = columns([1, 2, 3, 4]), columns([5, 5, 5, 5])
    assert np.isnan(correlation.spearman(varied, constant)).all()
    assert np.isnan(correlation.spearman(varied[:0], varied[:0])).all()
    other = columns([2, 1, 4, 3])
    assert np.isnan(correlation.partial(varied, other, varied[:, 0])).all()  # the control is x itself
    assert np.isnan(correlation.partial(varied, other, constant[:, 0])).all()


def test_infinite_ranks_last():
    assert correlation.spearman(columns([1, 2, np.inf]), columns([1, 2, 3]))[0, 0, 0] == pytest.approx(1)


def test_methods_are_drawn_whole():
    clusters = np.array([0, 0, 0, 4, 4, 7])
    weights = correlation.cluster_weights(clusters, 300, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 3, 5]].sum(axis=1) == 3).all()


def test_intervals_leave_out_what_is_undefined():
    values = np.stack([np.r_[np.arange(101.0), np.nan], np.full(102, np.nan)], axis=1)
    low, high = correlation.interval(values)
    assert low[0] == 2.5 and high[0] == 97.5 and np.isnan([low[1], high[1]]).all()


def test_means_of_methods_by_hand():
    values = columns([1, 3, 10], [0, 1, 2])
    np.testing.assert_allclose(correlation.cluster_means(values, np.array([5, 5, 2])), [[10, 2], [2, 0.5]])


def test_means_of_the_same_values_tie():
    values = columns([0.1, 0.2, 0.3, 0.3, 0.2, 0.1])  # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last digit
    assert len(np.unique(correlation.cluster_means(values, np.array([0, 0, 0, 1, 1, 1])))) == 1


def test_exchange_gives_each_permutation_of_methods_its_rho():
    # Three methods of two seeds: the six permutations written out.
    x, y = np.array([3.0, 1, 4, 1.5, 9, 2.6]), np.array([2.0, 7, 1, 8, 2.8, 1.1])
    clusters, seeds = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 0, 0, 1])
    by_method = {0: {0: 2.0, 1: 7.0}, 1: {1: 1.0, 0: 8.0}, 2: {0: 2.8, 1: 1.1}}
    possible = set()
    for order in itertools.permutations(range(3)):
        given_away = [by_method[order[method]][seed] for method, seed in zip(clusters, seeds, strict=True)]
        possible.add(round(stats.spearmanr(x, given_away).statistic, 9))
    keys = np.random.default_rng(0).random((200, 3))
    found = correlation.exchanged(x[:, None], y[:, None], clusters, seeds, keys)[:, 0, 0]
    assert set(np.round(found, 9)) == possible


def test_only_methods_with_the_same_seeds_exchange():
    x, y = np.array([1.0, 2, 3, 4, 5]), np.array([10.0, 20, 30, 40, 50])
    clusters, seeds = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0])  # the third method has one seed only
    keys = np.random.default_rng(0).random((100, 3))
    found = correlation.exchanged(x[:, None], y[:, None], clusters, seeds, keys)[:, 0, 0]
    swapped = stats.spearmanr(x, [30, 40, 10, 20, 50]).statistic
    assert set(np.round(found, 9)) == {1.0, round(swapped, 9)}


def test_p_values_equal_scipys_permutation_test():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=6), rng.normal(size=6)
    y += x
    orders = np.array(list(itertools.permutations(range(6))))
    keys = np.argsort(orders, axis=1).astype(float)  # sorting them gives every order once
    by_chance = correlation.exchanged(x[:, None], y[:, None], np.arange(6), np.zeros(6, int), keys)
    ((alone, among),) = correlation.p_values([correlation.spearman(x[:, None], y[:, None])[0]], [by_chance])
    exact = stats.permutation_test(
        (y,), lambda values: stats.spearmanr(x, values).statistic, permutation_type="pairings", n_resamples=np.inf
    ).pvalue
    assert (alone[0, 0] * 721 - 1) / 720 == pytest.approx(exact)
    assert among[0, 0] == alone[0, 0]  # one pair needs no adjustment


def test_adjustment_by_hand():
    # Two pairs, four permutations, centred and of one scale: |T| = 3, 1, 3, 1 and 1, 2, 1, 2; the larger 3, 2, 3, 2.
    by_chance = np.array([[[3.0, 1]], [[1, -2]], [[-3, -1]], [[-1, 2]]])
    scale = by_chance.std(axis=0)
    observed = np.array([[2.9 * scale[0, 0] / scale[0, 0], 0.5]])
    alone, among = correlation.p_values([observed], [by_chance])[0]
    assert alone.tolist() == [[(1 + 2) / 5, (1 + 4) / 5]]
    largest = np.max(np.abs(by_chance) / scale, axis=(1, 2))
    assert among[0, 0] == (1 + np.sum(largest >= 2.9 / scale[0, 0])) / 5 and among[0, 1] == 1


def test_adjusted_is_never_smaller_and_blocks_share_the_maximum():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 3))
    keys, own = rng.random((500, 20)), (np.arange(20), np.zeros(20, int))
    whole = correlation.p_values([correlation.spearman(x, y)[0]], [correlation.exchanged(x, y, *own, keys)])[0]
    halves = [(x[:, :2], y), (x[:, 2:], y)]
    parts = correlation.p_values(
        [correlation.spearman(*half)[0] for half in halves],
        [correlation.exchanged(*half, *own, keys) for half in halves],
    )
    assert (whole[1] >= whole[0]).all()
    for i in (0, 1):
        np.testing.assert_array_equal(whole[i], np.concatenate([part[i] for part in parts]))


def test_a_constant_column_has_no_p_value_and_does_not_disturb_others():
    rng = np.random.default_rng(4)
    x, y = np.stack([rng.normal(size=8), np.ones(8)], axis=1), rng.normal(size=(8, 1))
    own, keys = (np.arange(8), np.zeros(8, int)), rng.random((200, 8))
    alone, among = correlation.p_values([correlation.spearman(x, y)[0]], [correlation.exchanged(x, y, *own, keys)])[0]
    assert np.isnan([alone[1, 0], among[1, 0]]).all() and alone[0, 0] == among[0, 0] <= 1


def test_seeds_that_shift_all_methods_are_no_evidence():
    # Metric and read-out follow the seed alone: cells correlate, methods do not, and no permutation changes anything.
    x = np.tile([0.0, 1, 2], 6) + np.repeat(np.random.default_rng(5).normal(0, 1e-3, 6), 3)
    y = np.tile([0.0, 1, 2], 6) + np.repeat(np.random.default_rng(6).normal(0, 1e-3, 6), 3)
    clusters, seeds = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    rho = correlation.spearman(x[:, None], y[:, None])[0]
    keys = np.random.default_rng(7).random((300, 6))
    alone, _ = correlation.p_values([rho], [correlation.exchanged(x[:, None], y[:, None], clusters, seeds, keys)])[0]
    assert rho[0, 0] > 0.8 and alone[0, 0] > 0.2
