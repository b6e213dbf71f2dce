"""CutMix (Yun et al., ICCV 2019, arXiv:1905.04899)."""

from math import sqrt
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, interpolate, parameters


@parameters
class CutMix(InputMethod):
    """A box of area share 1 - lam is pasted from x_j into x_i; targets are weighted by the pixels each one keeps.

    lam ~ Beta(alpha, alpha); the box's centre is uniform over the image and its edges are clipped to it.
    """

    title: ClassVar[str] = "CutMix"
    paper: ClassVar[str] = "Yun et al., ICCV 2019, arXiv:1905.04899"
    year: ClassVar[int] = 2019
    family: ClassVar[Family] = "input mixing"

    alpha: Annotated[float, Field(ge=0.01, description="of Beta(alpha, alpha)")] = 1.0
    probability: Annotated[
        float, Field(ge=0, le=1, description="share of batches that are mixed; 0.5 on CIFAR in the paper")
    ] = 0.5

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images with a pasted box and area-weighted targets; the batch as it is with chance 1 - probability."""
        if draws.uniform(rng) >= self.probability:
            return images, targets
        top, bottom, left, right = self._box(images.shape[2], images.shape[3], rng)
        order = draws.permutation(len(images), rng, images.device)
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
        kept = 1 - (bottom - top) * (right - left) / (images.shape[2] * images.shape[3])
        return mixed, interpolate(targets, order, kept)

    def _box(self, height: int, width: int, rng: Generator) -> tuple[int, int, int, int]:
        edge = sqrt(1 - draws.beta(self.alpha, rng))
        y, x = int(draws.uniform(rng) * height), int(draws.uniform(rng) * width)
        half_y, half_x = int(height * edge) // 2, int(width * edge) // 2
        return max(y - half_y, 0), min(y + half_y, height), max(x - half_x, 0), min(x + half_x, width)
