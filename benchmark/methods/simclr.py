"""SimCLR (Chen et al., ICML 2020, arXiv:2002.05709)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark.backbones import Network
from benchmark.methods.base import Family, Progress, parameters
from benchmark.methods.shared.contrast import (
    TwoViewMethod,
    detached_cross_entropy,
    projections,
    supervised_contrast,
)


@parameters
class SimCLR(TwoViewMethod):
    """NT-Xent = mean over i of -log [exp(sim(z_i, z_i') / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau)].

    z are projections of both views of the batch, i' is the other view of i, sim the cosine. No label reaches the
    encoder; the coarse head learns along by cross-entropy on detached features. Views are SupCon's: crops of at
    least a fifth of the image, where the paper goes down to 0.08, and without a flip of their own. The projection
    head has no batch norm, as in the paper's formula; the official code has it.
    """

    title: ClassVar[str] = "SimCLR"
    paper: ClassVar[str] = "Chen et al., ICML 2020, arXiv:2002.05709"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "contrastive"
    cost: ClassVar[float] = 2.0

    temperature: Annotated[float, Field(ge=0.01, description="tau; 0.5 on CIFAR-10 in the official code")] = 0.5

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """The contrastive loss for the encoder, a cross-entropy for the head."""
        features = network.features(images)  # (2B, D)
        each_its_own = torch.arange(len(labels), device=labels.device)
        contrast = supervised_contrast(projections(network, features), each_its_own, self.temperature)
        return contrast + detached_cross_entropy(network, features, labels)
