"""What contrastive methods share: two views, a projection head, similarities and the supervised contrastive loss."""

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from benchmark.backbones import Network
from benchmark.methods.base import Method
from benchmark.methods.shared.modules import seeded
from benchmark.methods.shared.views import two_views

WIDTH = 128  # outputs of the projection head


class TwoViewMethod(Method):
    """A method that compares two augmented views of each image behind a projection head.

    The head is Linear(D, D), ReLU, Linear(D, 128) without batch norm; training alone uses it.
    """

    cost: ClassVar[float] = 2.0

    def auxiliary(self, network: Network, rng: Generator) -> nn.Module | None:
        """The projection head."""
        return projection_head(network.num_features, WIDTH, rng)

    def views(self, images: Tensor, rng: Generator) -> Tensor:
        """Two views of each image, (2B, C, H, W) float32 in [0, 255], view by view."""
        return two_views(images, rng)


def projection_head(inputs: int, outputs: int, rng: Generator) -> nn.Module:
    """Linear, ReLU, Linear; as wide as its input in between. Source: SupCon, section 3.1, and its official code."""
    return seeded(lambda: nn.Sequential(nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, outputs)), rng)


def projections(network: Network, features: Tensor) -> Tensor:
    """Outputs of the projection head in the precision of the features; the features themselves if there is none."""
    if network.auxiliary is None:
        return features
    return cast(Tensor, network.auxiliary(features)).to(features.dtype)


def similarities(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Cosines over the temperature, (N, D) and (M, D) -> (N, M), in the precision of the inputs even under autocast."""
    with torch.autocast(first.device.type, enabled=False):
        return F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature


def supervised_contrast(projected: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Mean over i of -1/|P(i)| sum_{p in P(i)} log [exp(z_i.z_p / t) / sum_{a != i} exp(z_i.z_a / t)].

    P(i) are all others with the label of i. Source: Khosla et al., NeurIPS 2020, equation 2 (L_out); the paper sums
    over i. With a label of its own for every image it is NT-Xent (Chen et al., ICML 2020, equation 1).

    Args:
        projected: (2B, D), view by view.
        labels: (B,) int64.
        temperature: > 0.
    """
    both = labels.repeat(2)
    itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
    # The lowest finite number rather than -inf, so that products with a mask stay defined.
    scores = similarities(projected, projected, temperature)
    scores = scores.masked_fill(itself, torch.finfo(scores.dtype).min)
    positive = ((both[:, None] == both) & ~itself).to(scores.dtype)
    # sum_p positive_ip = |P(i)| >= 1: the other view of i
    log_share = (positive * scores).sum(dim=1) / positive.sum(dim=1) - scores.logsumexp(dim=1)
    return -log_share.mean()


def detached_cross_entropy(network: Network, features: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the coarse head on features that pass no gradient on: it trains the head alone.

    Args:
        network: gives the head.
        features: (2B, D), view by view.
        labels: (B,) int64.
    """
    return F.cross_entropy(network.classify(features.detach()), labels.repeat(2))
