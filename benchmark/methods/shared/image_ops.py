"""Operations on uint8 images with a strength for each image of a batch, as torchvision computes them image by image.

All take (B, C, H, W) uint8 of 1 or 3 channels and (B,) float64 strengths on the CPU, and give new uint8 images. They
equal torchvision.transforms.v2.functional on tensors; on a processor that does not fuse multiplication and addition
the blends may be one grey level off. PIL, which the papers used, rounds blends and greys differently.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WHITE = 255
GREY = (0.2989, 0.587, 0.114)  # torchvision's luma of red, green and blue


def affine(images: Tensor, matrices: Tensor, bilinear: bool = False) -> Tensor:
    """Images sampled at other places; what lies outside them is 0.

    Args:
        images: (B, C, H, W) uint8.
        matrices: (B, 2, 3) float64 on the CPU, from a pixel's (x, y, 1) to where its value is taken from, in pixels
            from the image's centre.
        bilinear: else the nearest pixel.
    """
    height, width = images.shape[2:]
    matrices = matrices.float() / torch.tensor([width / 2, height / 2])[:, None]  # edges lie at -1 and 1
    a, b, c = matrices.to(images.device, non_blocking=True)[:, :, None, None].unbind(dim=4)  # (B, 2, 1, 1) each
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = torch.arange(height, device=images.device)[:, None] - (height - 1) / 2
    grid = (a * x + b * y + c).permute(0, 2, 3, 1)  # (B, H, W, 2)
    mode = "bilinear" if bilinear else "nearest"
    return F.grid_sample(images.float(), grid, mode, align_corners=False).round_().to(torch.uint8)


def brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Factor * x: 0 is black, 1 the image."""
    return _to_pixels(images * _each(factors, images))


def color(images: Tensor, factors: Tensor) -> Tensor:
    """Factor * x + (1 - factor) * grey(x): 0 is grey, 1 the image."""
    return images if images.shape[1] == 1 else _blend(images, _grey(images), factors)


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Factor * x + (1 - factor) * mean of grey(x): 0 is one flat grey, 1 the image."""
    return _blend(images, _grey(images).mean(dim=(1, 2, 3), keepdim=True), factors)


def sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Factor * x + (1 - factor) * smooth(x): 0 is smooth, 1 the image; the outermost pixels stay.

    The smoothing kernel is 1/13 for the eight neighbours and 5/13 for the pixel itself.
    """
    pixels = images.float()
    inner = pixels[:, :, 1:-1, 1:-1]
    rows = pixels[:, :, :-2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    squares = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]  # whole numbers, so no order of the sum matters
    smooth = ((squares + 4 * inner) / 13).round_()
    inner.addcmul_(smooth - inner, _each(1 - factors, images))
    return _to_pixels(pixels)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """The highest `bits` bits of each pixel, 0 to 8; the others are 0."""
    masks = (256 - 2 ** (8 - bits)).to(torch.uint8)
    return images & masks.to(images.device, non_blocking=True)[:, None, None, None]


def solarize(images: Tensor, thresholds: Tensor) -> Tensor:
    """Pixels at or above the threshold inverted."""
    return torch.where(images >= _each(thresholds, images), WHITE - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Each channel stretched to [0, 255]; a flat one stays."""
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    flat = low == high
    scale = ((high - low).float() * (1 / WHITE)).masked_fill(flat, 1)
    return _to_pixels((images - low.masked_fill(flat, 0)) / scale)


def equalize(images: Tensor) -> Tensor:
    """Each channel with an even histogram, by the integer arithmetic of PIL; one of too few pixels stays."""
    planes = images.flatten(0, 1).flatten(1).long()  # (B * C, H * W)
    counts = torch.zeros(len(planes), 256, dtype=torch.int64, device=images.device)
    counts.scatter_add_(1, planes, torch.ones_like(planes))
    brightest = counts.gather(1, planes.amax(dim=1, keepdim=True))
    step = (planes.shape[1] - brightest) // WHITE  # (B * C, 1)
    darker = counts.cumsum(dim=1) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp(max=WHITE)
    table = torch.where(step == 0, torch.arange(256, device=images.device), table).to(torch.uint8)
    return table.gather(1, planes).view_as(images)


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    return _to_pixels((images * _each(factors, images)).addcmul_(others, _each(1 - factors, images)))


def _grey(images: Tensor) -> Tensor:
    """(B, 1, H, W) float32, whole numbers."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.split(1, dim=1)
    grey: Tensor = (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
    return grey.floor_()


def _to_pixels(values: Tensor) -> Tensor:
    """Cut to [0, 255] and to whole numbers."""
    return values.clamp_(0, WHITE).to(torch.uint8)


def _each(strengths: Tensor, images: Tensor) -> Tensor:
    """(B,) on the CPU -> (B, 1, 1, 1) float32 beside the images."""
    return strengths.float().to(images.device, non_blocking=True)[:, None, None, None]
