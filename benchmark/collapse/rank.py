"""RankMe (Garrido et al., ICML 2023, arXiv:2210.02885)."""

import math

import torch
from torch import Tensor

from benchmark.collapse.groups import checked


def rankme(features: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values of the uncentred feature matrix.

    Args:
        features: (N, D) float, not normalised.

    Returns:
        In [1, min(N, D)]; 1 = all features on one line through the origin. NaN if all are zero. The paper adds
        1e-7 to each share; here 0 log 0 = 0 exactly.

    Raises:
        ValueError: for non-finite features.
    """
    features = checked(features)
    if len(features) > features.shape[1]:
        features = torch.linalg.qr(features, mode="r").R  # same singular values, D x D
    values = torch.linalg.svdvals(features)
    if values[0] == 0:
        return math.nan
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())
