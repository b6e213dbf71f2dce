"""Noisy feature mixup, NFM (Lim et al., ICLR 2022, arXiv:2110.02180)."""

from math import prod
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
from benchmark.methods.shared.stages import INPUT, random_stage

POOL = 2**16  # places in the pool of noise at which a row may begin


@parameters
class NoisyFeatureMixup(Method):
    """Manifold mixup with noise on the mixture: h~ = (1 + a u) (lam h_i + (1 - lam) h_j) + b n.

    u ~ U(-1, 1) and n ~ N(0, 1) for each activation; a = multiplicative * s and b = additive * t with s, t ~ Beta(2, 5)
    and lam ~ Beta(alpha, alpha) for each batch; targets as mixup's. The stage is drawn uniformly from the input and the
    first hidden ones. Formula and distributions are the official code's. Here the rows of u and n are cut out of a
    pool of fresh draws at random places, not drawn one by one: two rows share numbers where their windows overlap.
    """

    title: ClassVar[str] = "Noisy feature mixup"
    paper: ClassVar[str] = "Lim et al., ICLR 2022, arXiv:2110.02180"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "feature mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in the official CIFAR runs")] = 1.0
    additive: Annotated[float, Field(ge=0, description="largest level of additive noise; the official CIFAR runs'")] = (
        0.4
    )
    multiplicative: Annotated[
        float, Field(ge=0, description="largest level of multiplicative noise; the official CIFAR runs'")
    ] = 0.2
    stages: Annotated[
        int, Field(ge=0, le=4, description="hidden stages that may be drawn beside the input; the official code's")
    ] = 3

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy against mixed targets."""
        stage = random_stage(network, self.stages, rng)
        lam = draws.beta(self.alpha, rng)
        order = draws.permutation(len(images), rng, images.device)

        def mix(values: Tensor) -> Tensor:
            return self.perturb(interpolate(values, order, lam), rng)

        features = network.features(mix(images)) if stage == INPUT else network.features(images, stage, mix)
        targets = interpolate(one_hot(labels, network.num_classes, images.dtype), order, lam)
        return soft_cross_entropy(network.classify(features), targets)

    def perturb(self, values: Tensor, rng: Generator) -> Tensor:
        """Noise on images or hidden values, (B, C, H, W) or (B, T, D)."""
        additive, multiplicative = self.additive * beta_2_5(rng), self.multiplicative * beta_2_5(rng)
        maps = values.ndim == 4
        # Backbones keep maps channels_last, and noise in the same layout is added four times faster.
        shape = values.movedim(1, -1).shape if maps else values.shape
        size = (POOL + prod(shape[2:]) - 1,)
        places = draws.integers(POOL, (shape[0] * shape[1],), rng, values.device)
        shift = additive * draws.normals(size, rng, values.device)
        gain = 1 + multiplicative * (2 * draws.uniforms(size, rng, values.device) - 1)
        shift, gain = (rows(pool.to(values.dtype), places, shape) for pool in (shift, gain))
        if maps:
            shift, gain = shift.movedim(-1, 1), gain.movedim(-1, 1)
        return torch.addcmul(shift, values, gain)


def beta_2_5(rng: Generator) -> float:
    """One draw from Beta(2, 5), the distribution of the second smallest of six uniform draws."""
    return float(torch.rand(6, generator=rng, dtype=torch.float64).sort().values[1])


def rows(pool: Tensor, places: Tensor, shape: torch.Size) -> Tensor:
    """A tensor of `shape` whose element [i, j] is the window of `pool` that begins at places[i * shape[1] + j]."""
    return pool.unfold(0, prod(shape[2:]), 1)[places].reshape(shape)
