"""Remix (Chou et al., ECCV Workshops 2020, arXiv:2007.03943)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import (
    Family,
    Method,
    Progress,
    interpolate,
    interpolate_each,
    one_hot,
    parameters,
    soft_cross_entropy,
)


@parameters
class Remix(Method):
    """Mixup whose label goes to the rarer class where two classes differ much in size.

    x~ = lam_x x_i + (1 - lam_x) x_j and y~ = lam_y y_i + (1 - lam_y) y_j with lam_x ~ Beta(alpha, alpha) for each
    batch. With n_i the training images of the class of image i,

        lam_y = 0      if n_i / n_j >= kappa    and lam_x < tau
        lam_y = 1      if n_i / n_j <= 1/kappa  and 1 - lam_x < tau
        lam_y = lam_x  otherwise

    It is mixup where no class is kappa times larger than another.
    """

    title: ClassVar[str] = "Remix"
    paper: ClassVar[str] = "Chou et al., ECCV Workshops 2020, arXiv:2007.03943"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 as mixup's")] = 1.0
    kappa: Annotated[
        float, Field(gt=1, description="ratio of class sizes that counts as imbalance; the paper's, says imbalanced-DL")
    ] = 3.0
    tau: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="share below which the larger class loses its label; the paper's, says imbalanced-DL",
        ),
    ] = 0.5

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of the mixed images against the rebalanced targets."""
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        targets = one_hot(labels, network.num_classes, images.dtype)
        share = self.label_share(progress.class_counts[labels].to(images.dtype), order, lam)
        return soft_cross_entropy(network(interpolate(images, order, lam)), interpolate_each(targets, order, share))

    def label_share(self, sizes: Tensor, order: Tensor, lam: float) -> Tensor:
        """lam_y of each pair (i, order(i)), (B,); `sizes` (B,) float, training images of each image's class."""
        others = sizes[order]
        share = torch.full_like(sizes, lam)
        if lam < self.tau:
            share = share.masked_fill(sizes >= self.kappa * others, 0.0)
        if 1 - lam < self.tau:
            share = share.masked_fill(self.kappa * sizes <= others, 1.0)
        return share
