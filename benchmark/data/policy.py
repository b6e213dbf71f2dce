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
    batch, channels, height, width = images.shape
    pad = max(height // 8, 1)
    padded = F.pad(images, (pad, pad, pad, pad))
    offset = torch.randint(0, 2 * pad + 1, (2, batch, 1), generator=rng).to(images.device, non_blocking=True)
    rows, columns = (
        offset[axis] + torch.arange(edge, device=images.device) for axis, edge in enumerate((height, width))
    )
    if policy == "crop-flip":
        flip = (torch.rand(batch, 1, generator=rng) < 0.5).to(images.device, non_blocking=True)
        columns = torch.where(flip, columns.flip(1), columns)
    places = rows[:, :, None] * padded.shape[3] + columns[:, None, :]  # (B, H, W) of pixels in the padded image
    places = places.view(batch, 1, -1).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, places).view(images.shape)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Pixels (B, C, H, W) in [0, 255] -> float32 with zero mean and unit variance per channel, channels_last.

    Args:
        images: uint8 or float.
        mean: of each channel, (1, C, 1, 1), or of all, a scalar; grey levels.
        std: likewise, > 0.
    """
    pixels = images.permute(0, 2, 3, 1).contiguous()  # (B, H, W, C)
    floats = pixels.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
    # Rows of W * C numbers, against statistics as long: a CPU is twice as fast on them as on runs of C.
    mean, std = (
        statistic.expand(1, images.shape[1], 1, 1).flatten().repeat(images.shape[3]) for statistic in (mean, std)
    )
    floats.flatten(2).sub_(mean).div_(std)  # a view
    return floats.permute(0, 3, 1, 2)


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
