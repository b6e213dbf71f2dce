"""Where the variance of features lies: between coarse classes, between fine classes within them, within fine ones."""

import torch
from torch import Tensor

from benchmark.collapse.moments import Moments


def variance_split(raw: Moments, to_coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shares of the total sum of squares about the mean of all images; the law of total variance, twice.

    Args:
        raw: moments of features as they are, by fine class.
        to_coarse: (F,) int64.

    Returns:
        Between coarse classes, between fine classes within coarse ones (0 = collapsed), within fine classes, each
        (...,) in [0, 1]; they sum to 1. NaN if all features are equal; the second is NaN as well, not 0, if no coarse
        class has two fine ones: the other two sum to 1 then.
    """
    coarse = raw.merged(to_coarse)
    whole = coarse.merged(torch.zeros_like(to_coarse))

    def mean(of: Moments, squares: Tensor) -> Tensor:
        return (of.sizes * squares).sum(dim=-1) / of.sizes.sum(dim=-1)

    between_coarse = mean(coarse, (coarse.means - whole.means).square().sum(dim=-1))
    between_fine = mean(raw, (raw.means - raw.centres(coarse, to_coarse)).square().sum(dim=-1))
    within_fine = mean(raw, raw.spread)
    total = between_coarse + between_fine + within_fine
    total = total.where(total > 1e-24 * raw.energy, torch.nan)
    if len(coarse.labels) == len(raw.labels):
        between_fine = torch.full_like(total, torch.nan)
    return between_coarse / total, between_fine / total, within_fine / total
