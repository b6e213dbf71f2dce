"""The random box of CutMix and its relatives."""

from math import sqrt
from typing import NamedTuple

from torch import Generator, Tensor

from benchmark import rng as draws


class Box(NamedTuple):
    """Rows [top, bottom) and columns [left, right) of an image, pixels."""

    top: int
    bottom: int
    left: int
    right: int

    def share(self, height: int, width: int) -> float:
        """Its area over the image's, in [0, 1]."""
        return (self.bottom - self.top) * (self.right - self.left) / (height * width)


def random_box(height: int, width: int, area: float, rng: Generator) -> Box:
    """A box with the image's aspect and a share `area` of it, centred anywhere, its edges clipped to the image.

    Source: Yun et al., ICCV 2019 (CutMix), equation 2.
    """
    edge = sqrt(area)
    y, x = int(draws.uniform(rng) * height), int(draws.uniform(rng) * width)
    half_y, half_x = int(height * edge) // 2, int(width * edge) // 2
    return Box(max(y - half_y, 0), min(y + half_y, height), max(x - half_x, 0), min(x + half_x, width))


def paste(images: Tensor, order: Tensor, box: Box) -> Tensor:
    """Copies of the images with the box taken from image order(i), at the same place."""
    top, bottom, left, right = box
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
    return mixed
