"""Alignment and uniformity (Wang & Isola, ICML 2020, arXiv:2005.10242), with classes as positive pairs."""

import math

from torch import Tensor

from benchmark.collapse.groups import class_means, unit

CHUNK = 2048


def alignment(features: Tensor, labels: Tensor) -> float:
    """Mean over classes of the mean squared distance between distinct unit features of the class.

    For a class of n unit vectors with mean u the pairs need not be formed: 2 n / (n - 1) (1 - |u|²).

    Args:
        features: (N, D) float, not normalised, none of them zero.
        labels: (N,) int64.

    Returns:
        In [0, 4]; 0 = every class is one direction (collapsed), 2 = no more alike than random directions in high
        dimension. Classes of one image are left out; NaN if no class has two.

    Raises:
        ValueError: for a zero or non-finite feature, or labels of another length.
    """
    means, sizes, _ = class_means(unit(features), labels)
    paired = sizes >= 2
    n, length = sizes[paired], means[paired].square().sum(dim=1)
    return float((2 * n / (n - 1) * (1 - length).clamp(min=0)).mean())


def uniformity(features: Tensor) -> float:
    """Log of the mean over distinct pairs of exp(-2 |u_i - u_j|²), over all pairs, chunk by chunk.

    Args:
        features: (N, D) float, not normalised, none of them zero.

    Returns:
        In [-8, 0]; 0 = one direction, about -4 = uniform on the sphere in high dimension. NaN for N < 2.

    Raises:
        ValueError: for a zero or non-finite feature.
    """
    points = unit(features)
    count = len(points)
    if count < 2:
        return math.nan
    total = 0.0
    for start in range(0, count, CHUNK):
        rows = points[start : start + CHUNK]
        # |u - v|² = 2 - 2 u.v; each unordered pair once: within the chunk above the diagonal, then all later rows
        own = (4 * (rows @ rows.T) - 4).exp_()
        total += float(own.triu_(diagonal=1).sum())
        later = points[start + CHUNK :]
        for other in later.split(CHUNK):
            total += float((4 * (rows @ other.T) - 4).exp_().sum())
    return min(math.log(total / (count * (count - 1) / 2)), 0.0)


def class_separation_r2(features: Tensor, labels: Tensor) -> float:
    """Class separation R² (Kornblith et al., NeurIPS 2021, arXiv:2010.16402).

    1 - (mean over classes of the mean cosine distance within) / (mean over all ordered pairs of classes of the
    mean cosine distance between them), ordered pairs of images including each with itself on both sides. With unit
    features both are functions of the class means u_k: 1 - |u_k|², and 1 - |mean of u_k|².

    Args:
        features: (N, D) float, not normalised, none of them zero.
        labels: (N,) int64.

    Returns:
        In [0, 1]; 1 = each class is one direction. NaN if all features have the same direction.

    Raises:
        ValueError: for a zero or non-finite feature, or labels of another length.
    """
    means, _, _ = class_means(unit(features), labels)
    within = (1 - means.square().sum(dim=1)).mean()
    total = 1 - means.mean(dim=0).square().sum()
    return float(1 - within / total) if total > 1e-12 else math.nan
