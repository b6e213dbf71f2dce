"""Two views of each image, the augmentations of contrastive learning on CIFAR, as batch operations on pixels.

Source: Khosla et al., NeurIPS 2020 (SupCon), official code: random resized crop, colour jitter, random grayscale. The
horizontal flip is the recipe's and so the same in both views: a mirrored digit is another sign. Every image has draws
of its own; operations on a part of the batch take that part's indices from the CPU, so nothing waits for a GPU.
"""

from collections.abc import Callable, Sequence
from math import log

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from benchmark import rng as draws

SCALE = (0.2, 1.0)  # area of a crop over the image's
RATIO = (3 / 4, 4 / 3)  # width over height of a crop
TRIES = 10  # candidates for each crop
JITTER_SHARE = 0.8  # of images whose colours are jittered
STRENGTH = 0.4  # factors of brightness, contrast and saturation are uniform in 1 +- this
HUE_STRENGTH = 0.1  # turns of the colour wheel, uniform in +- this
GRAY_SHARE = 0.2
LUMA = (0.2989, 0.587, 0.114)  # ITU-R 601, as in torchvision
CPU = torch.device("cpu")

Operation = Callable[[Tensor, Tensor], Tensor]


def two_views(images: Tensor, rng: Generator) -> Tensor:
    """Two independently cropped and coloured copies of each image.

    Images without three channels keep their hues: no saturation, hue or grayscale.

    Args:
        images: (B, C, H, W) uint8 or float in [0, 255].
        rng: on the CPU.

    Returns:
        (2B, C, H, W) float32 in [0, 255], the first view of all images and then the second; not rounded.
    """
    pixels = images.repeat(2, 1, 1, 1).float()
    count, channels, height, width = pixels.shape
    views = resized_crops(pixels, random_boxes(count, height, width, rng))
    jitter_(views, rng)
    if channels == 3:
        gray_(views, rng)
    return views


def random_boxes(count: int, height: int, width: int, rng: Generator) -> Tensor:
    """Top, left, height and width of a crop for each image, (4, count) whole float32 on the CPU.

    Its area is uniform in SCALE, its ratio log-uniform in RATIO, its place uniform; of TRIES candidates the first that
    fits the image, else the largest box of a permitted ratio.
    """
    area = height * width * _between(*SCALE, (TRIES, count), rng)
    ratio = _between(log(RATIO[0]), log(RATIO[1]), (TRIES, count), rng).exp()
    heights, widths = (area / ratio).sqrt().round(), (area * ratio).sqrt().round()
    fits = (heights <= height) & (widths <= width)
    first = fits.byte().argmax(dim=0, keepdim=True)  # 0 where none fits
    some = fits.any(dim=0)
    box_height = torch.where(some, heights.gather(0, first)[0], min(height, round(width / RATIO[0])))
    box_width = torch.where(some, widths.gather(0, first)[0], min(width, round(height * RATIO[1])))
    place = draws.uniforms((2, count), rng, CPU)
    top, left = (place * torch.stack([height - box_height + 1, width - box_width + 1])).floor()
    return torch.stack([top, left, box_height, box_width])


def resized_crops(images: Tensor, boxes: Tensor) -> Tensor:
    """Crops brought back to the size of the images, bilinearly.

    Args:
        images: (N, C, H, W) float.
        boxes: (4, N), as of `random_boxes`.
    """
    height, width = images.shape[2:]
    top, left, box_height, box_width = boxes.to(images.device, images.dtype, non_blocking=True)
    rows = _sample_points(top, box_height, height)[:, :, None].expand(-1, -1, width)
    columns = _sample_points(left, box_width, width)[:, None, :].expand(-1, height, -1)
    return F.grid_sample(images, torch.stack([columns, rows], dim=3), align_corners=False)


def _sample_points(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where `size` pixels sample the part [start, start + length) of an axis, (N, size) in grid_sample's [-1, 1].

    Points stay between the centres of the part's outer pixels, so that none outside it shines in.
    """
    steps = (torch.arange(size, device=start.device, dtype=start.dtype) + 0.5) / size
    points = torch.clamp(steps * length[:, None], min=0.5).minimum(length[:, None] - 0.5) + start[:, None]
    return points * (2 / size) - 1


def jitter_(images: Tensor, rng: Generator) -> None:
    """Change brightness, contrast, saturation and hue of a share of the images, in an order drawn for each; in place.

    The images of a turn are worked on by groups of equal operation.

    Args:
        images: (N, C, H, W) float in [0, 255]; without three channels only brightness and contrast change.
        rng: on the CPU.
    """
    operations = OPERATIONS if images.shape[1] == 3 else OPERATIONS[:2]
    count, kinds = len(images), len(operations)
    chosen = draws.uniforms((count,), rng, CPU) < JITTER_SHARE
    order = draws.uniforms((count, kinds), rng, CPU).argsort(dim=1)
    amounts = draws.uniforms((kinds, count), rng, images.device) * 2 - 1  # [-1, 1)
    for turn in range(kinds):
        for kind, (operation, centre, strength) in enumerate(operations):
            group = _indices(chosen & (order[:, turn] == kind), images.device)
            changed = operation(images.index_select(0, group), centre + strength * amounts[kind, group])
            images.index_copy_(0, group, changed)


def gray_(images: Tensor, rng: Generator) -> None:
    """Take the colours from a share of the images (N, 3, H, W), in place."""
    group = _indices(draws.uniforms((len(images),), rng, CPU) < GRAY_SHARE, images.device)
    images.index_copy_(0, group, luma(images.index_select(0, group)).expand(-1, 3, -1, -1))


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Pixels times the factor, (N,)."""
    return (images * _each(factor)).clamp_(0, 255)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Pixels moved from the image's mean luma, or to it for a factor below 1."""
    mean = luma(images).mean(dim=(1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, _each(factor)).clamp_(0, 255)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Pixels moved from their own luma, or to it for a factor below 1; three channels."""
    return torch.lerp(luma(images), images, _each(factor)).clamp_(0, 255)


def hue(images: Tensor, shift: Tensor) -> Tensor:
    """Pixels turned on the colour wheel of HSV by a shift in turns, (N,); three channels.

    Between a pixel's lowest and highest channel, each channel's share is a trapezium of the hue.
    """
    red, green, blue = images.unbind(dim=1)
    low, high = images.amin(dim=1), images.amax(dim=1)
    chroma = (high - low).clamp(min=1e-6)  # the hue of gray is of no matter
    # 0 where the channel is the highest, else 1; interpolating by that is several times faster than torch.where.
    not_red, not_green = (high - red).sign(), (high - green).sign()
    greenish, bluish = 2 + (blue - red) / chroma, 4 + (red - green) / chroma
    sixths = torch.lerp((green - blue) / chroma, torch.lerp(greenish, bluish, not_green), not_red)
    sixths = sixths + 6 * shift[:, None, None]
    sixths = sixths - 6 * (sixths / 6).floor()
    shares = torch.stack([(sixths - 3).abs() - 1, 2 - (sixths - 2).abs(), 2 - (sixths - 4).abs()], dim=1)
    return torch.addcmul(low[:, None], (high - low)[:, None], shares.clamp_(0, 1))


def luma(images: Tensor) -> Tensor:
    """Gray levels (N, 1, H, W) of colour images; the mean over channels of any others."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    gray: Tensor = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return gray


# Each with the centre and the half-width of its amount.
OPERATIONS: Sequence[tuple[Operation, float, float]] = (
    (brightness, 1.0, STRENGTH),
    (contrast, 1.0, STRENGTH),
    (saturation, 1.0, STRENGTH),
    (hue, 0.0, HUE_STRENGTH),
)


def _between(low: float, high: float, shape: Sequence[int], rng: Generator) -> Tensor:
    return low + (high - low) * draws.uniforms(shape, rng, CPU)


def _indices(mask: Tensor, device: torch.device) -> Tensor:
    """Where a mask on the CPU holds, on a device."""
    return mask.nonzero().squeeze(1).to(device, non_blocking=True)


def _each(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)."""
    return values[:, None, None, None]
