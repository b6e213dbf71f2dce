"""Images of a split at another size, resized as they are asked for: no set is ever held twice."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from benchmark.schema import Images

BLOCK = 100  # images that are resized at a time


@dataclass(frozen=True)
class Resized:
    """Stands for the images (N, C, edge, edge) uint8 it would be: bicubic, antialiased, as timm evaluates.

    Attributes:
        images: (N, C, H, W) uint8.
        edge: in pixels.
    """

    images: Images
    edge: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, edge, edge)."""
        return (*self.images.shape[:2], self.edge, self.edge)

    def __getitem__(self, at: int | slice | Tensor) -> Tensor:
        """Images at places of the split: one (C, edge, edge) for an integer, else (B, C, edge, edge)."""
        return self._resized(self.images[at])

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, at most `size` at a time."""
        return (self._resized(batch) for batch in self.images.split(min(size, BLOCK)))

    def to(self, device: torch.device) -> Tensor:
        """All images on a device."""
        return torch.cat([batch.to(device) for batch in self.split(BLOCK)])

    def _resized(self, batch: Tensor) -> Tensor:
        found: Tensor = resize(batch, [self.edge, self.edge], InterpolationMode.BICUBIC, antialias=True)
        return found
