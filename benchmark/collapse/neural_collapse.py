"""Neural collapse NC1 (Papyan, Han, Donoho, PNAS 2020, arXiv:2008.08186)."""

import math

import torch
from torch import Tensor

from benchmark.collapse.groups import checked, class_means

CUTOFF = 1e-6  # singular values of the centred class means below this share of the largest count as zero


def nc1(features: Tensor, labels: Tensor) -> float:
    """tr(S_W S_B⁺) / K: within-class scatter measured in units of the between-class scatter.

    S_W is the mean over images of (h - mu_y)(h - mu_y)ᵀ, S_B = (1/K) sum_k (mu_k - mu_G)(mu_k - mu_G)ᵀ with mu_G
    the mean of the class means. With the centred means M = U S Vᵀ, (K, D), the pseudo-inverse of rank at most K - 1
    is K V S⁻² Vᵀ, so only the images' coordinates along V are needed and no D x D matrix is formed.

    Args:
        features: (N, D) float, not normalised.
        labels: (N,) int64.

    Returns:
        >= 0; 0 = every class is one point (collapsed). NaN if fewer than two classes occur or all class means
        coincide.

    Raises:
        ValueError: for non-finite features or labels of another length.
    """
    features = checked(features)
    means, _, position = class_means(features, labels)
    centred = means - means.mean(dim=0)
    _, values, axes = torch.linalg.svd(centred, full_matrices=False)
    scale = features.abs().max()
    rank = min(len(means) - 1, int((values > CUTOFF * values[0]).sum()))
    if rank < 1 or values[0] <= 1e-12 * scale:
        return math.nan
    spread = ((features - means[position]) @ axes[:rank].T).square().mean(dim=0)  # (rank,)
    return float((spread / values[:rank].square()).sum())  # K of S_B⁺ cancels the 1/K
