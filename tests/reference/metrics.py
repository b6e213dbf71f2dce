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


def rankme(features: ArrayLike) -> float:
    values = np.linalg.svd(np.asarray(features, np.float64), compute_uv=False)
    entropy = 0.0
    for share in values / sum(values):
        entropy -= share * math.log(share) if share > 0 else 0
    return math.exp(entropy)


def class_margins(logits: ArrayLike, weight: ArrayLike, labels: ArrayLike) -> Array:
    z, w = np.asarray(logits, np.float64), np.asarray(weight, np.float64)
    means = []
    for label, positions in members(labels).items():
        others = [k for k in range(len(w)) if k != label]
        nearest = [
            min((z[i, label] - z[i, k]) / math.sqrt(np.sum((w[label] - w[k]) ** 2)) for k in others) for i in positions
        ]
        means.append(np.mean(nearest))
    return np.array(means)


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
