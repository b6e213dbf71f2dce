"""Fewer training images: long tails and imbalanced subclasses, by the published counts and the published draw."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED = 0  # of the published CIFAR-LT code


def long_tail_counts(largest: int, classes: int, factor: float) -> list[int]:
    """int(n_max (1 / factor)^(i / (C - 1))) for class i of C: from `largest` down to largest / factor.

    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, and its
    code, which gives the exponent in this form.
    """
    return [int(largest * (1 / factor) ** (i / max(classes - 1, 1))) for i in range(classes)]


def subclass_counts(to_coarse: Sequence[int], counts: Sequence[int]) -> list[int]:
    """For each class, in order, the count of its place among the classes of its superclass.

    Args:
        to_coarse: superclass of each class.
        counts: one for each class of a superclass.
    """
    places = [sum(of == coarse for of in to_coarse[:i]) for i, coarse in enumerate(to_coarse)]
    return [counts[place] for place in places]


def thin(labels: NDArray[np.int64], wanted: Sequence[int]) -> NDArray[np.int64]:
    """Ascending positions of at most wanted[c] images of each class c.

    Which ones: the first of the class after a shuffle, one RandomState(0) for all classes in order, as published.

    Args:
        labels: (N,) in [0, len(wanted)).
        wanted: for each class, in the source's order.
    """
    rng = np.random.RandomState(SEED)  # the published generator; NumPy has frozen its stream
    kept = []
    for label, count in enumerate(wanted):
        members = np.flatnonzero(labels == label)
        rng.shuffle(members)
        kept.append(members[:count])
    return np.sort(np.concatenate(kept))
