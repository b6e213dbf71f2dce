"""Nearest class mean: cosine to the class means of unit features (Mensink et al., TPAMI 2013)."""

import torch.nn.functional as F
from torch import Tensor


def predict(bank: tuple[Tensor, Tensor], queries: Tensor, num_classes: int) -> Tensor:
    """Classes whose mean is nearest in angle.

    Args:
        bank: features (M, D) float32 and labels (M,) int64, every class at least once.
        queries: (N, D) float32.
        num_classes: F.

    Returns:
        (N,) int64.
    """
    unit = F.normalize(bank[0], dim=1)
    means = unit.new_zeros(num_classes, unit.shape[1]).index_add_(0, bank[1], unit)  # the sum has the same angle
    return (F.normalize(queries, dim=1) @ F.normalize(means, dim=1).T).argmax(dim=1)
