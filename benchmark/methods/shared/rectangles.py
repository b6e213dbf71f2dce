"""A rectangle for each image of a batch, as a mask."""

import torch
from torch import Tensor


def rectangles(top: Tensor, left: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Masks (B, 1, H, W) bool of the pixels inside; what lies outside the image is cut off.

    Args:
        top: (B,) int64, first row, may be negative; the others likewise.
        left: first column.
        rows: how many.
        columns: how many.
        height: of the images.
        width: of the images.
    """
    inside_y = _span(top, rows, height)
    inside_x = _span(left, columns, width)
    return (inside_y[:, :, None] & inside_x[:, None, :])[:, None]


def _span(first: Tensor, count: Tensor, size: int) -> Tensor:
    """(B, size) bool."""
    position = torch.arange(size, device=first.device)
    return (position >= first[:, None]) & (position < (first + count)[:, None])
