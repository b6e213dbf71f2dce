"""SupCon (Khosla et al., NeurIPS 2020, arXiv:2004.11362)."""

from typing import Annotated, ClassVar

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
class SupCon(TwoViewMethod):
    """L_out = mean over i of -1/|P(i)| sum_{p in P(i)} log [exp(z_i.z_p / tau) / sum_{a != i} exp(z_i.z_a / tau)].

    z are normalised projections of both views of the batch, P(i) the other views of the coarse class of i. The paper
    trains its classifier afterwards, on the frozen encoder; here the coarse head learns along by cross-entropy on
    detached features, of which the encoder sees nothing. The official code multiplies the loss by tau / 0.07; here,
    as in the paper, it does not.
    """

    title: ClassVar[str] = "SupCon"
    paper: ClassVar[str] = "Khosla et al., NeurIPS 2020, arXiv:2004.11362"
    year: ClassVar[int] = 2020
    family: ClassVar[Family] = "contrastive"
    cost: ClassVar[float] = 2.0

    temperature: Annotated[float, Field(ge=0.01, description="tau; 0.1 in the paper")] = 0.1

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """The contrastive loss for the encoder, a cross-entropy for the head."""
        features = network.features(images)  # (2B, D)
        contrast = supervised_contrast(projections(network, features), labels, self.temperature)
        return contrast + detached_cross_entropy(network, features, labels)
