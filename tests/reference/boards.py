"""Simulated boards whose truth is known, and tests of all pairs that separations was chosen from.

Shape letters: S boards, n seeds, k methods, P pairs in the order of `numpy.triu_indices(k, 1)`. The standard deviation
of a method between seeds is 1 unless the scenario says otherwise. `python tests/reference/boards.py` prints the tables
of docs/statistics.md.
"""

import sys

import numpy as np
from scipy import special, stats

from benchmark.report import statistics

REQUIRED = {
    "equal": "equal variances",
    "lognormal": "standard deviations log-normal, spread by a factor of 3",
    "one5x": "one method with 5 times the standard deviation",
    "seeds": "seeds shift all methods, standard deviation 2",
    "t5": "t errors with 5 degrees of freedom",
}
FURTHER = {
    "half5x": "every second method with 5 times the standard deviation",
    "groups": "seeds shift either half of the methods together",
    "opposed": "seeds shift either half in opposite directions",
    "clones": "95 % of the variance shared by 60 % of the methods",
    "skewed": "exponential errors",
    "grid": "scores on a grid of a quarter standard deviation",
}
SCENARIOS = REQUIRED | FURTHER
TESTS = ("Shaffer", "Holm", "moderated", "Tukey", "centred Welch")


def draw(rng, scenario, means, boards, seeds):
    """Scores of boards, (S, n, k), whose expected scores are `means`, (k,)."""
    methods = len(means)
    errors = rng.standard_normal((boards, seeds, methods))
    odd = np.arange(methods) % 2
    if scenario == "lognormal":
        errors *= np.exp(rng.normal(0, np.log(3), (boards, 1, methods)))
    elif scenario == "one5x":
        errors *= np.where(np.arange(methods) == rng.integers(methods, size=(boards, 1, 1)), 5, 1)
    elif scenario == "seeds":
        errors += 2 * rng.standard_normal((boards, seeds, 1))
    elif scenario == "t5":
        errors = rng.standard_t(5, errors.shape) / np.sqrt(5 / 3)
    elif scenario == "half5x":
        errors *= 1 + 4 * odd
    elif scenario == "groups":
        errors += rng.standard_normal((boards, seeds, 2))[:, :, odd]
    elif scenario == "opposed":
        errors += rng.standard_normal((boards, seeds, 1)) * (1 - 2 * odd)
    elif scenario == "clones":
        like = np.arange(methods) < np.ceil(0.6 * methods)
        shared = np.sqrt(0.95) * rng.standard_normal((boards, seeds, 1)) + np.sqrt(0.05) * errors
        errors = np.where(like, shared, errors)
    elif scenario == "skewed":
        errors = rng.exponential(size=errors.shape) - 1
    scores = means + errors
    return np.round(4 * scores) / 4 if scenario == "grid" else scores


def truths(methods):
    """Expected scores: all equal; half of the methods equal and best, the others below and 4 apart."""
    return {"all": np.zeros(methods), "half": np.minimum(0, 4.0 * (np.arange(methods) - methods // 2))}


def pairs(scores):
    """Mean difference and squared standard error of the paired difference of all pairs, (S, P) each."""
    first, second = np.triu_indices(scores.shape[2], 1)
    paired = scores[:, :, first] - scores[:, :, second]
    variance = paired.var(axis=1, ddof=1)
    return paired.mean(axis=1), np.where(variance < 1e-20, 0, variance) / scores.shape[1]


def two_sided(mean, squared_error, df):
    """p of t, (S, P); 1 where the standard error is 0, as nothing can be said there."""
    known = squared_error > 0
    t = np.abs(mean) / np.sqrt(np.where(known, squared_error, 1))
    return np.where(known, 2 * special.stdtr(df, -t), 1)


def step_down(p, factors):
    """Adjusted p-values, (S, P), of a step-down procedure with these factors, (P,)."""
    order = np.argsort(p, axis=1)
    adjusted = np.empty_like(p)
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, 1) * factors, axis=1)
    np.put_along_axis(adjusted, order, stepped, 1)
    return adjusted


def shaffer_factors(methods):
    return statistics._most_true(methods)[:0:-1]


def prior(variances, df):
    """Smyth 2004, section 6.2: d0 and s0^2 of every board from its sample variances, (S, P)."""
    floor = 1e-5 * np.median(variances, axis=1, keepdims=True)  # for variances of 0, as limma does
    e = np.log(np.where(variances > 0, variances, floor)) - special.digamma(df / 2) + np.log(df / 2)
    excess = e.var(axis=1, ddof=1) - special.polygamma(1, df / 2)
    target = np.where(excess > 1e-6, excess, 1)
    half = 0.5 + 1 / target
    for _ in range(50):  # Newton's method for trigamma(half) = target, as in his appendix
        value = special.polygamma(1, half)
        half += value * (1 - value / target) / special.polygamma(2, half)
    d0 = np.where(excess > 1e-6, 2 * half, 1e9)
    return d0, np.exp(e.mean(axis=1) + special.digamma(d0 / 2) - np.log(d0 / 2))


def moderated(scores):
    """Paired t of all pairs with variances moderated across pairs (Smyth 2004); p, (S, P)."""
    mean, squared_error = pairs(scores)
    seeds = scores.shape[1]
    d0, s0 = (values[:, None] for values in prior(squared_error * seeds, seeds - 1))
    shrunk = (d0 * s0 + (seeds - 1) * squared_error * seeds) / (d0 + seeds - 1)
    return two_sided(mean, shrunk / seeds, d0 + seeds - 1)


def tukey(scores):
    """Tukey's test on the two-way layout of seeds and methods: 0 where significant at 0.05, else 1; (S, P)."""
    _, seeds, methods = scores.shape
    df = (seeds - 1) * (methods - 1)
    left = scores - scores.mean(1, keepdims=True) - scores.mean(2, keepdims=True) + scores.mean((1, 2), keepdims=True)
    error = np.sqrt((left**2).sum((1, 2)) / df / seeds)[:, None]
    critical = stats.studentized_range.ppf(0.95, methods, df)
    return np.where(np.abs(pairs(scores)[0]) >= critical * error, 0.0, 1.0)


def centred_welch(scores):
    """Welch's test of scores less the mean of their seed, and never with a smaller variance than the paired one."""
    _, seeds, methods = scores.shape
    mean, squared_error = pairs(scores)
    first, second = np.triu_indices(methods, 1)
    share = (methods - 1) / methods  # what centring leaves of the variance and of its degrees of freedom
    own = (scores - scores.mean(2, keepdims=True)).var(axis=1, ddof=1) / seeds / share
    both = own[:, first] + own[:, second]
    df = share * (seeds - 1) * both**2 / np.maximum(own[:, first] ** 2 + own[:, second] ** 2, 1e-300)
    return two_sided(mean, np.maximum(both, squared_error), np.maximum(df, share * (seeds - 1)))


def tested(scores):
    """Adjusted p-values of all TESTS, (S, P) each."""
    methods = scores.shape[2]
    mean, squared_error = pairs(scores)
    paired = two_sided(mean, squared_error, scores.shape[1] - 1)
    holm = np.arange(paired.shape[1], 0, -1)
    found = step_down(paired, shaffer_factors(methods)), step_down(paired, holm), step_down(moderated(scores), holm)
    welch = step_down(centred_welch(scores), shaffer_factors(methods))
    return dict(zip(TESTS, (*found, tukey(scores), welch), strict=True))


def false_separations(p, means):
    """Share of boards on which two methods with equal expected scores are told apart."""
    first, second = np.triu_indices(len(means), 1)
    return float((p[:, means[first] == means[second]] < 0.05).any(axis=1).mean())


def best_lost(scores, p, means):
    """Share of boards on which a method with the highest expected score is not in the tie group."""
    first, second = np.triu_indices(len(means), 1)
    difference, lost = scores.mean(1)[:, first] - scores.mean(1)[:, second], np.zeros(len(scores), bool)
    for best in np.flatnonzero(means == means.max()):
        beaten = np.where(first == best, difference < 0, (second == best) & (difference > 0))
        lost |= (beaten & (p < 0.05)).any(axis=1)
    return float(lost.mean())


def power(p, means):
    """Share of the pairs with different expected scores that are told apart."""
    first, second = np.triu_indices(len(means), 1)
    return float((p[:, means[first] != means[second]] < 0.05).mean())


def _percent(*shares):
    return " / ".join(f"{100 * share:.1f}" for share in shares)


def _write(*cells):
    sys.stdout.write("| " + " | ".join(cells) + " |\n")
    sys.stdout.flush()


def rates_table(boards, methods, seed=2026):
    """Per scenario and test the largest rate of false separations over n = 3, 5, 10 and both truths, and lost bests."""
    rng = np.random.default_rng(seed)
    for scenario, words in SCENARIOS.items():
        worst, lost = dict.fromkeys(TESTS, 0.0), 0.0
        for means in truths(methods).values():
            for seeds in (3, 5, 10):
                scores = draw(rng, scenario, means, boards, seeds)
                found = tested(scores)
                worst = {name: max(worst[name], false_separations(found[name], means)) for name in TESTS}
                lost = max(lost, best_lost(scores, found["Shaffer"], means))
        _write(words, str(methods), *(_percent(worst[name]) for name in TESTS), _percent(1 - lost))


def power_table(boards, methods, seed=2027):
    """Per scenario and test the power for n = 3, 5, 10, expected scores evenly spread over 9 standard deviations."""
    rng = np.random.default_rng(seed)
    means = np.linspace(0, 9, methods)
    for scenario in ("equal", "lognormal", "one5x", "seeds"):
        found = [tested(draw(rng, scenario, means, boards, seeds)) for seeds in (3, 5, 10)]
        shares = (_percent(*(power(p[name], means) for p in found)) for name in TESTS)
        _write(SCENARIOS[scenario], str(methods), *shares)


def ranks_table(boards, gap, seeds, seed=2028):
    """How often 95 % intervals hold the true rank of 7 methods whose expected scores are so far apart, in deviations.

    Of one board by `rank_intervals` (all methods, and the best) and `rank_bounds` (all at once), and of the mean rank
    over five boards with orders of their own, by `mean_rank_intervals` (all methods).
    """
    rng = np.random.default_rng(seed)
    methods, tasks = 7, 5
    held = np.zeros(4)
    for _ in range(boards):
        means = [gap * rng.permutation(methods) for _ in range(tasks)]
        scores = [draw(rng, "equal", mean, 1, seeds)[0] for mean in means]
        true = np.array([methods - stats.rankdata(mean) + 1 for mean in means])
        _, low, high = statistics.rank_intervals(scores[0], rng, 500)
        inside = (low <= true[0]) & (true[0] <= high)
        best = inside[true[0] == 1][0]
        low, high = statistics.rank_bounds(scores[0].mean(0), statistics.separations(scores[0]))
        at_once = ((low <= true[0]) & (true[0] <= high)).all()
        _, low, high = statistics.mean_rank_intervals(scores, rng, 500)
        over_tasks = ((low <= true.mean(0)) & (true.mean(0) <= high)).mean()
        held += [inside.mean(), best, at_once, over_tasks]
    _write(str(gap), str(seeds), *(_percent(share / boards) for share in held))


if __name__ == "__main__":
    for table, size in ((rates_table, 5000), (power_table, 1000)):
        for count in (3, 7, 32):
            table(size, count)
    for distance in (0.1, 0.3, 1.0):
        for number in (3, 5, 10):
            ranks_table(500, distance, number)
