"""One-sided mixing: features of two classes are interpolated, and the label is that of the nearer end alone.

Source: Kim, Lee, Kim 2024, arXiv:2401.14696 (AM-mixup); both orders of each pair are our reconstruction.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.backbones import Network
from benchmark.methods.base import interpolate

FEATURES = -1  # stands for the penultimate features where a stage is asked for


def clean_and_one_sided(
    network: Network, images: Tensor, labels: Tensor, order: Tensor, lam: float, stage: int
) -> tuple[Tensor, Tensor]:
    """Clean cross-entropy, and the one-sided one of the mixtures, from one forward pass.

    Args:
        network: backbone and head.
        images: (B, C, H, W).
        labels: (B,) int64.
        order: (B,) int64, a permutation.
        lam: share of the first of a pair, in [0, 1].
        stage: where to mix; FEATURES, or a hidden stage, behind which clean and mixed ones run as one batch of 3B.

    Returns:
        Two scalars.
    """
    if stage == FEATURES:
        clean = network.features(images)  # (B, D)
        mixed = both_orders(clean, order, lam)  # (2B, D)
    else:
        together = network.features(images, stage, lambda h: torch.cat([h, both_orders(h, order, lam)]))  # (3B, D)
        clean, mixed = together.split([len(images), 2 * len(images)])
    one_sided = one_sided_cross_entropy(network.classify(mixed), labels, order, lam)
    return F.cross_entropy(network.classify(clean), labels), one_sided


def both_orders(values: Tensor, order: Tensor, lam: float) -> Tensor:
    """Mixtures of the pairs (i, order(i)), first with share lam for i, then for order(i): (B, ...) -> (2B, ...)."""
    return torch.cat([interpolate(values, order, lam), interpolate(values, order, 1 - lam)])


def one_sided_cross_entropy(logits: Tensor, labels: Tensor, order: Tensor, lam: float) -> Tensor:
    """Mean cross-entropy of `both_orders` over the pairs of different classes.

    Args:
        logits: (2B, K).
        labels: (B,) int64.
        order: (B,) int64, a permutation.
        lam: share of the first of a pair, in [0, 1]; its label holds if lam >= 1/2, else the second's.

    Returns:
        Scalar; 0 if no pair has different classes.
    """
    first, second = (labels, labels[order]) if lam >= 0.5 else (labels[order], labels)
    losses = F.cross_entropy(logits, torch.cat([first, second]), reduction="none")
    different = (labels != labels[order]).repeat(2).to(losses.dtype)
    return (losses * different).sum() / different.sum().clamp(min=1.0)
