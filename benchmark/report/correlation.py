"""Rank correlation over cells of methods and seeds: resampled, controlled for a third column, tested by permutation.

Shape letters: n cells, m methods, p metrics, q read-outs, B resamples, P permutations. Methods are the independent
units, as seeds of one method share it: methods are resampled and exchanged whole. Values may be infinite, which ranks
last, but not NaN.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-9  # figures nearer to each other than this are equal
CHUNK = 250  # resamples or permutations at a time, which bounds memory


def ranks(values: Floats, weights: Ints) -> Floats:
    """Mid-ranks in samples that hold each value several times.

    Args:
        values: (n,).
        weights: (B, n), how often each value is in each sample.

    Returns:
        (B, n), from 1; what weighs nothing has a rank too, which nothing should depend on.
    """
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    tied = np.add.reduceat(weights[:, order], starts, axis=1)
    below = np.cumsum(tied, axis=1) - tied
    found: Floats = (below + (tied + 1) / 2)[:, group]
    return found


def spearman(x: Floats, y: Floats, weights: Ints | None = None) -> Floats:
    """Spearman's rho of every column of x with every column of y, ties by mid-ranks.

    Args:
        x: (n, p).
        y: (n, q).
        weights: (B, n), how often each cell is in each sample; None: one sample with each cell once.

    Returns:
        (B, p, q) in [-1, 1]; NaN where a column is constant in the sample.
    """
    counts = np.ones((1, len(x)), np.int64) if weights is None else weights
    if not len(x):
        return np.full((len(counts), x.shape[1], y.shape[1]), np.nan)
    chunks = [counts[start : start + CHUNK] for start in range(0, len(counts), CHUNK)]
    return np.concatenate([_unit_ranks(x, part).transpose(0, 2, 1) @ _unit_ranks(y, part) for part in chunks])


def partial(x: Floats, y: Floats, control: Floats, weights: Ints | None = None) -> Floats:
    """Rank correlation of what is left of x and y when the ranks of the control are accounted for, linearly.

    Args:
        x: (n, p).
        y: (n, q).
        control: (n,).
        weights: as of `spearman`.

    Returns:
        (B, p, q) in [-1, 1]; NaN where a column is constant or the control orders x or y completely.
    """
    third = control[:, None]
    xy, xz, zy = spearman(x, y, weights), spearman(x, third, weights), spearman(third, y, weights)
    left = (1 - xz**2) * (1 - zy**2)
    left[left < ROUNDING] = np.nan
    return np.clip((xy - xz * zy) / np.sqrt(left), -1, 1)


def cluster_weights(clusters: Ints, resamples: int, rng: np.random.Generator) -> Ints:
    """Methods drawn with replacement, each with all of its seeds.

    Args:
        clusters: (n,) the method of each cell, any numbers.
        resamples: B.
        rng: source of the draws.

    Returns:
        (B, n), how often each cell is in each resample.
    """
    found, position = np.unique(clusters, return_inverse=True)
    drawn: Ints = rng.multinomial(len(found), np.full(len(found), 1 / len(found)), size=resamples)
    return drawn[:, position]


def interval(values: Floats) -> tuple[Floats, Floats]:
    """The 2.5 and 97.5 percentiles along the first axis, (B, …) -> (…) each, of those defined; NaN where none is."""
    none = np.isnan(values).all(axis=0)
    low, high = np.nanpercentile(np.where(none, 0.0, values), [2.5, 97.5], axis=0)
    return np.where(none, np.nan, low), np.where(none, np.nan, high)


def cluster_means(values: Floats, clusters: Ints) -> Floats:
    """(n, c) -> (m, c): means over the cells of each method, methods in ascending order, for ranking.

    Rounded, as sums of the same values in another order differ in their last digits and would be no tie.
    """
    _, position, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, position, values)
    means = sums / counts[:, None]
    size = np.abs(means).max(axis=0, initial=0, where=np.isfinite(means))
    unit = np.where(size > 0, size, 1) * ROUNDING
    rounded: Floats = np.round(means / unit) * unit
    return rounded


def exchanged(x: Floats, y: Floats, clusters: Ints, seeds: Ints, keys: Floats) -> Floats:
    """Spearman's rho when the read-outs of methods are exchanged at random: what chance makes of these columns.

    Methods give their read-outs away whole and seed by seed, so what seeds do to all methods stays; only methods with
    the same seeds exchange.

    Args:
        x: (n, p), metrics.
        y: (n, q), read-outs.
        clusters: (n,) the method of each cell in [0, m).
        seeds: (n,) its seed.
        keys: (P, m) random numbers whose order makes the permutations; equal keys, equal permutations.

    Returns:
        (P, p, q); NaN where a column is constant.
    """
    once = np.ones((1, len(x)), np.int64)
    metrics, readouts = _unit_ranks(x, once)[0].T, _unit_ranks(y, once)[0]  # (p, n), (n, q)
    donors = np.tile(np.arange(len(x)), (len(keys), 1))  # (P, n)
    for methods, cells in _exchangeable(clusters, seeds):
        order = np.argsort(keys[:, methods], axis=1)
        donors[:, cells.ravel()] = cells[order].reshape(len(keys), -1)
    chunks = [donors[start : start + CHUNK] for start in range(0, len(keys), CHUNK)]
    return np.concatenate([metrics @ readouts[part] for part in chunks])


def p_values(observed: Sequence[Floats], by_chance: Sequence[Floats]) -> list[tuple[Floats, Floats]]:
    """Two-sided permutation p-values, of each pair alone and among all pairs.

    The statistic is the distance of rho from its mean under permutation, in standard deviations. The adjusted p-value
    is single-step maxT (Westfall & Young 1993): how often the largest statistic of all pairs comes up to this one where
    no metric has to do with any read-out. Correlations among metrics and among read-outs are those of the data.

    Args:
        observed: (p, q) rho, of one or more blocks of pairs.
        by_chance: (P, p, q) of `exchanged` for each block, made with the same keys.

    Returns:
        p and adjusted p of each block, (p, q), at least 1 / (P + 1); NaN where rho is.
    """
    centres = [null.mean(axis=0) for null in by_chance]
    scales = [np.where(null.std(axis=0) > ROUNDING, null.std(axis=0), np.inf) for null in by_chance]
    nulls = [np.abs(n - c) / s for n, c, s in zip(by_chance, centres, scales, strict=True)]
    statistics = [np.abs(o - c) / s for o, c, s in zip(observed, centres, scales, strict=True)]
    largest = np.max([np.nan_to_num(null).max(axis=(1, 2)) for null in nulls], axis=0) if nulls else np.zeros(0)
    found = []
    for statistic, null in zip(statistics, nulls, strict=True):
        alone = (null >= statistic - ROUNDING).sum(axis=0)
        among = (largest[:, None, None] >= statistic - ROUNDING).sum(axis=0)
        undefined = np.isnan(statistic)
        alone, among = (np.where(undefined, np.nan, (1 + n) / (len(null) + 1)) for n in (alone, among))
        found.append((alone, among))
    return found


def _unit_ranks(values: Floats, weights: Ints) -> Floats:
    """(n, c), (B, n) -> (B, n, c) ranks, centred and scaled so that a product of two columns is their correlation."""
    found = np.stack([ranks(column, weights) for column in values.T], axis=2)
    counts = weights[:, :, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        found -= (counts * found).sum(1, keepdims=True) / counts.sum(1, keepdims=True)
        found *= np.sqrt(counts)
        unit: Floats = found / np.sqrt((found**2).sum(1, keepdims=True))
    return unit


def _exchangeable(clusters: Ints, seeds: Ints) -> Iterator[tuple[Ints, Ints]]:
    """For each set of seeds the k methods that have it, (k,), and their cells by seed, (k, number of seeds)."""
    by_seed = np.lexsort((seeds, clusters))
    cells = {int(method): by_seed[clusters[by_seed] == method] for method in np.unique(clusters)}
    sets = {method: tuple(seeds[own]) for method, own in cells.items()}
    for seed_set in dict.fromkeys(sets.values()):
        methods = [method for method, own in sets.items() if own == seed_set]
        yield np.array(methods), np.stack([cells[method] for method in methods])
