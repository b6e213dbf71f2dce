"""MoEx, moment exchange (Li et al., CVPR 2021, arXiv:2002.11102)."""

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
    permuted,
    soft_cross_entropy,
)
from benchmark.methods.shared.stages import require_stage

EPSILON = 1e-5  # of the official code, under the root


@parameters
class MoEx(Method):
    """h~_i = sigma_j (h_i - mu_i) / sigma_i + mu_j, targets lam y_i + (1 - lam) y_j, lam fixed.

    mu and sigma are positional moments (PONO): mean and standard deviation over the channels at each position.
    The official code exchanges them behind the stem; here it is behind the first hidden stage, the first that every
    family has, and prefix tokens of a ViT keep their own. A layer that normalises over channels right behind that
    stage, as ConvNeXt's and Swin's do, removes most of what was exchanged.
    """

    title: ClassVar[str] = "MoEx"
    paper: ClassVar[str] = "Li et al., CVPR 2021, arXiv:2002.11102"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "feature mixing"

    lam: Annotated[
        float, Field(ge=0, le=1, description="target share of the normalised image; the official CIFAR script's")
    ] = 0.5
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are exchanged; the official CIFAR script's")
    ] = 0.25

    def check(self, network: Network) -> None:
        """Refuse a backbone without hidden stages."""
        require_stage(network, 0)

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of exchanged features against mixed targets; clean with chance 1 - probability."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        if draws.uniform(rng) >= self.probability:
            return soft_cross_entropy(network(images), targets)
        order = draws.permutation(len(images), rng, images.device)

        def exchange(hidden: Tensor) -> Tensor:
            return network.from_maps(exchange_moments(network.to_maps(hidden), order), hidden)

        features = network.features(images, 0, exchange)
        return soft_cross_entropy(network.classify(features), interpolate(targets, order, self.lam))


def exchange_moments(maps: Tensor, order: Tensor) -> Tensor:
    """Maps (B, C, h, w) with the positional moments of order(i); moments in float32 at least, unbiased variance."""
    precise = maps.to(torch.promote_types(maps.dtype, torch.float32))
    channels = maps.shape[1]  # sums are divided afterwards: what is divided is smaller, in the backward pass too
    mean = precise.sum(dim=1, keepdim=True) / channels  # (B, 1, h, w)
    centred = precise - mean  # by hand: torch.var over a strided dimension takes six times as long
    variance = (centred * centred).sum(dim=1, keepdim=True) / (channels - 1)
    deviation = (variance + EPSILON).sqrt()
    return (permuted(mean, order) + centred * (permuted(deviation, order) / deviation)).to(maps.dtype)
