"""Subclass separability: how far fine classes stand apart inside their coarse class (kappa of docs/protocol.md)."""

import math

from torch import Tensor

from benchmark.collapse.groups import class_means, unit


def subclass_separability(features: Tensor, fine: Tensor, coarse: Tensor) -> float:
    """Between-fine-within-coarse over within-fine scatter, on unit features.

    sum_f n_f |mu_f - mu_c(f)|² / sum_i |u_i - mu_f(i)|², mu_f and mu_c means over the images of a class.

    Args:
        features: (N, D) float, not normalised, none of them zero.
        fine: (N,) int64.
        coarse: (N,) int64, a function of the fine label.

    Returns:
        >= 0; 0 = the subclasses of a superclass are indistinguishable. NaN for 0/0 (every coarse class is one
        point), infinity if only the fine classes are.

    Raises:
        ValueError: for a zero or non-finite feature, or labels of another length.
    """
    points = unit(features)
    fine_means, _, fine_of = class_means(points, fine)
    coarse_means, _, coarse_of = class_means(points, coarse)
    between = float((fine_means[fine_of] - coarse_means[coarse_of]).square().sum())
    within = float((points - fine_means[fine_of]).square().sum())
    negligible = 1e-20 * len(points)  # squared rounding errors of unit vectors in float64
    if within <= negligible:
        return math.nan if between <= negligible else math.inf
    return between / within
