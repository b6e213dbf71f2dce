"""The fourteen operations of RandAugment and its successors, one of them for each image of a batch."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType

import torch
from torch import Tensor

from benchmark.methods.shared import image_ops


class Op(IntEnum):
    """The operations: five warps first, then the four blends, which have a sign too, then the others."""

    SHEAR_X = 0
    SHEAR_Y = 1
    TRANSLATE_X = 2
    TRANSLATE_Y = 3
    ROTATE = 4
    BRIGHTNESS = 5
    COLOR = 6
    CONTRAST = 7
    SHARPNESS = 8
    POSTERIZE = 9
    SOLARIZE = 10
    AUTOCONTRAST = 11
    EQUALIZE = 12
    IDENTITY = 13


LEVELS = 31  # strengths of an operation, from none to full


def strengths(shear: float, shift: tuple[float, float], degrees: float, blend: float, bits: int) -> Tensor:
    """What every operation is given at every level, in its own unit: torchvision's spaces.

    Args:
        shear: largest shift of a row or column over its distance from the edge.
        shift: largest translation in x and y, pixels.
        degrees: largest rotation.
        blend: largest distance of a blend's factor from 1.
        bits: most bits that posterising drops.

    Returns:
        (14, LEVELS) float64 on the CPU, rows in the order of Op.
    """
    rows = torch.zeros(len(Op), LEVELS, dtype=torch.float64)
    tops = (shear, shear, *shift, degrees, blend, blend, blend, blend)
    for op, top in enumerate(tops):
        rows[op] = torch.linspace(0, top, LEVELS)  # float32, as torchvision's
    rows[Op.POSTERIZE] = 8 - torch.linspace(0, bits, LEVELS).round()
    rows[Op.SOLARIZE] = image_ops.WHITE * torch.linspace(1, 0, LEVELS).double()
    return rows


def signed(ops: Tensor, values: Tensor, negative: Tensor) -> Tensor:
    """Strengths (B,) with the sign turned where `negative` holds and the operation has two directions."""
    return torch.where(negative & (ops <= Op.SHARPNESS), -values, values)


def apply(images: Tensor, ops: Tensor, values: Tensor, bilinear: bool = False) -> Tensor:
    """Every image after its own operation.

    The images of an operation are treated together, so a batch costs as many calls as there are operations.

    Args:
        images: (B, C, H, W) uint8, 1 or 3 channels.
        ops: (B,) int64 on the CPU, of Op.
        values: (B,) float64 on the CPU: strengths as in `strengths`, with their signs.
        bilinear: how warps sample; else the nearest pixel.
    """
    order = ops.argsort()
    counts = torch.bincount(ops, minlength=len(Op)).tolist()
    warped = sum(counts[: Op.ROTATE + 1])
    sizes = [warped, *counts[Op.BRIGHTNESS :]]
    place = order.to(images.device, non_blocking=True)
    groups, given = images.index_select(0, place).split(sizes), values[order].split(sizes)
    height, width = images.shape[2:]
    results = [image_ops.affine(groups[0], _warps(ops[order[:warped]], given[0], height, width), bilinear)]
    for op, group, strength in zip(list(Op)[Op.BRIGHTNESS :], groups[1:], given[1:], strict=True):
        results.append(_PIXELWISE[op](group, strength) if len(group) else group)
    return torch.cat(results).index_select(0, place.argsort())


def _warps(ops: Tensor, values: Tensor, height: int, width: int) -> Tensor:
    """Matrices (B, 2, 3) for image_ops.affine; shears keep the upper or left edge, shifts are whole pixels."""
    shear_x, shear_y, shift_x, shift_y, degrees = values * (ops == torch.arange(Op.ROTATE + 1)[:, None])
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    rows = (
        (cos, shear_x - sin, shear_x * (height / 2) - shift_x.trunc()),
        (shear_y + sin, cos, shear_y * (width / 2) - shift_y.trunc()),
    )
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


_PIXELWISE: Mapping[Op, Callable[[Tensor, Tensor], Tensor]] = MappingProxyType(
    {
        Op.BRIGHTNESS: lambda images, values: image_ops.brightness(images, 1 + values),
        Op.COLOR: lambda images, values: image_ops.color(images, 1 + values),
        Op.CONTRAST: lambda images, values: image_ops.contrast(images, 1 + values),
        Op.SHARPNESS: lambda images, values: image_ops.sharpness(images, 1 + values),
        Op.POSTERIZE: image_ops.posterize,
        Op.SOLARIZE: image_ops.solarize,
        Op.AUTOCONTRAST: lambda images, _: image_ops.autocontrast(images),
        Op.EQUALIZE: lambda images, _: image_ops.equalize(images),
        Op.IDENTITY: lambda images, _: images,
    }
)
