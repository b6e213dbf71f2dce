"""Alignment and uniformity (Wang & Isola, ICML 2020, arXiv:2005.10242), with classes as positive pairs."""

import torch
from torch import Tensor

from benchmark.collapse.moments import Moments, check_matrix, chunks

BLOCK = 1024  # pairs are formed between two blocks of images at a time
UNIFORMITY_IMAGES = 10_000  # all pairs up to here; beyond, all pairs among this many


def alignment(unit: Moments) -> Tensor:
    """Mean over classes of the mean squared distance between distinct unit features of the class.

    The pairs need not be formed: the sum over all ordered pairs of a class of n is 2 n² times its spread, and an
    image is at no distance from itself.

    Args:
        unit: moments of unit features.

    Returns:
        (...,) in [0, 4]; 0 = every class is one direction (collapsed), 2 = no more alike than random directions in
        high dimension. Classes of one image are left out; NaN if no class has two.
    """
    pairs = unit.sizes.square() - unit.copies
    distance = 2 * unit.sizes.square() * unit.spread / pairs
    return distance.where(pairs > 0, torch.nan).nanmean(dim=-1)


def alignment_between(unit: Moments, to_coarse: Tensor) -> Tensor:
    """Mean over coarse classes of the mean squared distance between unit features of different fine classes in it.

    Args:
        unit: moments of unit features by fine class.
        to_coarse: (F,) int64.

    Returns:
        (...,) in [0, 4]; 0 = the coarse class is one direction. Coarse classes of one fine class are left out; NaN if
        none has two.
    """
    coarse = unit.merged(to_coarse)
    position = torch.searchsorted(coarse.labels, to_coarse[unit.labels])

    def inside(of_fine: Tensor) -> Tensor:
        return torch.zeros_like(coarse.sizes).index_add_(-1, position, of_fine)

    pairs = coarse.sizes.square() - inside(unit.sizes.square())
    distances = coarse.sizes.square() * coarse.spread - inside(unit.sizes.square() * unit.spread)
    several = torch.bincount(position, minlength=len(coarse.labels)) > 1
    return (2 * distances.clamp(min=0) / pairs).where(several, torch.nan).nanmean(dim=-1)


def uniformity(features: Tensor, weights: Tensor | None = None) -> Tensor:
    """Log of the mean over distinct pairs of exp(-2 |u_i - u_j|²).

    All pairs of up to `UNIFORMITY_IMAGES` images; of more, all pairs among that many of them. These are evenly spaced
    in the order of their projection on a fixed direction, so that they do not depend on the order of the images.

    Args:
        features: (N, D) float, not normalised, none of them zero.
        weights: (B, N) int, how often each image occurs in each of B resamples; pairs of an image with its own copy
            are left out.

    Returns:
        () or (B,), in [-8, 0]; 0 = one direction, about -4 = uniform on the sphere in high dimension. NaN without two
        distinct images.

    Raises:
        ValueError: for a zero or non-finite feature.
    """
    check_matrix(features)
    chosen = _evenly_spaced(features)
    points = torch.empty(len(chosen), features.shape[1], dtype=torch.float64, device=features.device)
    for place, chunk in chunks(features[chosen], unit=True):
        points[place] = chunk
    counts = torch.ones_like(chosen)[None] if weights is None else weights[:, chosen]
    counts = counts.to(points)  # (B, N)
    total = torch.zeros_like(counts[:, 0])
    for start in range(0, len(points), BLOCK):
        rows, own = points[start : start + BLOCK], counts[:, start : start + BLOCK]
        # |u - v|² = 2 - 2 u.v; each unordered pair once: within the block above the diagonal, then all later ones
        kernel = (rows @ rows.T).sub_(1).mul_(4).exp_().triu_(diagonal=1)
        total += ((own @ kernel) * own).sum(dim=1)
        later = points[start + BLOCK :].split(BLOCK), counts[:, start + BLOCK :].split(BLOCK, dim=1)
        for others, theirs in zip(*later, strict=True):
            total += ((own @ (rows @ others.T).sub_(1).mul_(4).exp_()) * theirs).sum(dim=1)
    pairs = (counts.sum(dim=1).square() - counts.square().sum(dim=1)) / 2
    value = (total / pairs).log().clamp(max=0).where(pairs > 0, torch.nan)
    return value[0] if weights is None else value


def _evenly_spaced(features: Tensor) -> Tensor:
    """Positions of at most `UNIFORMITY_IMAGES` images, evenly spaced along a fixed direction."""
    count, dimensions = features.shape
    if count <= UNIFORMITY_IMAGES:
        return torch.arange(count, device=features.device)
    direction = torch.randn(dimensions, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = direction.to(features.device)
    order = torch.cat([chunk @ direction for _, chunk in chunks(features, unit=True)]).argsort(stable=True)
    steps = torch.arange(UNIFORMITY_IMAGES, device=features.device)
    return order[(2 * steps + 1) * count // (2 * UNIFORMITY_IMAGES)]
