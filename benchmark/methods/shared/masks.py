"""Two images mixed pixel by pixel under one mask."""

import torch
from torch import Tensor

from benchmark.methods.base import interpolate


def mix_by_mask(images: Tensor, targets: Tensor, order: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """G x_i + (1 - G) x_order(i), and targets weighted by the mean of G: by the pixels each image keeps.

    Args:
        images: (B, C, H, W) float.
        targets: (B, K) float.
        order: (B,) int64, a permutation, on the device of the images.
        mask: G, (H, W) float64 in [0, 1], on the CPU: the same mask for every device, and its mean at no wait.

    Returns:
        Tensors shaped as images and targets.
    """
    weight = mask.to(images.dtype).to(images.device, non_blocking=True)
    return torch.lerp(images[order], images, weight), interpolate(targets, order, float(mask.mean()))
