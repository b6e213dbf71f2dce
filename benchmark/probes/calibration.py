"""Calibration of the coarse head: does it know how often it is right (Guo et al., ICML 2017, arXiv:1706.04599)?"""

import torch
import torch.nn.functional as F
from torch import Tensor

BINS = 15


def confidence(logits: Tensor) -> Tensor:
    """The largest softmax probability: (N, K) float -> (N,) float64 in [1 / K, 1]."""
    return logits.double().softmax(dim=1).amax(dim=1)


def gaps(confidence: Tensor, right: Tensor) -> Tensor:
    """Right or not minus confidence, in the column of the confidence's bin.

    The expected calibration error of any images is the sum over bins of |sum of their column| over their number, since
    a bin's share of images times |accuracy - confidence| is |sum of right - confidence| / N; it is in [0, 1].

    Args:
        confidence: (N,) float in [0, 1]; bins ((b - 1) / 15, b / 15], with 0 in the first.
        right: (N,) bool.

    Returns:
        (N, 15) float64, zero in all columns but one.
    """
    edges = torch.arange(1, BINS, dtype=torch.float64, device=confidence.device) / BINS
    bins = F.one_hot(torch.bucketize(confidence.double(), edges), BINS)
    return bins * (right.double() - confidence.double())[:, None]


def expected_calibration_error(confidence: Tensor, right: Tensor) -> float:
    """ECE with 15 equal-width bins, in [0, 1]; 0 = calibrated. NaN without images."""
    return float(gaps(confidence, right).sum(dim=0).abs().sum() / len(right)) if len(right) else float("nan")
