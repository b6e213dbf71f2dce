"""Slow references in NumPy float64: loops over images and pairs, written from the definitions and not from our code."""

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def unit(features: ArrayLike) -> Array:
    x = np.asarray(features, np.float64)
    return np.stack([row / math.sqrt(sum(value * value for value in row)) for row in x])


def members(labels: ArrayLike) -> dict[int, list[int]]:
    """Label -> positions of its images, ascending."""
    found: dict[int, list[int]] = {}
    for position, label in enumerate(np.asarray(labels)):
        found.setdefault(int(label), []).append(position)
    return dict(sorted(found.items()))


def alignment(features: ArrayLike, labels: ArrayLike) -> float:
    u = unit(features)
    of_class = []
    for positions in members(labels).values():
        pairs = [np.sum((u[i] - u[j]) ** 2) for i, j in itertools.permutations(positions, 2)]
        if pairs:
            of_class.append(np.mean(pairs))
    return float(np.mean(of_class))


def uniformity(features: ArrayLike) -> float:
    u = unit(features)
    pairs = [math.exp(-2 * np.sum((u[i] - u[j]) ** 2)) for i, j in itertools.combinations(range(len(u)), 2)]
    return math.log(sum(pairs) / len(pairs))


def class_separation_r2(features: ArrayLike, labels: ArrayLike) -> float:
    u, classes = unit(features), list(members(labels).values())

    def distance(a: list[int], b: list[int]) -> float:
        return float(np.mean([1 - u[i] @ u[j] for i in a for j in b]))

    within = np.mean([distance(a, a) for a in classes])
    between = np.mean([distance(a, b) for a in classes for b in classes])
    return float(1 - within / between)


def nc1(features: ArrayLike, labels: ArrayLike) -> float:
    h, classes = np.asarray(features, np.float64), members(labels)
    means = {label: np.mean([h[i] for i in positions], axis=0) for label, positions in classes.items()}
    centre = np.mean(list(means.values()), axis=0)
    within = np.zeros((h.shape[1], h.shape[1]))
    for label, positions in classes.items():
        for i in positions:
            within += np.outer(h[i] - means[label], h[i] - means[label]) / len(h)
    between = sum(np.outer(mean - centre, mean - centre) for mean in means.values()) / len(means)
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-12, hermitian=True)) / len(means))


def subclass_separability(features: ArrayLike, fine: ArrayLike, coarse: ArrayLike) -> float:
    u, coarse = unit(features), np.asarray(coarse)
    between = within = 0.0
    for positions in members(fine).values():
        mean = np.mean([u[i] for i in positions], axis=0)
        superclass = [i for i in range(len(u)) if coarse[i] == coarse[positions[0]]]
        between += len(positions) * np.sum((mean - np.mean(u[superclass], axis=0)) ** 2)
        within += sum(np.sum((u[i] - mean) ** 2) for i in positions)
    return float(between / within)


def alignment_between(features: ArrayLike, fine: ArrayLike, coarse: ArrayLike) -> float:
    u, fine = unit(features), np.asarray(fine)
    of_class = []
    for positions in members(coarse).values():
        pairs = [np.sum((u[i] - u[j]) ** 2) for i, j in itertools.permutations(positions, 2) if fine[i] != fine[j]]
        if pairs:
            of_class.append(np.mean(pairs))
    return float(np.mean(of_class))


def class_means(features: ArrayLike, labels: ArrayLike) -> dict[int, Array]:
    h = np.asarray(features, np.float64)
    return {label: np.mean(h[positions], axis=0) for label, positions in members(labels).items()}


def nc2(features: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Equinorm and equiangular."""
    means = list(class_means(features, labels).values())
    arms = [mean - sum(means) / len(means) for mean in means]
    lengths = [math.sqrt(np.sum(arm**2)) for arm in arms]
    centre = sum(lengths) / len(lengths)
    deviation = math.sqrt(sum((length - centre) ** 2 for length in lengths) / len(lengths))
    angles = []
    for j, k in itertools.permutations(range(len(arms)), 2):
        angles.append(abs(float(arms[j] @ arms[k]) / lengths[j] / lengths[k] + 1 / (len(arms) - 1)))
    return deviation / centre, sum(angles) / len(angles)


def nc3(features: ArrayLike, labels: ArrayLike, weight: ArrayLike) -> float:
    means = class_means(features, labels)
    m = np.stack([mean - sum(means.values()) / len(means) for mean in means.values()])
    w = np.asarray(weight, np.float64)[list(means)]
    return float(np.sum((w / math.sqrt(np.sum(w**2)) - m / math.sqrt(np.sum(m**2))) ** 2))


def nc4(features: ArrayLike, labels: ArrayLike, weight: ArrayLike, bias: ArrayLike) -> float:
    h, w, b = (np.asarray(values, np.float64) for values in (features, weight, bias))
    means = class_means(features, labels)
    differing = 0
    for image in h:
        logits = [float(w[k] @ image + b[k]) for k in range(len(w))]
        nearest = min(means, key=lambda label: float(np.sum((image - means[label]) ** 2)))
        differing += logits.index(max(logits)) != nearest
    return differing / len(h)


def cdnv(features: ArrayLike, labels: ArrayLike) -> float:
    h, means = np.asarray(features, np.float64), class_means(features, labels)
    variance = {k: np.mean([np.sum((h[i] - means[k]) ** 2) for i in rows]) for k, rows in members(labels).items()}
    ratios = [
        (variance[j] + variance[k]) / (2 * np.sum((means[j] - means[k]) ** 2))
        for j, k in itertools.permutations(means, 2)
    ]
    return float(np.mean(ratios))


def variance_split(features: ArrayLike, fine: ArrayLike, coarse: ArrayLike) -> tuple[float, float, float]:
    h = np.asarray(features, np.float64)
    fine_means, coarse_means = class_means(h, fine), class_means(h, coarse)
    sums = [0.0, 0.0, 0.0]
    for image, f, c in zip(h, np.asarray(fine), np.asarray(coarse), strict=True):
        sums[0] += np.sum((coarse_means[int(c)] - h.mean(axis=0)) ** 2)
        sums[1] += np.sum((fine_means[int(f)] - coarse_means[int(c)]) ** 2)
        sums[2] += np.sum((image - fine_means[int(f)]) ** 2)
    total = float(np.sum((h - h.mean(axis=0)) ** 2))
    return sums[0] / total, sums[1] / total, sums[2] / total


def effective_rank(features: ArrayLike) -> float:
    h = np.asarray(features, np.float64)
    return rankme(h - h.mean(axis=0))


def participation_ratio(features: ArrayLike) -> float:
    """From the covariance: the trace squared over the trace of its square."""
    covariance = np.cov(np.asarray(features, np.float64), rowvar=False).reshape(np.shape(features)[1], -1)
    return float(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))


def spectrum_decay(features: ArrayLike) -> float:
    h = np.asarray(features, np.float64)
    variances = np.linalg.svd(h - h.mean(axis=0), compute_uv=False) ** 2
    rank = np.arange(4, min(len(variances), 100) + 1)
    slope, _ = np.polyfit(np.log(rank), np.log(variances[3:100]), 1, w=1 / np.sqrt(rank))  # polyfit squares weights
    return -float(slope)


def rankme(features: ArrayLike) -> float:
    values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    entropy = 0.0
    for share in values / sum(values):
        entropy -= share * math.log(share) if share > 0 else 0
    return math.exp(entropy)


def margins(logits: ArrayLike, weight: ArrayLike, labels: ArrayLike) -> list[float]:
    z, w = np.asarray(logits, np.float64), np.asarray(weight, np.float64)
    found = []
    for i, label in enumerate(np.asarray(labels)):
        others = [k for k in range(len(w)) if k != label]
        found.append(min((z[i, label] - z[i, k]) / math.sqrt(np.sum((w[label] - w[k]) ** 2)) for k in others))
    return found


def class_margins(logits: ArrayLike, weight: ArrayLike, labels: ArrayLike) -> Array:
    of_image = margins(logits, weight, labels)
    return np.array([np.mean([of_image[i] for i in positions]) for positions in members(labels).values()])


def probe_objective(coefficients: ArrayLike, x: ArrayLike, labels: ArrayLike, l2: float) -> tuple[float, Array]:
    """Mean cross-entropy + l2 / 2 |W|² and its gradient; bias last, not penalised; the last column of x is ones."""
    w, x = np.asarray(coefficients, np.float64), np.asarray(x, np.float64)
    loss, gradient = 0.0, np.zeros_like(w)
    for row, label in zip(x, np.asarray(labels), strict=True):
        z = w @ row
        p = np.exp(z - z.max())
        p /= p.sum()
        loss -= math.log(p[label]) / len(x)
        p[label] -= 1
        gradient += np.outer(p, row) / len(x)
    gradient[:, :-1] += l2 * w[:, :-1]
    return loss + l2 / 2 * float(np.sum(w[:, :-1] ** 2)), gradient


def knn(bank: tuple[ArrayLike, ArrayLike], queries: ArrayLike, num_classes: int, k: int) -> list[int]:
    stored, labels = unit(bank[0]), np.asarray(bank[1])
    predicted = []
    for query in unit(queries):
        similarity = [float(query @ row) for row in stored]
        votes = [0.0] * num_classes
        for i in sorted(range(len(stored)), key=lambda i: -similarity[i])[:k]:
            votes[labels[i]] += math.exp(similarity[i] / 0.07)
        predicted.append(votes.index(max(votes)))
    return predicted


def ncm(bank: tuple[ArrayLike, ArrayLike], queries: ArrayLike) -> list[int]:
    stored, classes = unit(bank[0]), members(bank[1])
    means = {label: np.mean([stored[i] for i in positions], axis=0) for label, positions in classes.items()}
    return [
        max(means, key=lambda label: float(query @ means[label]) / float(np.linalg.norm(means[label])))
        for query in unit(queries)
    ]
