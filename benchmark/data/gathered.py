"""Images of a split, gathered from the decoded ones as they are asked for: no set is ever copied as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1000  # images that are moved at a time


@dataclass(frozen=True)
class Gathered:
    """The images of a memory-mapped part that belong to a split; indexes like the tensor it stands for, along N.

    Attributes:
        decoded: (M, C, H, W) uint8, all images of the part.
        index: (N,) int64 in [0, M), those of the split.
    """

    decoded: Tensor
    index: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W)."""
        return (len(self.index), *self.decoded.shape[1:])

    def __len__(self) -> int:
        """N."""
        return len(self.index)

    def __getitem__(self, at: int | slice | Tensor) -> Tensor:
        """Images at places of the split: one (C, H, W) for an integer, else (B, C, H, W), on the CPU."""
        chosen = self.index[at]
        return self.decoded[chosen] if chosen.ndim == 0 else self.decoded.index_select(0, chosen)

    def split(self, size: int) -> Iterator[Tensor]:
        """All images in order, `size` at a time."""
        return (self.decoded.index_select(0, chosen) for chosen in self.index.split(size))

    def to(self, device: torch.device) -> Tensor:
        """All images on a device, copied there block by block."""
        moved = torch.empty(self.shape, dtype=torch.uint8, device=device)
        for place, block in zip(moved.split(BLOCK), self.split(BLOCK), strict=True):
            place.copy_(block)
        return moved
