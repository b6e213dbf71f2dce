"""Where an image, or a network at an image, has its salient parts: maps that several methods mix by.

All are (B, H, W), non-negative, need no gradient and wait for no device.
"""

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.backbones import Network

RADII = (12, 24, 48, 28, 56, 112)  # of the surrounds, pixels: OpenCV's two octaves of 3 * 4 and of 7 * 4
BINOMIAL = (0.25, 0.5, 0.25)  # a 3 x 3 Gaussian in OpenCV
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def centre_surround(images: Tensor) -> Tensor:
    """Differences of each pixel from the means of six windows around it, brighter and darker ones scaled apart.

    With g the intensity smoothed twice by a 3 x 3 Gaussian and m_r the mean of the other pixels in the window
    [x - r + 1, x + r] of radius r, cut at the edges: S = on / max on + off / max off, where on = sum_r max(g - m_r, 0)
    and off = sum_r max(m_r - g, 0). After Montabone & Soto 2010 and OpenCV's StaticSaliencyFineGrained, which rounds
    to bytes at every step; this one does not, so the two agree in shape and not in bits.

    Args:
        images: (B, C, H, W) float, normalised.

    Returns:
        (B, H, W), in [0, 2].
    """
    grey = filtered(filtered(intensity(images), BINOMIAL, "reflect"), BINOMIAL, "reflect")
    brighter = contrast = torch.zeros_like(grey)  # sums over the windows of max(g - m, 0) and of g - m
    for radius, times in Counter(min(radius, max(grey.shape[1:])) for radius in RADII).items():
        difference = times * (grey - _mean_of_others(grey, radius))
        brighter, contrast = brighter + difference.clamp(min=0), contrast + difference
    parts = brighter, brighter - contrast
    tiny = torch.finfo(grey.dtype).tiny
    brighter, darker = (part / part.amax(dim=(1, 2), keepdim=True).clamp(min=tiny) for part in parts)
    return brighter + darker


def class_activation(network: Network, images: Tensor, labels: Tensor) -> Tensor:
    """Class activation maps of the images' own classes, brought to the images' size, of sum 1.

    CAM = sum_c A_c dz_y / dA_c with A the maps of the last stage whose patches reach the logit z_y: behind a class
    token that is the stage before the last. Where global average pooling and a linear head follow, this is the map
    of Zhou et al., CVPR 2016, up to a factor. As in Huang et al., AAAI 2021 (SnapMix), it is resized bilinearly, its
    smallest value taken off and the rest divided by its sum; where nothing rests, all pixels weigh the same.
    The gradients of the weights are left alone.

    Args:
        network: with at least one stage.
        images: (B, C, H, W) float, normalised.
        labels: (B,) int64.

    Returns:
        (B, H, W), >= 0, each of sum 1.
    """
    seen: list[Tensor] = []

    def watch(hidden: Tensor) -> Tensor:
        seen.append(hidden.detach().requires_grad_())
        return seen[0]

    with torch.enable_grad():
        features = network.features(images, _last_spatial_stage(network), watch)
        logits = network.classify(features).gather(1, labels[:, None])
        (gradient,) = torch.autograd.grad(logits.sum(), seen[0])
    hidden = seen[0].detach().to(images.dtype)  # it may be of half precision
    maps = (network.to_maps(hidden) * network.to_maps(gradient)).sum(dim=1, keepdim=True)
    maps = maps - maps.amin(dim=(2, 3), keepdim=True)  # no contrast stays none, whatever is rounded below
    maps = F.interpolate(maps, size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return sum_to_one(maps - maps.amin(dim=(1, 2), keepdim=True))


def intensity(images: Tensor) -> Tensor:
    """Luma of three channels, the mean of any other number; (B, C, H, W) -> (B, H, W)."""
    if images.shape[1] != len(LUMA):
        return images.mean(dim=1)
    red, green, blue = images.unbind(dim=1)
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def sum_to_one(maps: Tensor) -> Tensor:
    """Non-negative maps (B, H, W) over their sums; uniform ones where the sum is zero."""
    total = maps.sum(dim=(1, 2), keepdim=True)
    uniform = torch.full_like(maps, 1 / maps[0].numel())
    return torch.where(total > 0, maps / total.clamp(min=torch.finfo(maps.dtype).tiny), uniform)


def filtered(maps: Tensor, weights: Sequence[float], edges: str) -> Tensor:
    """Maps (B, H, W) filtered by the same odd number of weights along both directions.

    Args:
        maps: any float.
        weights: of a symmetric filter.
        edges: what lies beyond them, "reflect" or "replicate".
    """
    half = len(weights) // 2
    padded = F.pad(maps[:, None], [half] * 4, mode=edges)[:, 0]
    return _weighted_shifts(_weighted_shifts(padded, weights, 1), weights, 2)


def _weighted_shifts(maps: Tensor, weights: Sequence[float], dim: int) -> Tensor:
    """Sum over k of w_k times the maps from position k on; shorter by the number of weights - 1."""
    size = maps.shape[dim] - len(weights) + 1
    result = weights[0] * maps.narrow(dim, 0, size)
    for start, weight in enumerate(weights[1:], 1):
        result.add_(maps.narrow(dim, start, size), alpha=weight)
    return result


def _mean_of_others(grey: Tensor, radius: int) -> Tensor:
    """Mean over the window [x - radius + 1, x + radius] of both directions, cut at the edges, its centre left out."""
    columns, heights = _window_sums(grey, radius)
    sums, widths = _window_sums(columns.transpose(1, 2), radius)
    return (sums.transpose(1, 2) - grey) / (heights[:, None] * widths - 1)


def _window_sums(maps: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Sums along the rows' direction over the window around each row, and the numbers of rows in it."""
    row = torch.arange(maps.shape[1], device=maps.device)
    first, behind = (row - radius + 1).clamp(min=0), (row + radius + 1).clamp(max=len(row))
    running = F.pad(maps, (0, 0, 1, 0)).cumsum(dim=1)
    return running.index_select(1, behind) - running.index_select(1, first), behind - first


def _last_spatial_stage(network: Network) -> int:
    """The last stage whose patches reach the logits; a class token reads them in a later block only."""
    behind_token = getattr(network.model, "num_prefix_tokens", 0) > 0
    return max(network.num_stages - 1 - behind_token, 0)
