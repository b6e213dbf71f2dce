"""PatchUp (Faramarzi et al., AAAI 2022, arXiv:2006.07794)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import Family, Method, Progress, one_hot, parameters, permuted, soft_cross_entropy
from benchmark.methods.shared.boxes import paste, random_box
from benchmark.methods.shared.stages import INPUT, random_stage


@parameters
class PatchUp(Method):
    """Blocks of hidden maps are swapped (hard) or interpolated (soft) with those of another image.

    h~ = M h_i + (1 - M) (lam h_i + (1 - lam) h_j); M is one mask of (C, h, w) for the batch, 0 in blocks around random
    centres; lam = 0 if hard, ~ Beta(alpha, alpha) for each batch if soft. With p the mean of M, Y = lam y_i +
    (1 - lam) y_j and W = p y_i + (1 - p) Y, the loss of a mixed batch is p CE(y_i) + (1 - p) CE(Y) + CE(W). That is
    twice CE(W), since cross-entropy is linear in the target. At the input it is CutMix with lam ~ Beta(1, 1).

    Three departures. The official code draws from input, stem and first stage; here from the input and the first
    hidden stages, which leave the stem out. Its loss is binary cross-entropy of softmax outputs; here cross-entropy.
    Blocks are at most half as wide as the map, since of a block as wide as it the whole map is swapped.
    Prefix tokens of a ViT, a family the paper does not train, keep their own values.
    """

    title: ClassVar[str] = "PatchUp"
    paper: ClassVar[str] = "Faramarzi et al., AAAI 2022, arXiv:2006.07794"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "feature mixing"

    mode: Annotated[Literal["hard", "soft"], Field(description="swap or interpolate; hard is the paper's best")] = (
        "hard"
    )
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; officially 0.7, soft 1.0, on CIFAR")
    ] = 0.7
    gamma: Annotated[
        float, Field(ge=0, le=1, description="share of a map in blocks, roughly; officially 0.5, soft 0.75, on CIFAR")
    ] = 0.5
    block: Annotated[int, Field(ge=1, description="edge of a block, made odd; the official code's")] = 7
    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha), soft only; the official code's")] = 2.0
    stages: Annotated[int, Field(ge=0, le=4, description="hidden stages that may be drawn beside the input")] = 2

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Both terms of a mixed batch; clean cross-entropy with chance 1 - probability."""
        targets = one_hot(labels, network.num_classes, images.dtype)
        if draws.uniform(rng) >= self.probability:
            return soft_cross_entropy(network(images), targets)
        stage = random_stage(network, self.stages, rng)
        order = draws.permutation(len(images), rng, images.device)
        mixed = _cut(network, images, order, rng) if stage == INPUT else self._patch(network, images, stage, order, rng)
        features, kept = mixed
        return 2 * soft_cross_entropy(network.classify(features), torch.lerp(targets[order], targets, kept))

    def blocks(self, shape: Sequence[int], rng: Generator, device: torch.device) -> Tensor:
        """1 - M for maps of `shape` (C, h, w): 1 inside the blocks, 0 elsewhere."""
        _, height, width = shape
        edge = max(min(self.block, min(height, width) // 2), 1)
        edge -= 1 - edge % 2
        centres = self.gamma * height * width / (edge**2 * (height - edge + 1) * (width - edge + 1))
        seeds = (draws.uniforms(shape, rng, device) < centres).float()
        return F.max_pool2d(seeds[None], edge, stride=1, padding=edge // 2)[0]

    def _patch(
        self, network: Network, images: Tensor, stage: int, order: Tensor, rng: Generator
    ) -> tuple[Tensor, Tensor]:
        """Features mixed at a hidden stage, and the mean share of y_i, a scalar."""
        lam = draws.beta(self.alpha, rng) if self.mode == "soft" else 0.0
        kept = []  # filled on the way: the mask's shape is known only at the stage

        def mix(hidden: Tensor) -> Tensor:
            maps = network.to_maps(hidden)
            own = 1 - (1 - lam) * self.blocks(maps.shape[1:], rng, maps.device).to(images.dtype)
            kept.append(own.mean())
            weight = own.to(maps.dtype)[None].contiguous(memory_format=torch.channels_last)  # as maps are
            return network.from_maps(torch.lerp(permuted(maps, order), maps, weight), hidden)

        return network.features(images, stage, mix), kept[0]


def _cut(network: Network, images: Tensor, order: Tensor, rng: Generator) -> tuple[Tensor, float]:
    """Features of images with a box of others, and the share of pixels kept."""
    height, width = images.shape[2:]
    box = random_box(height, width, 1 - draws.beta(1.0, rng), rng)
    return network.features(paste(images, order, box)), 1 - box.share(height, width)
