"""Midpoint mixup (Chidambaram et al., ICML 2023, arXiv:2210.13512), at the features."""

from typing import ClassVar

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
class MidpointMixup(Method):
    """z~ = (z_i + z_j) / 2 at the penultimate features, targets half and half: lam = 1/2 always, soft labels.

    The paper mixes inputs; the features are where AM-mixup acts, which makes this its control at lam = 1/2.
    """

    title: ClassVar[str] = "Midpoint mixup"
    paper: ClassVar[str] = "Chidambaram et al., ICML 2023, arXiv:2210.13512; applied to features"
    year: ClassVar[int] = 2023
    family: ClassVar[Family] = "feature mixing"

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of midpoints against half-and-half targets."""
        order = draws.permutation(len(images), rng, images.device)
        midpoints = interpolate(network.features(images), order, 0.5)
        targets = interpolate(one_hot(labels, network.num_classes), order, 0.5)
        return soft_cross_entropy(network.classify(midpoints), targets)
