"""Statistics of scores over seeds: intervals, paired differences, tie groups, ranks, and what the seeds can show.

Shape letters: n seeds, k methods, t tasks, B resamples. Scores are (n, k), row i being one seed of every method, with
NaN where a cell is missing; a higher score is better. Everything is two-sided at level 0.95.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEVEL = 0.95
ALPHA = 1 - LEVEL
MIN_SEEDS = 3  # for a p-value: two differences have a variance, but a t distribution without a mean
MIN_WILCOXON = 6  # 2 / 2^5 = 0.0625: with five seeds no outcome reaches 0.05
BLOCK = 64  # methods that are compared with all others at a time
ROUNDING = 1e-9  # figures nearer to each other than this, relative to the largest, are equal


@dataclass(frozen=True)
class Means:
    """Mean score of each method, every field (k,).

    Attributes:
        mean: over the seeds at hand; NaN without one.
        low: of the 95 % t interval (n - 1) of the expected score over seeds; NaN for fewer than two.
        high: its other end.
        std: between seeds, n - 1 in the denominator; NaN for fewer than two.
        n: number of seeds.
    """

    mean: Floats
    low: Floats
    high: Floats
    std: Floats
    n: Ints


@dataclass(frozen=True)
class Differences:
    """Each method minus the reference, seed by seed, every field (k,); the reference itself is NaN.

    Attributes:
        n: seeds that both have.
        mean: of the differences over these seeds; NaN without one.
        low: of the 95 % t interval (n - 1) of the expected difference; NaN for fewer than two.
        high: its other end.
        p_t: paired t-test that the expected difference is 0; NaN for fewer than three, and where all differences are
            equal but not 0 (scores lie on a grid, and no variance is known).
        p_wilcoxon: exact signed-rank test that differences are symmetric about 0; NaN for fewer than six seeds.
        p_holm: `p_t` of Holm's correction over the methods that have one.
        effect: expected difference in units of the standard deviation of differences, without small-sample bias;
            NaN where `p_t` is, or where all differences are 0.
        effect_low: of its exact 95 % interval.
        effect_high: its other end.
    """

    n: Ints
    mean: Floats
    low: Floats
    high: Floats
    p_t: Floats
    p_wilcoxon: Floats
    p_holm: Floats
    effect: Floats
    effect_low: Floats
    effect_high: Floats


@dataclass(frozen=True)
class Friedman:
    """Whether methods rank alike over tasks.

    Attributes:
        statistic: chi-squared, corrected for ties; NaN for fewer than three methods or two tasks, or if all tie.
        p: of it, by the chi-squared distribution with k - 1 degrees of freedom.
        mean_ranks: (k,), 1 is best.
    """

    statistic: float
    p: float
    mean_ranks: Floats


def mean_intervals(values: Floats) -> Means:
    """Mean, standard deviation and t interval over seeds.

    Args:
        values: (n, k), NaN where missing.

    Returns:
        The interval is of the expected score over seeds (initial weights, order, crops) on this very test split.
    """
    n, mean, std = _moments(values)
    half = _half_width(n, std)
    return Means(mean, mean - half, mean + half, std, n)


def differences(values: Floats, reference: int) -> Differences:
    """Paired comparison of every method with one of them, over the seeds both have.

    Seeds share initial weights, order of batches and crops, so what a seed does to both cancels. The effect is
    Hedges' J(n - 1) mean / std of the differences, unbiased under normality; its interval is that of the noncentral t.

    Args:
        values: (n, k), NaN where missing.
        reference: column that the others are compared with.

    Source: Holm 1979; Wilcoxon 1945; Hedges 1981 (J); Steiger & Fouladi 1997 (noncentral interval); the unit is d_z of
        Lakens 2013, doi:10.3389/fpsyg.2013.00863, "SMCC" of metafor.
    """
    with np.errstate(invalid="ignore"):
        paired = values - values[:, [reference]]  # (n, k)
    paired[:, reference] = np.nan
    n, mean, std = _moments(paired)
    std = _without_rounding(std, values)
    half = _half_width(n, std)
    p_t = _p_of_t(n, mean, std)
    wilcoxon = signed_rank(paired)
    effect, effect_low, effect_high = _effects(n, mean, std)
    return Differences(n, mean, mean - half, mean + half, p_t, wilcoxon, holm(p_t), effect, effect_low, effect_high)


def holm(p: Floats) -> Floats:
    """Holm's step-down correction: any family-wise error at most 0.05, whatever the dependence.

    Args:
        p: any shape; NaN is no test and does not count.

    Returns:
        Same shape, adjusted p-values, at most 1.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    flat = p.ravel()
    order = np.argsort(flat, kind="stable")[: np.count_nonzero(~np.isnan(flat))]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(flat.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * factors), 1)
    return adjusted.reshape(p.shape)


def signed_rank(paired: Floats) -> Floats:
    """Wilcoxon's signed-rank test of each column, exact also with ties: all 2^n signs of the mid-ranks at hand.

    Args:
        paired: (n, k) differences, NaN where missing; zeros are dropped, as Wilcoxon did.

    Returns:
        (k,) two-sided p; 1 if all are zero, NaN for fewer than six differences.

    Source: Wilcoxon 1945, Biometrics Bulletin 1; with ties the distribution is that given the mid-ranks.
    """
    sizes = np.where(paired != 0, np.abs(paired), np.nan)
    doubled = np.nan_to_num(2 * stats.rankdata(sizes, axis=0, nan_policy="omit"))  # mid-ranks are halves
    enough = (~np.isnan(paired)).sum(axis=0) >= MIN_WILCOXON
    found = np.full(paired.shape[1], np.nan)
    for column in np.flatnonzero(enough):
        found[column] = _p_of_signs(np.rint(doubled[:, column]).astype(np.int64), paired[:, column] > 0)
    return found


def shaffer(p: Floats) -> Floats:
    """Shaffer's step-down correction of all pairs: Holm's, less what the pairs rule out among themselves.

    Where one of k equalities is false, others are: of two methods that differ, a third can equal one only. So fewer
    can be true than are left, and the factors fall faster than Holm's. Family-wise error at most 0.05, whatever the
    dependence.

    Args:
        p: (k, k) symmetric; NaN is no test.

    Returns:
        (k, k) symmetric, adjusted p-values, at most 1 and never above Holm's.

    Source: Shaffer 1986, JASA 81, pages 826-831, procedure S1; García & Herrera 2008, JMLR 9, section 3.1.
    """
    methods = len(p)
    upper = np.triu_indices(methods, 1)
    flat = p[upper]
    order = np.argsort(flat, kind="stable")[: np.count_nonzero(~np.isnan(flat))]
    left = np.arange(len(order), 0, -1)
    factors = np.minimum(left, _most_true(methods)[len(flat) : len(flat) - len(order) : -1])
    adjusted = np.full(p.shape, np.nan)
    rows, columns = upper[0][order], upper[1][order]
    adjusted[rows, columns] = np.minimum(np.maximum.accumulate(flat[order] * factors), 1)
    adjusted[columns, rows] = adjusted[rows, columns]
    return adjusted


def separations(values: Floats) -> Floats:
    """Which methods are told apart: paired t-tests of all pairs, corrected by `shaffer`.

    Each pair has its own variance, so methods may differ in theirs, and n - 1 degrees of freedom.

    Args:
        values: (n, k), NaN where missing; a pair is compared over the seeds both have.

    Returns:
        (k, k) symmetric, adjusted p-values; NaN on the diagonal, for pairs with fewer than three shared seeds, and
        where all differences are equal but not 0.
    """
    return shaffer(_p_of_t(*_pairs(values)))


def tied(means: Floats, p: Floats) -> Bools:
    """Methods that cannot be told from the best: no method is significantly better.

    Args:
        means: (k,), higher is better; NaN is never tied.
        p: (k, k) of `separations`.

    Returns:
        (k,); where all seeds are shared, the true best is among them with a probability of at least 0.95.
    """
    better = means[None, :] > means[:, None]
    found: Bools = ~(better & (p < ALPHA)).any(axis=1) & ~np.isnan(means)
    return found


def ranks(scores: Floats) -> Floats:
    """Ranks along the last axis, ties by mid-rank.

    Args:
        scores: (…, k), higher is better, NaN where missing; scores that only rounding tells apart are equal.

    Returns:
        (…, k), 1 is best; NaN has none.
    """
    size = np.abs(scores).max(initial=0, where=np.isfinite(scores))
    rounded = np.round(scores / (ROUNDING * size if size > 0 else 1))
    return np.asarray(stats.rankdata(-rounded, axis=-1, nan_policy="omit"), np.float64)


def rank_bounds(means: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Ranks that the seeds do not rule out: all true ranks at once lie between these with probability 0.95.

    Args:
        means: (k,), higher is better; NaN has no rank.
        p: (k, k) of `separations`.

    Returns:
        1 + how many are significantly better, and k - how many are significantly worse, each (k,). They hold whenever
        no two methods are told apart wrongly, so they cannot contradict `tied`: low is 1 where, and only where, a
        method is tied.

    Source: Al Mohamad, Goeman & van Zwet, "Simultaneous confidence intervals for ranks", who use Tukey's test.
    """
    ranked = ~np.isnan(means)
    better = (means[None, :] > means[:, None]) & (p < ALPHA)  # [i, j]: j is better than i
    low, high = 1.0 + better.sum(axis=1), ranked.sum() - 1.0 * better.sum(axis=0)
    return np.where(ranked, low, np.nan), np.where(ranked, high, np.nan)


def rank_intervals(values: Floats, rng: np.random.Generator, resamples: int = 2000) -> tuple[Floats, Floats, Floats]:
    """Rank of the mean, with percentile intervals from resampling seeds; `rank_bounds` promises more.

    A resample takes the same seeds of every method. Resampled means of few seeds scatter too little, so their
    distance from the mean is multiplied by sqrt(n / (n - 1)) t / z, the 97.5 % points: percentiles of one mean are
    then close to its t interval. The interval of a rank still misses the true one more often than in 5 % where methods
    are nearly equal; docs/statistics.md says how often.

    Args:
        values: (n, k), NaN where missing.
        rng: source of the draws.
        resamples: B.

    Returns:
        Rank, 1 is best, ties by mid-rank, and the 2.5 and 97.5 percentiles over resamples, each (k,); NaN for methods
        without a seed, no interval with one. Where a resample has no seed of a method, it is left out for that method.
    """
    drawn = _resampled_ranks(values, rng, resamples)
    return (ranks(_moments(values)[1]), *_percentiles(drawn))


def mean_rank_intervals(
    tasks: Sequence[Floats], rng: np.random.Generator, resamples: int = 2000
) -> tuple[Floats, Floats, Floats]:
    """Mean over tasks of the rank of the mean over seeds; tasks are fixed, seeds are resampled within each.

    Args:
        tasks: t arrays (n of the task, k), the same methods in the same order.
        rng: source of the draws.
        resamples: B.

    Returns:
        Mean rank and the 2.5 and 97.5 percentiles over resamples, each (k,).
    """
    observed = np.mean([ranks(_moments(values)[1]) for values in tasks], axis=0)
    drawn = np.mean([_resampled_ranks(values, rng, resamples) for values in tasks], axis=0)
    return (observed, *_percentiles(drawn))


def friedman(scores: Floats) -> Friedman:
    """Friedman's test over tasks.

    Args:
        scores: (t, k) one score of each method on each task, higher is better, none NaN.

    Source: Friedman 1937; Demšar 2006, JMLR 7, section 3.2.2.
    """
    of_tasks = ranks(scores)
    tasks, methods = scores.shape
    if methods < 3 or tasks < 2 or np.ptp(of_tasks, axis=1).max() == 0:
        return Friedman(float("nan"), float("nan"), of_tasks.mean(axis=0))
    found = stats.friedmanchisquare(*of_tasks.T)
    return Friedman(float(found.statistic), float(found.pvalue), of_tasks.mean(axis=0))


def critical_difference(num_methods: int, num_tasks: int) -> float:
    """Nemenyi's: mean ranks over tasks that differ by at least this differ at 0.05, all pairs considered.

    Args:
        num_methods: k >= 2.
        num_tasks: t >= 1.

    Returns:
        q sqrt(k (k + 1) / (6 t)), in ranks.

    Source: Nemenyi 1963; Demšar 2006, JMLR 7, section 3.2.2 and table 5.
    """
    q = stats.studentized_range.ppf(LEVEL, num_methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(num_methods * (num_methods + 1) / (6 * num_tasks)))


def cliques(mean_ranks: Floats, difference: float) -> list[tuple[int, ...]]:
    """Largest groups of methods whose mean ranks lie within less than the critical difference.

    Args:
        mean_ranks: (k,), 1 is best.
        difference: of `critical_difference`.

    Returns:
        Indices of methods, groups and members from the best rank on; no group of one, none within another.
    """
    order = np.argsort(mean_ranks, kind="stable")
    ordered = mean_ranks[order]
    groups: list[tuple[int, ...]] = []
    covered = 0
    for start in range(len(order)):
        end = int(np.searchsorted(ordered, ordered[start] + difference, side="left"))
        if end - start > 1 and end > covered:
            groups.append(tuple(int(index) for index in order[start:end]))
            covered = end
    return groups


def detectable(n: int, std: float, comparisons: int, power: float = 0.8) -> float:
    """Smallest expected difference that a paired t-test would find with this power.

    Args:
        n: shared seeds.
        std: of the paired differences, > 0; over many methods e.g. their median.
        comparisons: the test is at 0.05 / comparisons, Holm's first step; >= 1.
        power: in (0.05, 1).

    Returns:
        In units of `std`'s; NaN for fewer than three seeds or an unknown std.
    """
    if n < MIN_SEEDS or not std > 0:
        return float("nan")
    df = n - 1
    critical = -special.stdtrit(df, ALPHA / comparisons / 2)

    def lacking(shift: float) -> float:
        return float(power - 1 + special.nctdtr(df, shift, critical))  # significant in the wrong direction: no find

    each = np.sqrt(power)  # a shift at which numerator and denominator both suffice as often as this, independently
    enough = critical * np.sqrt(special.chdtri(df, 1 - each) / df) + special.ndtri(each)
    return float(optimize.brentq(lacking, 0, enough) * std / np.sqrt(n))


def _moments(values: Floats) -> tuple[Ints, Floats, Floats]:
    """(n, …) -> number, mean and standard deviation (n - 1) of what is not NaN along the first axis, (…) each."""
    present = ~np.isnan(values)
    n = present.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0).sum(axis=0) / np.where(n > 0, n, np.nan)
        squares = (np.where(present, values - mean, 0) ** 2).sum(axis=0)
        return n, mean, np.sqrt(squares / np.where(n > 1, n - 1, np.nan))


def _pairs(values: Floats) -> tuple[Ints, Floats, Floats]:
    """(n, k) -> number, mean and standard deviation of the differences of any two columns, (k, k) each."""
    blocks = [values[:, start : start + BLOCK, None] for start in range(0, values.shape[1], BLOCK)]  # bounds memory
    with np.errstate(invalid="ignore"):
        found = [_moments(block - values[:, None, :]) for block in blocks]
    n, mean, std = (np.concatenate(rows) for rows in zip(*found, strict=True))
    return n, mean, _without_rounding(std, values)


@functools.cache
def _most_true(methods: int) -> Ints:
    """(P + 1,) for P pairs: the largest number of equal pairs, not above the index, that k means can have.

    Means that are equal form groups, and a group of j has j (j - 1) / 2 equal pairs; bit x of `possible[m]` says
    whether some grouping of m methods has x of them.
    """
    possible = [1]
    for m in range(1, methods + 1):
        possible.append(functools.reduce(int.__or__, (possible[m - j] << j * (j - 1) // 2 for j in range(1, m + 1))))
    pairs = methods * (methods - 1) // 2
    bits = np.frombuffer(possible[methods].to_bytes(pairs // 8 + 1, "little"), np.uint8)
    reached = np.unpackbits(bits, count=pairs + 1, bitorder="little")
    most: Ints = np.maximum.accumulate(np.where(reached, np.arange(pairs + 1), 0))
    return most


def _without_rounding(std: Floats, values: Floats) -> Floats:
    """Standard deviations of differences, exactly 0 where only rounding is left of them."""
    size = np.abs(values).max(initial=0, where=np.isfinite(values))
    cleaned: Floats = np.where(std <= ROUNDING * size, 0, std)
    return cleaned


def _half_width(n: Ints, std: Floats) -> Floats:
    """Half of the t interval of a mean; NaN for fewer than two."""
    enough = np.where(n > 1, n, 2)
    half: Floats = special.stdtrit(enough - 1.0, (1 + LEVEL) / 2) * std / np.sqrt(enough)
    return half


def _p_of_t(n: Ints, mean: Floats, std: Floats) -> Floats:
    """Two-sided p of the one-sample t-test; 1 if all are 0, NaN for other constants and fewer than three."""
    enough = np.where(n >= MIN_SEEDS, n, MIN_SEEDS)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(std > 0, np.abs(mean) / std * np.sqrt(enough), np.nan)
    p = np.where((std == 0) & (mean == 0), 1.0, 2 * special.stdtr(enough - 1.0, -t))
    return np.where(n >= MIN_SEEDS, p, np.nan)


def _p_of_signs(ranks: Ints, positive: Bools) -> float:
    """Two-sided p of the sum of these ranks, (n,), that are positive, all signs being equally likely."""
    total = int(ranks.sum())
    share = np.zeros(total + 1)  # of the signs for which positive ranks sum to the index
    share[0] = 1
    for rank in ranks[ranks > 0]:
        share[rank:] += share[:-rank].copy()
        share /= 2
    observed = int(ranks[positive].sum())
    return float(min(1.0, 2 * share[: min(observed, total - observed) + 1].sum()))


def _effects(n: Ints, mean: Floats, std: Floats) -> tuple[Floats, Floats, Floats]:
    """Standardised mean difference without bias, and its exact interval."""
    known = (n >= MIN_SEEDS) & (std > 0) & np.isfinite(mean)
    size, ratio = n[known].astype(np.float64), mean[known] / std[known]
    df = size - 1
    unbiased = np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2)
    results = []
    for found in (
        unbiased * ratio,
        _noncentrality(ratio * np.sqrt(size), df, (1 + LEVEL) / 2) / np.sqrt(size),
        _noncentrality(ratio * np.sqrt(size), df, ALPHA / 2) / np.sqrt(size),
    ):
        results.append(np.full(n.shape, np.nan))
        results[-1][known] = found
    return results[0], results[1], results[2]


def _noncentrality(t: Floats, df: Floats, probability: float) -> Floats:
    """The shift of a noncentral t, (Z + shift) / S, that leaves this probability below t; (k,).

    By bisection between two bounds that bring either S or Z alone to the tail: outside of them SciPy's distribution
    function is NaN at times. Beyond 1,000 Z counts for nothing.
    """
    size, below = np.abs(t), np.where(t >= 0, probability, 1 - probability)  # by symmetry

    def scaled(tail: Floats) -> Floats:  # size times the S that is exceeded with this probability
        found: Floats = size * np.sqrt(special.chdtri(df, tail) / df)
        return found

    low = scaled((1 + below) / 2) + special.ndtri((1 - below) / 2)
    high = scaled(below / 2) - special.ndtri(below / 2)
    for _ in range(35):  # to 1e-10 of the first bracket
        middle = (low + high) / 2
        above = special.nctdtr(df, middle, size) > below  # falls with the shift
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(t >= 0, 1, -1) * np.where(size > 1000, scaled(below), low)


def _resampled_ranks(values: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """(n, k) -> (B, k) ranks of means over seeds drawn with replacement, widened as `rank_intervals` says."""
    n, mean, _ = _moments(values)
    seeds = len(values)
    weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(np.float64)  # (B, n)
    present = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (weights @ np.where(present, values - mean, 0)) / (weights @ present)  # (B, k), from the mean
        wider = np.sqrt(n / (n - 1)) * special.stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2)
        return ranks(mean + np.where(n > 1, wider, np.nan) / special.ndtri((1 + LEVEL) / 2) * drawn)


def _percentiles(drawn: Floats) -> tuple[Floats, Floats]:
    """(B, k) -> (k,) 2.5 and 97.5 percentiles of what is not NaN."""
    none = np.isnan(drawn).all(axis=0)
    low, high = np.nanquantile(np.where(none, 0, drawn), [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)
