"""Lengths of features."""

import torch
from torch import Tensor

from benchmark.collapse.moments import chunks


def lengths(features: Tensor) -> Tensor:
    """L2 norms, (N,) float64.

    Args:
        features: (N, D) float.

    Raises:
        ValueError: for non-finite features.
    """
    return torch.cat([chunk.norm(dim=1) for _, chunk in chunks(features)])


def length_summary(norms: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """Mean length, and how much lengths vary.

    Args:
        norms: (N,) float64.
        weights: (B, N) int, how often each image occurs in each of B resamples.

    Returns:
        Each () or (B,): `feature_norm`, the mean, and `feature_norm_cv`, population standard deviation over mean
        (0 = all on one sphere; NaN if all are zero).
    """
    counts = (torch.ones_like(norms)[None] if weights is None else weights).to(norms)
    total, typical = counts.sum(dim=1), norms.mean()
    offset = counts @ (norms - typical) / total
    variance = (counts @ (norms - typical).square() / total - offset.square()).clamp(min=0)
    mean = typical + offset
    summary = {"feature_norm": mean, "feature_norm_cv": variance.sqrt() / mean}
    return {name: value[0] for name, value in summary.items()} if weights is None else summary
