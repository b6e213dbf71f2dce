"""RegMixup (Pinto et al., NeurIPS 2022, arXiv:2206.14502)."""

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
    one_hot,
    parameters,
    soft_cross_entropy,
)


@parameters
class RegMixup(Method):
    """L = CE(x, y) + eta CE(x~, y~), with x~ = lam x_i + (1 - lam) x_j, y~ likewise and lam ~ Beta(alpha, alpha).

    Clean and mixed images pass through the network as one batch, as in the official code. That code averages over the
    2B images, which is half this loss at eta = 1.
    """

    title: ClassVar[str] = "RegMixup"
    paper: ClassVar[str] = "Pinto et al., NeurIPS 2022, arXiv:2206.14502"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "input mixing"
    cost: ClassVar[float] = 2.0

    alpha: Annotated[
        float,
        Field(ge=0.01, description="of Beta(alpha, alpha); the official code has 10 on CIFAR-100, 20 on CIFAR-10"),
    ] = 10.0
    eta: Annotated[float, Field(ge=0, description="weight of the mixup loss; 1 in the official code")] = 1.0

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Clean cross-entropy plus the weighted one of mixed images."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        clean, mixed = network(torch.cat([images, interpolate(images, order, lam)])).chunk(2)  # (B, K) each
        return soft_cross_entropy(clean, targets) + self.eta * soft_cross_entropy(
            mixed, interpolate(targets, order, lam)
        )
