"""How far classes stand apart: class separation R², class-distance normalised variance, subclass separability."""

import torch
from torch import Tensor

from benchmark.collapse.moments import PAIR_ROWS, Moments

NEGLIGIBLE = 1e-20  # squared rounding errors of unit vectors in float64 are far below, those of float32 above


def class_separation_r2(unit: Moments) -> Tensor:
    """Class separation R² (Kornblith et al., NeurIPS 2021, arXiv:2010.16402).

    1 - (mean over classes of the mean cosine distance within) / (mean over all ordered pairs of classes of the
    mean cosine distance between them), ordered pairs of images including each with itself on both sides. Of unit
    features both follow from the class means u_k: 1 - |u_k|², and 1 - |mean of u_k|².

    Args:
        unit: moments of unit features.

    Returns:
        (...,) in [0, 1]; 1 = each class is one direction. NaN if all features have the same direction.
    """
    within = unit.spread.mean(dim=-1)
    between = (unit.means - unit.means.mean(dim=-2, keepdim=True)).square().sum(dim=-1).mean(dim=-1)
    return (between / (within + between)).where(within + between > NEGLIGIBLE, torch.nan)


def subclass_separability(unit: Moments, to_coarse: Tensor) -> Tensor:
    """Between-fine-within-coarse over within-fine scatter of unit features (kappa of docs/protocol.md).

    sum_f n_f |mu_f - mu_c(f)|² / sum_i |u_i - mu_f(i)|², mu_f and mu_c means over the images of a class.

    Args:
        unit: moments of unit features by fine class.
        to_coarse: (F,) int64.

    Returns:
        (...,) >= 0; 0 = the subclasses of a superclass are indistinguishable. Infinity if each fine class is one
        point; NaN if each coarse class is (0/0), or no coarse class has two fine ones.
    """
    coarse = unit.merged(to_coarse)
    if len(coarse.labels) == len(unit.labels):
        return torch.full_like(unit.sizes[..., 0], torch.nan)
    offset = (unit.means - unit.centres(coarse, to_coarse)).square().sum(dim=-1)
    count = unit.sizes.sum(dim=-1)
    between, within = (unit.sizes * offset).sum(dim=-1) / count, (unit.sizes * unit.spread).sum(dim=-1) / count
    zero = torch.zeros_like(count)
    return between.where(between > NEGLIGIBLE, zero) / within.where(within > NEGLIGIBLE, zero)


def cdnv(raw: Moments) -> Tensor:
    """Class-distance normalised variance (Galanti, György, Hutter, ICLR 2022, arXiv:2112.15121).

    Mean over ordered pairs of classes k != l of (Var_k + Var_l) / (2 |mu_k - mu_l|²), Var_k the mean squared distance
    of the class to its mean.

    Args:
        raw: moments of features as they are.

    Returns:
        (...,) >= 0; 0 = every class is one point (collapsed). Infinity if two class means coincide, NaN if two classes
        are the same point, or there is one class only. Means closer than a millionth of their distance from the mean
        of all coincide: float32 features hardly tell such apart.
    """
    count = len(raw.labels)
    centred = raw.means - raw.means.mean(dim=-2, keepdim=True)
    squares = centred.square().sum(dim=-1)
    variance = raw.spread.where(raw.spread > 1e-24 * raw.energy[..., None], 0)
    total = torch.zeros_like(raw.energy)
    for rows in torch.arange(count, device=squares.device).split(PAIR_ROWS):
        lengths = squares[..., rows, None] + squares[..., None, :]
        distance = lengths - 2 * centred[..., rows, :] @ centred.transpose(-1, -2)  # (..., rows, K), squared
        negligible = 1e-12 * lengths + 1e-24 * raw.energy[..., None, None]
        ratio = (variance[..., rows, None] + variance[..., None, :]) / (2 * distance.where(distance > negligible, 0))
        ratio[..., torch.arange(len(rows), device=rows.device), rows] = 0  # of a class with itself
        total += ratio.sum(dim=(-1, -2))
    return total / (count * (count - 1)) if count > 1 else torch.full_like(total, torch.nan)
