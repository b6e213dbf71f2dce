"""What collapse metrics start from: features in checked chunks, and what is known of each class once they are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK = 2048  # images converted to float64 at a time
PAIR_ROWS = 1024  # classes whose pairs with all others are held at a time


@dataclass(frozen=True)
class Moments:
    """First and second moments of classes; leading dimensions `...` are resamples of the images, usually none.

    Attributes:
        labels: (K,) int64, the classes that occur, ascending.
        sizes: (..., K) float64, images.
        means: (..., K, D) float64.
        spread: (..., K) float64, mean squared distance of the images to the mean of their class.
        copies: (..., K) float64, ordered pairs of an image with itself, or in a resample with a copy of itself.
    """

    labels: Tensor
    sizes: Tensor
    means: Tensor
    spread: Tensor
    copies: Tensor

    def merged(self, to: Tensor) -> Moments:
        """The same of larger classes.

        Args:
            to: (F,) int64, the larger class of every label in [0, F).
        """
        labels, position = to[self.labels].unique(return_inverse=True)
        member = torch.nn.functional.one_hot(position, len(labels)).to(self.means.dtype)  # (K, K')
        sizes = self.sizes @ member
        means = member.T @ (self.sizes[..., None] * self.means) / sizes[..., None]
        offset = (self.means - means[..., position, :]).square().sum(dim=-1)
        spread = (self.sizes * (self.spread + offset)) @ member / sizes
        return Moments(labels, sizes, means, spread, self.copies @ member)

    def centres(self, merged: Moments, to: Tensor) -> Tensor:
        """Of each class the mean of the larger class it is in, (..., K, D)."""
        return merged.means[..., torch.searchsorted(merged.labels, to[self.labels]), :]

    def among(self, classes: Tensor) -> Moments:
        """Only some of the classes.

        Args:
            classes: (K,) bool.
        """
        return Moments(
            self.labels[classes],
            self.sizes[..., classes],
            self.means[..., classes, :],
            self.spread[..., classes],
            self.copies[..., classes],
        )

    @property
    def energy(self) -> Tensor:
        """Mean squared length of the features, (...,): what rounding is to be compared with."""
        squares = self.spread + self.means.square().sum(dim=-1)
        return (self.sizes * squares).sum(dim=-1) / self.sizes.sum(dim=-1)


def chunks(features: Tensor, *, unit: bool = False) -> Iterator[tuple[slice, Tensor]]:
    """Copies of features in float64, `CHUNK` images at a time, with their place among all.

    Args:
        features: (N, D) float on any device, in memory or mapped from a file.
        unit: divide each by its L2 norm.

    Raises:
        ValueError: unless they are (N, D) with N, D >= 1 and finite; with `unit` if one is zero, which has no
            direction.
    """
    check_matrix(features)
    for start in range(0, len(features), CHUNK):
        rows = slice(start, start + CHUNK)
        chunk = features[rows].to(torch.float64, copy=True)
        if not torch.isfinite(chunk.sum()):  # float64 sums of finite features do not overflow
            raise ValueError("features hold NaN or infinity; the network has diverged")
        if unit:
            lengths = chunk.norm(dim=1, keepdim=True)
            if (lengths == 0).any():
                raise ValueError(_dead(features))
            chunk /= lengths  # F.normalize would leave those below 1e-12 too short
        yield rows, chunk


def check_matrix(features: Tensor) -> None:
    """Raises ValueError unless features are (N, D) with N, D >= 1."""
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"expected features (N, D) with N, D >= 1, got {tuple(features.shape)}")


def _dead(features: Tensor) -> str:
    zeros = sum(int((chunk == 0).all(dim=1).sum()) for chunk in features.split(CHUNK))
    return f"{zeros} of {len(features)} features are zero and have no direction; the network is dead"


def moments(features: Tensor, labels: Tensor, *, unit: bool = False) -> Moments:
    """Moments of the classes that occur, in two passes: means first, so that small spreads keep their digits.

    Args:
        features: (N, D) float.
        labels: (N,) int64, on the same device.
        unit: of the features' directions instead.

    Raises:
        ValueError: for features as in `chunks`, or labels of another length.
    """
    check_matrix(features)
    if labels.shape != features.shape[:1]:
        raise ValueError(f"expected labels ({len(features)},), got {tuple(labels.shape)}")
    present, position = labels.unique(return_inverse=True)
    sizes = torch.bincount(position, minlength=len(present)).double()
    means = torch.zeros(len(present), features.shape[1], dtype=torch.float64, device=features.device)
    for rows, chunk in chunks(features, unit=unit):
        means.index_add_(0, position[rows], chunk)
    means /= sizes[:, None]
    squares = torch.zeros_like(sizes)
    for rows, chunk in chunks(features, unit=unit):
        chunk -= means[position[rows]]
        squares.index_add_(0, position[rows], chunk.square_().sum(dim=1))
    return Moments(present, sizes, means, squares / sizes, sizes)


def within_root(features: Tensor, labels: Tensor, of: Moments) -> Tensor:
    """A root R of the within-class scatter: RᵀR = sum_i (h_i - mu_y)(h_i - mu_y)ᵀ, (at most D, D) float64.

    QR of one chunk on top of the other (TSQR): as exact as a QR of the whole matrix, where a D x D scatter would lose
    half of the digits of small singular values.

    Args:
        features: (N, D) float.
        labels: (N,) int64.
        of: the moments of both.
    """
    root = torch.zeros(0, features.shape[1], dtype=torch.float64, device=features.device)
    for rows, chunk in chunks(features):
        chunk -= of.means[torch.searchsorted(of.labels, labels[rows])]
        root = torch.linalg.qr(torch.cat([root, chunk]), mode="r").R
    return root


def wider_root(root: Tensor, of: Moments, centres: Tensor) -> Tensor:
    """The root of the scatter about other centres than the class means, (M, D).

    Args:
        root: of the scatter about the class means.
        of: the moments.
        centres: (K, D) or (D,), the new centre of each class.
    """
    return torch.cat([root, of.sizes.sqrt()[:, None] * (of.means - centres)])
