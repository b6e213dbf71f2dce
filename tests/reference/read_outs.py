"""Slow references of read-outs in NumPy float64: loops over images and pairs, written from the definitions."""

import itertools
import math
from collections import Counter

import numpy as np
from numpy.typing import ArrayLike
from reference.metrics import unit


def retrieval(features: ArrayLike, labels: ArrayLike) -> tuple[list[int], list[float]]:
    """First hit and average precision at R of every image among the others; NaN where R is 0."""
    u, labels = unit(features), np.asarray(labels).tolist()
    firsts, precisions = [], []
    for i, label in enumerate(labels):
        others = sorted((j for j in range(len(u)) if j != i), key=lambda j: (-float(u[i] @ u[j]), j))
        hits = [labels[j] == label for j in others]
        r = sum(hits)
        firsts.append(hits.index(True) + 1 if r else 0)
        found = [sum(hits[:rank]) / rank for rank in range(1, r + 1) if hits[rank - 1]]
        precisions.append(sum(found) / r if r else math.nan)
    return firsts, precisions


def episode(supports: ArrayLike, queries: list[ArrayLike]) -> list[tuple[int, int]]:
    """Right answers of nearest class means, and queries, of each way: supports (W, S, D), queries (Q, D) of each."""
    means = [unit(support).mean(axis=0) for support in np.asarray(supports, np.float64)]
    counts = []
    for way, own in enumerate(queries):
        right = 0
        for query in unit(own):
            cosines = [float(query @ mean) / math.sqrt(mean @ mean) for mean in means]
            right += cosines.index(max(cosines)) == way
        counts.append((right, len(own)))
    return counts


def mutual_information(a: list[int], b: list[int]) -> float:
    both, first, second = Counter(zip(a, b, strict=True)), Counter(a), Counter(b)
    n = len(a)
    return sum(c / n * math.log(c * n / (first[x] * second[y])) for (x, y), c in both.items())


def adjusted_mutual_information(a: list[int], b: list[int]) -> float:
    """By the expectation over all orders of b: for a handful of images."""
    expected = np.mean([mutual_information(a, list(order)) for order in itertools.permutations(b)])
    bound = (mutual_information(a, a) + mutual_information(b, b)) / 2  # the mean entropy
    return float((mutual_information(a, b) - expected) / (bound - expected))


def matched_accuracy(clusters: list[int], labels: list[int]) -> float:
    """Best share of images right over all one-to-one namings of clusters."""
    names, values = sorted(set(clusters)), sorted(set(labels))
    values += [-1] * max(0, len(names) - len(values))  # a cluster without a class
    return max(
        sum(dict(zip(names, naming, strict=True))[c] == label for c, label in zip(clusters, labels, strict=True))
        for naming in itertools.permutations(values, len(names))
    ) / len(labels)


def calibration_error(confidence: list[float], right: list[bool], bins: int) -> float:
    """Expected calibration error over bins ((b - 1) / bins, b / bins]."""
    total = 0.0
    for b in range(1, bins + 1):
        inside = [i for i, c in enumerate(confidence) if (b - 1) / bins < c <= b / bins]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(right) * abs(accuracy - mean)
    return total
