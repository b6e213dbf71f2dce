"""How many dimensions features use: ranks and decay of their singular values."""

import torch
from torch import Tensor

from benchmark.collapse.moments import Moments, wider_root

DECAY_RANKS = (4, 100)  # first and last rank that the decay is fitted over, where there are as many


def singular_values(raw: Moments, root: Tensor, *, centred: bool) -> Tensor:
    """Of the (N, D) feature matrix, descending.

    Args:
        raw: moments of features by any classes.
        root: of the scatter within them: `moments.within_root`.
        centred: minus the mean of all images.

    Returns:
        (at most D,) float64; all zero if the features differ by rounding only.
    """
    mean = (raw.sizes[:, None] * raw.means).sum(dim=0) / raw.sizes.sum()
    values: Tensor = torch.linalg.svdvals(wider_root(root, raw, mean if centred else torch.zeros_like(mean)))
    rounding = 1e-12 * (raw.energy * raw.sizes.sum()).sqrt()
    return values if values[0] > rounding else torch.zeros_like(values)


def entropy_rank(values: Tensor) -> Tensor:
    """Exponential of the entropy of values / their sum.

    Of the singular values of the features as they are it is RankMe (Garrido et al., ICML 2023, arXiv:2210.02885),
    whose authors add 1e-7 to each share; here 0 log 0 = 0 exactly. Of those of the centred features it is the
    effective rank (Roy & Vetterli, EUSIPCO 2007).

    Args:
        values: (R,) >= 0, singular values.

    Returns:
        () in [1, R]; 1 = one direction only. NaN if all are zero.
    """
    share = values / values.sum()
    rank: Tensor = torch.special.entr(share).sum().exp()
    return rank


def participation_ratio(values: Tensor) -> Tensor:
    """(sum of variances)² / sum of squared variances along the principal axes.

    Args:
        values: (R,) singular values of the centred features; their squares are variances up to a factor.

    Returns:
        () in [1, R]; 1 = one axis has all the variance. NaN if there is none.
    """
    variances = (values / values[0]).square()
    return variances.sum().square() / variances.square().sum()


def spectrum_decay(values: Tensor) -> Tensor:
    """Exponent a of variance ~ rank^-a along the principal axes (alpha-ReQ, Agrawal et al., NeurIPS 2022).

    As in the authors' released code (after Stringer et al., Nature 2019): least squares of log variance on log rank
    over ranks 4 to 100, weights 1 / rank; the paper states no range. With fewer than 100 dimensions, over those there
    are, so compare equal numbers of dimensions only.

    Args:
        values: (R,) singular values of the centred features, descending.

    Returns:
        () >= 0; larger = fewer axes hold the variance. NaN with fewer than 3 ranks of positive variance.
    """
    first, last = DECAY_RANKS
    positive = int((values > 1e-12 * values[0]).sum())  # less is rounding
    last = min(last, positive)
    if last - first < 2:
        return torch.full_like(values[0], torch.nan)
    rank = torch.arange(first, last + 1, dtype=values.dtype, device=values.device)
    weight = 1 / rank
    x, y = rank.log(), 2 * values[first - 1 : last].log()
    x = x - (weight * x).sum() / weight.sum()
    return -(weight * x * y).sum() / (weight * x.square()).sum()
