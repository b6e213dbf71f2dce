"""Margins at the linear coarse head: AM-mixup claims to balance them over classes (arXiv:2401.14696)."""

import math

import torch
from torch import Tensor

from benchmark.collapse.groups import checked


def class_margins(logits: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Mean margin of the images of each class that occurs.

    The margin of an image is min over k != y of (z_y - z_k) / |w_y - w_k|: its signed distance to the nearest
    decision boundary in feature space, negative where the head is wrong.

    Args:
        logits: (N, K) float.
        weight: (K, D) float, the head's rows.
        labels: (N,) int64 in [0, K).

    Returns:
        (K',) float64 in the units of the features, ordered by label; infinite towards a class with the same weight
        row, which has no boundary.

    Raises:
        ValueError: for non-finite logits or shapes that disagree.
    """
    logits = checked(logits)
    if logits.shape != (len(labels), len(weight)) or len(weight) < 2:
        raise ValueError(f"expected logits ({len(labels)}, {len(weight)}) and K >= 2, got {tuple(logits.shape)}")
    own = logits.gather(1, labels[:, None])  # (N, 1)
    distance = torch.cdist(weight.double(), weight.double(), compute_mode="donot_use_mm_for_euclid_dist")
    margins = (own - logits) / distance[labels]  # (N, K)
    margins.scatter_(1, labels[:, None], math.inf)
    nearest = margins.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).min(dim=1).values
    return torch.stack([nearest[labels == label].mean() for label in labels.unique()])


def margin_summary(logits: Tensor, weight: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean of the class margins, and their population standard deviation over |mean|.

    Args:
        logits: as in `class_margins`.
        weight: as in `class_margins`.
        labels: as in `class_margins`.

    Returns:
        The mean (larger = broader), and the coefficient of variation (0 = balanced; NaN if the mean is 0).
    """
    margins = class_margins(logits, weight, labels)
    mean, spread = float(margins.mean()), float(margins.std(correction=0))
    return mean, spread / abs(mean) if mean else math.nan
