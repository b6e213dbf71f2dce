"""AlignMixup (Venkataramanan et al., CVPR 2022, arXiv:2103.15375)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.errors import InputError
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


@parameters
class AlignMix(Method):
    """The last feature maps A, A' of a pair are aligned, then mixed; input mixup in the other batches.

    M = pairwise squared distances of the r positions, P* = argmin over couplings of <P, M> - epsilon H(P) with uniform
    marginals, R = r P*. With even chances a batch mixes lam A + (1 - lam) A' R^T, which keeps the places of A, or
    lam A R + (1 - lam) A', which keeps those of A'. Targets are mixed by lam ~ Beta(alpha, alpha); R has no gradient.
    As in the official code, without the paper's variant with a decoder.

    Departures: the number of Sinkhorn iterations is fixed, where the official code stops after at most 100 once the
    potentials move little, which would wait for the device; where features lie far apart neither has converged by
    then. Where the head reads a class token, the stage before the last is mixed, since the last block's patches reach
    no loss; prefix tokens are interpolated as they are.
    """

    title: ClassVar[str] = "AlignMix"
    paper: ClassVar[str] = "Venkataramanan et al., CVPR 2022, arXiv:2103.15375"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "feature mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 2 on CIFAR in the official code")] = 2.0
    epsilon: Annotated[float, Field(ge=1e-4, description="weight of the plan's entropy; 0.1 in the official code")] = (
        0.1
    )
    iterations: Annotated[
        int, Field(ge=1, le=1000, description="of Sinkhorn; at most 100 in the official code, fewer here for speed")
    ] = 50
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of aligned batches, the rest is input mixup; 0.5 in official code")
    ] = 0.5

    def check(self, network: Network) -> None:
        """A hidden stage whose maps reach the head."""
        if _stage(network) < 0:
            raise InputError("method alignmix needs a backbone with hidden feature maps, e.g. resnet18-small")

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy against mixed targets."""
        aligned = draws.uniform(rng) < self.probability
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        targets = interpolate(one_hot(labels, network.num_classes, images.dtype), order, lam)
        if aligned:
            keep_first = draws.uniform(rng) < 0.5
            features = network.features(
                images, _stage(network), lambda hidden: self._mixed(network, hidden, order, lam, keep_first)
            )
        else:
            features = network.features(interpolate(images, order, lam))
        return soft_cross_entropy(network.classify(features), targets)

    def _mixed(self, network: Network, hidden: Tensor, order: Tensor, lam: float, keep_first: bool) -> Tensor:
        """A stage's output with its maps aligned and mixed, in its own layout."""
        maps = network.to_maps(hidden)  # (B, C, h, w)
        first = maps.flatten(2)  # A: (B, C, r)
        second = permuted(first, order)  # A'
        plan = assignment(first, second, self.epsilon, self.iterations).to(first.dtype)
        if keep_first:
            second = second @ plan.transpose(1, 2)
        else:
            first = first @ plan
        mixed = torch.lerp(second.to(maps.dtype), first.to(maps.dtype), lam)
        return network.from_maps(mixed.unflatten(2, maps.shape[2:]), interpolate(hidden, order, lam))


@torch.no_grad()
def assignment(first: Tensor, second: Tensor, epsilon: float, iterations: int) -> Tensor:
    """The assignment matrix R = r P* of two sets of r features by Sinkhorn's algorithm in the log domain.

    Source: equations 3 to 5 of the paper. Alternating log-softmax over rows and columns is the algorithm: the sums of
    R's rows, then of its columns, become 1. The batch is the last dimension meanwhile, which is ten times as fast.

    Args:
        first: (B, C, r), features of the rows.
        second: (B, C, r), features of the columns.
        epsilon: weight of the entropy, > 0.
        iterations: of rows and columns, >= 1.

    Returns:
        (B, r, r) float32, or float64 of float64 features; columns sum to 1, rows nearly.
    """
    if first.dtype != torch.float64:
        first, second = first.float(), second.float()
    with torch.autocast(first.device.type, enabled=False):
        products = first.transpose(1, 2) @ second
        squares = first.square().sum(dim=1).unsqueeze(2) + second.square().sum(dim=1).unsqueeze(1)
        plan = ((2 * products - squares) / epsilon).permute(1, 2, 0).contiguous()  # (r, r, B)
        for _ in range(iterations):
            plan = plan.log_softmax(dim=1).log_softmax(dim=0)
    return plan.exp_().permute(2, 0, 1)


def _stage(network: Network) -> int:
    """The last stage whose maps reach the head; negative if there is none."""
    return network.num_stages - 1 - network.reads_class_token
