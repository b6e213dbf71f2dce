"""The recipe's image policy as batch operations on resident uint8 images: a draw per image, no loop over images."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from benchmark.schema import Images

BLOCK = 1000  # images counted at a time


def augment(images: Tensor, policy: str, rng: Generator) -> Tensor:
    """Randomly cropped and flipped copies of a batch.

    Args:
        images: (B, C, H, W) uint8.
        policy: `none`, `crop` (zero padding of an eighth of the height, offsets uniform) or `crop-flip` (the same,
            and a horizontal flip with probability one half).
        rng: on the CPU; draws the same numbers whatever the device of the images.
    """
    if policy == "none":
        return images
    batch, _, height, width = images.shape
    pad = max(height // 8, 1)
    padded = F.pad(images, (pad, pad, pad, pad))
    offset = torch.randint(0, 2 * pad + 1, (2, batch), generator=rng).to(images.device, non_blocking=True)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # (B, C, 2p+1, 2p+1, H, W), a view
    cropped = windows[torch.arange(batch, device=images.device), :, offset[0], offset[1]]  # (B, C, H, W)
    if policy == "crop":
        return cropped
    flip = (torch.rand(batch, generator=rng) < 0.5).to(images.device, non_blocking=True)
    return torch.where(flip[:, None, None, None], cropped.flip(3), cropped)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels (B, C, H, W) in [0, 255] -> float32 with zero mean and unit variance per channel, channels_last."""
    floats = images.to(torch.float32, memory_format=torch.channels_last, copy=True)
    return floats.sub_(mean).div_(std)


def channel_statistics(images: Images) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (1, C, 1, 1) float32 each, in units of grey levels [0, 255].

    Exact: from the 256-bin histogram of each channel, so memory stays that of one block of images.
    """
    levels = torch.arange(256, dtype=torch.float64)
    counts = torch.zeros(images.shape[1], 256, dtype=torch.int64)
    for block in images.split(BLOCK):
        for channel, pixels in enumerate(block.unbind(dim=1)):
            counts[channel] += torch.bincount(pixels.reshape(-1), minlength=256).cpu()
    stats = []
    for count in counts:
        share = count.double()
        share /= share.sum()
        mean = (share * levels).sum()
        stats.append(torch.stack([mean, (share * (levels - mean).square()).sum().sqrt()]))
    both = torch.stack(stats).float()  # (C, 2)
    return both[:, 0].reshape(1, -1, 1, 1), both[:, 1].clamp(min=1.0).reshape(1, -1, 1, 1)
