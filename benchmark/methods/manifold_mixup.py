"""Manifold mixup (Verma et al., ICML 2019, arXiv:1806.05236)."""

from typing import Annotated, ClassVar

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
from benchmark.methods.shared.stages import INPUT, random_stage


@parameters
class ManifoldMixup(Method):
    """Mixup at the input or at one of the first hidden stages, drawn uniformly for each batch.

    h~ = lam h_i + (1 - lam) h_j at the stage, targets likewise, lam ~ Beta(alpha, alpha). The official code trains
    on binary cross-entropy of softmax outputs, for all its methods; here the loss is cross-entropy, as everywhere.
    """

    title: ClassVar[str] = "Manifold mixup"
    paper: ClassVar[str] = "Verma et al., ICML 2019, arXiv:1806.05236"
    year: ClassVar[int] = 2019
    family: ClassVar[Family] = "feature mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 2 in the official code")] = 2.0
    stages: Annotated[int, Field(ge=0, le=4, description="hidden stages that may be drawn beside the input")] = 2

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy against mixed targets."""
        stage = random_stage(network, self.stages, rng)
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)
        targets = interpolate(one_hot(labels, network.num_classes, images.dtype), order, lam)
        if stage == INPUT:
            features = network.features(interpolate(images, order, lam))
        else:
            features = network.features(images, stage, lambda hidden: interpolate(hidden, order, lam))
        return soft_cross_entropy(network.classify(features), targets)
