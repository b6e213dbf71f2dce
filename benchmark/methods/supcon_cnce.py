"""SupCon with class-conditional InfoNCE (Chen et al., ICML 2022, arXiv:2204.07596)."""

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor, nn

from benchmark.backbones import Network
from benchmark.methods.base import Family, Progress, parameters
from benchmark.methods.shared.contrast import (
    WIDTH,
    TwoViewMethod,
    projection_head,
    projections,
    similarities,
)


@parameters
class SupConCNCE(TwoViewMethod):
    """L = CE + (1 - alpha) L_SC + alpha L_cNCE: the second pulls a class together, the third spreads it out again.

        L_SC(i)   = 1/|P(i)| sum_{p in P(i)} -log [exp(s_ip) / (exp(s_ip) + sum_{n in N(i)} exp(s_in))]
        L_cNCE(i) = -log [exp(s_ii') / sum_{p in P(i)} exp(s_ip)]

    s are cosines over the temperature between a view i and the other views of the batch's images; P(i) are those of
    its coarse class, i' of its own image among them, N(i) all others. The formulas are those of the authors' code
    (HazyResearch/thanos-code); the paper itself was not at hand. Other than there, both views take the part of i, not
    the second alone; s is not clipped at 1 in the numerator of L_SC, as a mistaken test does there; and a projection
    head is put before s, as in SupCon, unless `projection` is 0.
    """

    title: ClassVar[str] = "SupCon + cNCE"
    paper: ClassVar[str] = "Chen et al., ICML 2022, arXiv:2204.07596; after the authors' code"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "contrastive"
    cost: ClassVar[float] = 2.0

    temperature: Annotated[float, Field(ge=0.01, description="of s; 0.5 in the authors' code")] = 0.5
    alpha: Annotated[
        float, Field(ge=0, le=1, description="weight of L_cNCE against L_SC; equal weights in the authors' code")
    ] = 0.5
    projection: Annotated[
        int, Field(ge=0, description="width of the projections; 0, the features themselves, in the authors' code")
    ] = WIDTH

    def auxiliary(self, network: Network, rng: Generator) -> nn.Module | None:
        """The projection head, if any."""
        return projection_head(network.num_features, self.projection, rng) if self.projection else None

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of both views plus the contrastive loss; the encoder learns from both."""
        features = network.features(images)  # (2B, D)
        contrast = spread_loss(projections(network, features), labels, self.temperature, self.alpha)
        return F.cross_entropy(network.classify(features), labels.repeat(2)) + contrast


def spread_loss(projected: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """Mean over all views of (1 - alpha) L_SC + alpha L_cNCE.

    Args:
        projected: (2B, D), view by view.
        labels: (B,) int64.
        temperature: > 0.
        alpha: in [0, 1].
    """
    first, second = projected.chunk(2)
    scores = similarities(first, second, temperature)  # (B, B)
    own = scores.diagonal().repeat(2)  # s_ii'
    scores = torch.cat([scores, scores.T])  # (2B, B): every view against those of the other kind
    same = (labels[:, None] == labels).repeat(2, 1)
    # The lowest finite number rather than -inf: in a batch of one class a view has no negatives at all.
    lowest = torch.finfo(scores.dtype).min
    negatives = scores.masked_fill(same, lowest).logsumexp(dim=1, keepdim=True)
    pairs = F.softplus(negatives - scores) * same  # -log [a / (a + b)] = softplus(log b - log a)
    attraction = pairs.sum(dim=1) / same.sum(dim=1)
    repulsion = scores.masked_fill(~same, lowest).logsumexp(dim=1) - own
    return torch.lerp(attraction, repulsion, alpha).mean()
