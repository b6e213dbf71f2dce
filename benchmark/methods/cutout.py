"""Cutout (DeVries, Taylor 2017, arXiv:1708.04552)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor

from benchmark import rng as draws
from benchmark.methods.base import Family, InputMethod, parameters
from benchmark.methods.shared.rectangles import rectangles


@parameters
class Cutout(InputMethod):
    """x~ = M x: M is 0 in one square of each image, whose centre is uniform over it, its edges clipped to the image.

    As in the official code the square is zero after normalisation: the mean colour, not black. Its edge is a share of
    the image's shorter one, so that it scales; an odd edge, which the official code shortens by one, is kept.
    """

    title: ClassVar[str] = "Cutout"
    paper: ClassVar[str] = "DeVries, Taylor 2017, arXiv:1708.04552"
    year: ClassVar[int] = 2017
    family: ClassVar[Family] = "image policy"

    length: Annotated[
        float,
        Field(gt=0, le=2, description="edge of the hole over the image's; 8 of 32 px on CIFAR-100, 16 on CIFAR-10"),
    ] = 0.25

    def mix(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        """Images with a hole each; targets as they are."""
        height, width = images.shape[2:]
        edge = max(round(self.length * min(height, width)), 1)
        y = draws.integers(height, (len(images),), rng, images.device)
        x = draws.integers(width, (len(images),), rng, images.device)
        size = torch.full_like(y, edge)
        hole = rectangles(y - edge // 2, x - edge // 2, size, size, height, width)
        return images.masked_fill(hole, 0), targets
