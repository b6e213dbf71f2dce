"""MultiMix (Venkataramanan et al., NeurIPS 2023, arXiv:2311.05538)."""

from typing import Annotated, ClassVar

import numpy as np
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
class MultiMix(Method):
    """Z~ = Z Lambda, Y~ = Y Lambda: n convex combinations of all m embeddings of a batch, their mean cross-entropy.

    Each column of Lambda is drawn from a symmetric Dirichlet(alpha), with an alpha ~ U[alpha_low, alpha_high] of its
    own. The embeddings Z are the features before the head.

    The other batches get input mixup, lam ~ Beta(mixup_alpha, mixup_alpha). Dense MultiMix is left out. No official
    code is known to us and the paper's text was not at hand: n, the range of alpha, one alpha for each combination
    and the half of batches with input mixup are from memory of it, mixup_alpha is Zhang et al.'s on CIFAR.
    """

    title: ClassVar[str] = "MultiMix"
    paper: ClassVar[str] = "Venkataramanan et al., NeurIPS 2023, arXiv:2311.05538"
    year: ClassVar[int] = 2023
    family: ClassVar[Family] = "feature mixing"

    probability: Annotated[
        float,
        Field(ge=0, le=1, description="share of batches combined, the rest is input mixup; from memory of the paper"),
    ] = 0.5
    combinations: Annotated[int, Field(ge=1, le=100_000, description="n, per batch; from memory of the paper")] = 1000
    alpha_low: Annotated[
        float, Field(ge=0.05, le=100, description="least alpha of Dirichlet(alpha); from memory of the paper")
    ] = 0.5
    alpha_high: Annotated[
        float, Field(ge=0.05, le=100, description="greatest alpha of Dirichlet(alpha); from memory of the paper")
    ] = 2.0
    mixup_alpha: Annotated[float, Field(ge=0.01, description="of input mixup's Beta; 1 in mixup's paper")] = 1.0

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of the combinations, or of input mixup with chance 1 - probability."""
        combined = draws.uniform(rng) < self.probability
        targets = one_hot(labels, network.num_classes, images.dtype)
        if not combined:
            lam = draws.beta(self.mixup_alpha, rng)
            order = draws.permutation(len(images), rng, images.device)
            return soft_cross_entropy(network(interpolate(images, order, lam)), interpolate(targets, order, lam))
        weights = self.weights(len(images), rng).to(images, non_blocking=True)  # (n, m)
        features = network.features(images)  # (m, D)
        with torch.autocast(images.device.type, enabled=False):  # rows of bf16 weights do not sum to 1
            embeddings, targets = weights @ features, weights @ targets
        return soft_cross_entropy(network.classify(embeddings), targets)

    def weights(self, size: int, rng: Generator) -> Tensor:
        """Lambda transposed: `combinations` draws from the Dirichlet distribution over `size` examples.

        Gamma draws divided by their sum; NumPy's, under a seed from `rng`, take half the time of torch's.

        Returns:
            (n, size) float32 on the CPU, rows >= 0 with sum 1.
        """
        local = np.random.Generator(np.random.SFC64(int(draws.integers(2**62, (), rng, torch.device("cpu")))))
        alphas = local.uniform(self.alpha_low, self.alpha_high, (self.combinations, 1))
        gammas = local.standard_gamma(alphas.astype(np.float32), (self.combinations, size), dtype=np.float32)
        gammas += np.finfo(np.float32).tiny  # a row that underflows becomes uniform
        return torch.from_numpy(gammas / gammas.sum(axis=1, keepdims=True))
