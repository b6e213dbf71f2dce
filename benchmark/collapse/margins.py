"""Margins at the linear coarse head: AM-mixup claims to balance them over classes (arXiv:2401.14696)."""

import math

import torch
from torch import Tensor

from benchmark.collapse.neural_collapse import Linear, logit_chunks


def margins(logits: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Signed distance of each image to the nearest decision boundary in feature space; negative: the head is wrong.

    The least over k != y of (z_y - z_k) / |w_y - w_k|.

    Args:
        logits: (N, K) float.
        weight: (K, D) float, the head's rows.
        labels: (N,) int64 in [0, K).

    Returns:
        (N,) float64 in the units of the features; infinite towards a class with the same weight row, which has no
        boundary.

    Raises:
        ValueError: for non-finite logits or shapes that disagree.
    """
    if logits.shape != (len(labels), len(weight)) or len(weight) < 2:
        raise ValueError(f"expected logits ({len(labels)}, {len(weight)}) and K >= 2, got {tuple(logits.shape)}")
    if not torch.isfinite(logits).all():
        raise ValueError("logits hold NaN or infinity; the network has diverged")
    logits, weight = logits.double(), weight.double()
    own = logits.gather(1, labels[:, None])  # (N, 1)
    distance = torch.cdist(weight, weight, compute_mode="donot_use_mm_for_euclid_dist")
    to_each = (own - logits) / distance[labels]  # (N, K)
    to_each.scatter_(1, labels[:, None], math.inf)
    return to_each.nan_to_num(nan=math.inf, posinf=math.inf, neginf=-math.inf).amin(dim=1)


def head_margins(features: Tensor, labels: Tensor, head: Linear) -> Tensor:
    """Margins of features at a linear head, chunk by chunk, (N,) float64.

    Args:
        features: (N, D) float.
        labels: (N,) int64 in [0, K).
        head: weight (K, D) and bias (K,).

    Raises:
        ValueError: for non-finite features, or shapes that disagree.
    """
    weight = head[0].to(features.device)
    return torch.cat([margins(logits, weight, labels[rows]) for rows, logits in logit_chunks(features, head)])


def margin_summary(image_margins: Tensor, labels: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """How broad the margins of classes are, and how balanced.

    Args:
        image_margins: (N,) float64.
        labels: (N,) int64.
        weights: (B, N) int, how often each image occurs in each of B resamples.

    Returns:
        Each () or (B,): `margin_mean` of the class margins, which are means over images (larger = broader);
        `margin_cv`, their population standard deviation over |mean| (0 = balanced; NaN if the mean is 0);
        `margin_negative`, mean over classes of the share of images with a negative margin.
    """
    present, position = labels.unique(return_inverse=True)
    counts = torch.ones_like(position)[None] if weights is None else weights
    counts = counts.to(image_margins)  # (B, N)

    def sums(values: Tensor) -> Tensor:
        return torch.zeros_like(counts[:, : len(present)]).index_add_(1, position, values)

    sizes = sums(counts)
    of_class = sums(counts * image_margins) / sizes  # (B, K')
    mean, deviation = of_class.mean(dim=1), of_class.std(dim=1, correction=0)
    summary = {
        "margin_mean": mean,
        "margin_cv": (deviation / mean.abs()).where(mean != 0, torch.nan),
        "margin_negative": (sums(counts * (image_margins < 0)) / sizes).mean(dim=1),
    }
    return {name: value[0] for name, value in summary.items()} if weights is None else summary
