"""Neural collapse NC1 to NC4 (Papyan, Han, Donoho, PNAS 2020, arXiv:2008.08186)."""

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmark.collapse.moments import PAIR_ROWS, Moments, chunks

CUTOFF = 1e-6  # singular values of the centred class means below this share of the largest count as zero
Linear = tuple[Tensor, Tensor]  # weight (K, D) and bias (K,) of a linear classifier


def centred_means(raw: Moments) -> Tensor:
    """Class means minus the mean of class means, (..., K, D); exactly zero where they differ by rounding only."""
    centred = raw.means - raw.means.mean(dim=-2, keepdim=True)
    lengths: Tensor = centred.norm(dim=-1).amax(dim=-1)
    return centred.where((lengths > 1e-12 * raw.energy.sqrt())[..., None, None], 0)


def between_axes(raw: Moments) -> tuple[Tensor, Tensor, Tensor]:
    """Principal axes of the class means about their mean, and what the spread along each counts in NC1.

    Returns:
        Orthonormal axes (..., R, D), the class means' coordinates along them (..., K, R), and (..., R) 1 / the sum of
        squares of these: 0 beyond the rank, which is at most K - 1; NaN if the rank is 0.
    """
    left, values, axes = torch.linalg.svd(centred_means(raw), full_matrices=False)
    kept = values > CUTOFF * values[..., :1]
    kept[..., len(raw.labels) - 1 :] = False
    inverse = values.square().reciprocal().where(kept, 0)
    return axes, left * values[..., None, :], inverse.where(kept.any(dim=-1, keepdim=True), torch.nan)


def nc1(raw: Moments, root: Tensor) -> Tensor:
    """tr(S_W S_B⁺) / K: within-class scatter measured in units of the between-class scatter.

    S_W is the mean over images of (h - mu_y)(h - mu_y)ᵀ, S_B = (1/K) sum_k (mu_k - mu_G)(mu_k - mu_G)ᵀ with mu_G
    the mean of the class means. With the centred means M = U S Vᵀ, (K, D), the pseudo-inverse of rank at most K - 1
    is K V S⁻² Vᵀ, so only the spread along V is needed.

    Args:
        raw: moments of features as they are.
        root: (M, D), of the within-class scatter: `moments.within_root`.

    Returns:
        () >= 0; 0 = every class is one point (collapsed). NaN if fewer than two classes occur or all class means
        coincide.
    """
    axes, _, inverse = between_axes(raw)
    spread = (root @ axes.T).square().sum(dim=0) / raw.sizes.sum()
    value: Tensor = (spread * inverse).sum()  # K of S_B⁺ cancels the 1/K
    return value


def equinorm(raw: Moments) -> Tensor:
    """NC2, lengths: population standard deviation over mean of |mu_k - mu_G|.

    Args:
        raw: moments of features as they are.

    Returns:
        (...,) >= 0; 0 = all class means are equally far from their mean. NaN if all coincide.
    """
    lengths: Tensor = centred_means(raw).norm(dim=-1)
    return lengths.std(dim=-1, correction=0) / lengths.mean(dim=-1)


def equiangular(raw: Moments) -> Tensor:
    """NC2, angles: mean over classes k != l of |cos(mu_k - mu_G, mu_l - mu_G) + 1/(K - 1)|.

    Args:
        raw: moments of features as they are.

    Returns:
        (...,) in [0, 2]; 0 = as far apart as K directions can be. NaN if a class mean is the mean of them all.
    """
    count = len(raw.labels)
    if count < 2:
        return torch.full_like(raw.energy, torch.nan)
    centred = centred_means(raw)
    directions: Tensor = centred / centred.norm(dim=-1, keepdim=True)
    total = torch.zeros_like(raw.energy)
    for rows in directions.split(PAIR_ROWS, dim=-2):
        total += (rows @ directions.transpose(-1, -2) + 1 / (count - 1)).abs_().sum(dim=(-1, -2))
    themselves = count * (1 + 1 / (count - 1))
    return (total - themselves).clamp(min=0) / (count * (count - 1))


def nc3(raw: Moments, weight: Tensor) -> Tensor:
    """Self-duality: | W/|W| - M/|M| |² in the Frobenius norm, M the class means minus their mean.

    W is not centred, as in the authors' notebook. Rows of classes without images are left out.

    Args:
        raw: moments of features as they are.
        weight: (F, D), a row for every label in [0, F).

    Returns:
        (...,) in [0, 4]; 0 = the classifier is the class means. NaN if W or M is zero.
    """
    means, rows = centred_means(raw), weight.to(raw.means)[raw.labels]
    lengths = means.square().sum(dim=(-1, -2), keepdim=True).sqrt()
    difference: Tensor = rows / rows.norm() - means / lengths
    return difference.square().sum(dim=(-1, -2))


def nc4(features: Tensor, raw: Moments, classifier: Linear) -> Tensor:
    """Images on which a linear classifier and the nearest class mean (Euclidean, of the same images) disagree.

    Args:
        features: (N, D) float.
        raw: their moments.
        classifier: answers any of its classes; only those with images have a mean.

    Returns:
        (N,) float64, 1 = they disagree; the mean is NC4, in [0, 1], 0 = the classifier is the nearest-mean rule. NaN
        if fewer than two classes occur.
    """
    if len(raw.labels) < 2:
        return torch.full((len(features),), torch.nan, dtype=torch.float64, device=features.device)
    answers, centre = answered(features, classifier), raw.means.mean(dim=0)
    means = raw.means - centre
    nearest = torch.zeros_like(answers)
    for rows, chunk in chunks(features):
        nearest[rows] = ((chunk - centre) @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)
    return (raw.labels[nearest] != answers).double()


def answered(features: Tensor, classifier: Linear) -> Tensor:
    """The label with the largest logit for each image, (N,) int64."""
    return torch.cat([logits.argmax(dim=1) for _, logits in logit_chunks(features, classifier)])


def logit_chunks(features: Tensor, classifier: Linear) -> Iterator[tuple[slice, Tensor]]:
    """Logits in float64, chunk by chunk, with their place among all images."""
    weight, bias = (parameter.to(features.device, torch.float64) for parameter in classifier)
    if weight.ndim != 2 or weight.shape[1] != features.shape[1] or bias.shape != weight.shape[:1]:
        raise ValueError(
            f"expected weight (K, {features.shape[1]}) and bias (K,), got {tuple(weight.shape)}, {tuple(bias.shape)}"
        )
    for rows, chunk in chunks(features):
        yield rows, chunk @ weight.T + bias
