"""SaliencyMix (Uddin et al., ICLR 2021, arXiv:2006.01791)."""

from math import sqrt
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate_each, parameters
from benchmark.methods.shared.saliency import centre_surround


@parameters
class SaliencyMix(InputMethod):
    """x~_i = M_i x_i + (1 - M_i) x_j where 1 - M_i is a box around the most salient pixel of x_j.

    The box has a share 1 - lam of the image, lam ~ Beta(alpha, alpha) once for each batch, and its edges are clipped;
    targets are weighted by the pixels each image keeps. The saliency is the detector's of the official code, without
    its rounding (see `centre_surround`), on normalised images as there. The official code takes one image's peak for
    the whole batch; here every pasted image has its own, our choice.
    """

    title: ClassVar[str] = "SaliencyMix"
    paper: ClassVar[str] = "Uddin et al., ICLR 2021, arXiv:2006.01791"
    year: ClassVar[int] = 2021
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha); 1 in the official CIFAR code")] = 1.0
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; 0.5 in the official CIFAR code")
    ] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images with their partners' salient boxes and pixel-weighted targets; as they are if not drawn."""
        if draws.uniform(rng) >= self.probability:
            return images, targets
        edge = sqrt(1 - draws.beta(self.alpha, rng))
        order = draws.permutation(len(images), rng, images.device)
        boxes = salient_boxes(images, edge)[order]  # (B, H, W)
        kept = 1 - boxes.to(images.dtype).mean(dim=(1, 2))
        return torch.where(boxes[:, None], images[order], images), interpolate_each(targets, order, kept)


def salient_boxes(images: Tensor, edge: float) -> Tensor:
    """Masks of the boxes with `edge` times an image's sides around its most salient pixel, clipped; (B, H, W) bool."""
    height, width = images.shape[2:]
    peak = centre_surround(images).flatten(1).argmax(dim=1)  # (B,)
    rows = _span(peak // width, height, int(height * edge) // 2)
    columns = _span(peak % width, width, int(width * edge) // 2)
    return rows[:, :, None] & columns[:, None, :]


def _span(centre: Tensor, size: int, half: int) -> Tensor:
    """Which of `size` pixels lie in [centre - half, centre + half); (B,) -> (B, size) bool."""
    offset = torch.arange(size, device=centre.device) - centre[:, None]
    return (offset >= -half) & (offset < half)
