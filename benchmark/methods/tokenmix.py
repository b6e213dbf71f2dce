"""TokenMix (Liu et al., ECCV 2022, arXiv:2207.08409)."""

from math import exp, log, sqrt
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.backbones import Network
from benchmark.methods.base import (
    Family,
    Method,
    Progress,
    interpolate_each,
    one_hot,
    parameters,
    soft_cross_entropy,
)
from benchmark.methods.shared.class_attention import require_class_attention

ATTEMPTS = 10  # in a row that may fail before a mask is left as it is
MIN_ASPECT = 0.3


@parameters
class TokenMix(Method):
    """Several blocks of tokens are pasted from x_j into x_i; targets are weighted by where the network looks.

    x~ = (1 - M) x_i + M x_j for a mask M of whole patches, one for the batch; lam = w_i / (w_i + w_j) with
    w_i = sum (1 - M) A_i and w_j = sum M A_j, where A has sum 1 and is the activation map of a clean image.

    Departures: A is the network's own class-token attention in an extra forward pass, where the paper takes the maps
    of a pre-trained teacher at the true class. The weights are divided by their sum, since the loss is cross-entropy;
    the official code leaves them and trains on binary cross-entropy. No batch gets mixup, there half of them do.
    """

    title: ClassVar[str] = "TokenMix"
    paper: ClassVar[str] = "Liu et al., ECCV 2022, arXiv:2207.08409; the network's own attention for a teacher's maps"
    year: ClassVar[int] = 2022
    family: ClassVar[Family] = "input mixing"
    cost: ClassVar[float] = 4 / 3

    share: Annotated[
        float, Field(ge=0, le=1, description="of tokens pasted, at most; 112 of 196 in the official ImageNet code")
    ] = 4 / 7

    def check(self, network: Network) -> None:
        """A class token's attention."""
        require_class_attention("tokenmix", network)

    def loss(self, network: Network, images: Tensor, labels: Tensor, progress: Progress, rng: Generator) -> Tensor:
        """Cross-entropy of images with pasted tokens."""
        with torch.no_grad():
            _, attention = network.features_and_attention(images)  # (B, h, w)
        order = draws.permutation(len(images), rng, images.device)
        rows, columns = attention.shape[1:]
        mask = block_mask(rows, columns, self.share, rng).to(attention, non_blocking=True)  # (h, w)
        pixels = F.interpolate(mask[None, None], size=images.shape[2:]).bool()
        logits = network(torch.where(pixels, images[order], images))
        own = (attention * (1 - mask)).sum(dim=(1, 2))
        other = (attention[order] * mask).sum(dim=(1, 2))
        targets = interpolate_each(one_hot(labels, network.num_classes, images.dtype), order, own / (own + other))
        return soft_cross_entropy(logits, targets)


def block_mask(rows: int, columns: int, share: float, rng: Generator) -> Tensor:
    """A mask of several blocks, (rows, columns) bool on the CPU, of at most round(share * rows * columns) tokens.

    Blocks of random area and aspect are added while they fit into what is left, up to ATTEMPTS failures in a row.
    Source: Bao et al., ICLR 2022 (BEiT), algorithm 1, with the official TokenMix code's least block of one token.
    """
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    left, failures = round(share * rows * columns), 0
    while left > 0 and failures < ATTEMPTS:
        block = mask[_random_block(rows, columns, left, rng)]
        added = block.numel() - int(block.sum())
        if 0 < added <= left:
            block.fill_(True)
            left, failures = left - added, 0
        else:
            failures += 1
    return mask


def _random_block(rows: int, columns: int, most: int, rng: Generator) -> tuple[slice, slice]:
    """A block of area U[1, most] and aspect log-uniform in [MIN_ASPECT, 1 / MIN_ASPECT]; empty if it does not fit."""
    area, aspect, y, x = (draws.uniform(rng) for _ in range(4))
    area, aspect = 1 + area * (most - 1), exp((2 * aspect - 1) * log(1 / MIN_ASPECT))
    height, width = round(sqrt(area * aspect)), round(sqrt(area / aspect))
    if height >= rows or width >= columns:
        return slice(0), slice(0)
    top, left = int(y * (rows - height + 1)), int(x * (columns - width + 1))
    return slice(top, top + height), slice(left, left + width)
