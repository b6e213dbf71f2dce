"""Mixing of images in NumPy float64, image by image from the papers' formulas."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def cross_entropy(logits: torch.Tensor, targets: ArrayLike) -> float:
    """Mean over images of -sum_k t_k log softmax(z)_k."""
    total = 0.0
    for z, t in zip(logits.detach().numpy(), np.asarray(targets), strict=True):
        top = max(z)
        log_sum = top + math.log(sum(math.exp(value - top) for value in z))
        total += sum(weight * (log_sum - value) for weight, value in zip(t, z, strict=True))
    return total / len(logits)


def one_hot(labels: torch.Tensor, num_classes: int) -> Array:
    return np.array([[float(label == k) for k in range(num_classes)] for label in labels.tolist()])


def blend(values: ArrayLike, order: ArrayLike, lam: ArrayLike) -> Array:
    """Lam v_i + (1 - lam) v_order(i); lam is a number, or a mask over the pixels."""
    v, lam = np.asarray(values, np.float64), np.asarray(lam, np.float64)
    return np.stack([lam * v[i] + (1 - lam) * v[j] for i, j in enumerate(np.asarray(order))])


def box_mask(height: int, width: int, area: float, y_share: float, x_share: float) -> Array:
    """CutMix: 0 inside the box, 1 where the image keeps its pixels; the centre at shares of the edges."""
    rows, columns = int(height * math.sqrt(area)) // 2, int(width * math.sqrt(area)) // 2
    y, x = int(y_share * height), int(x_share * width)
    inside = [
        [y - rows <= r < y + rows and x - columns <= c < x + columns for c in range(width)] for r in range(height)
    ]
    return 1 - np.array(inside, np.float64)


def uniform(rng: torch.Generator) -> float:
    return torch.rand((), generator=rng, dtype=torch.float64).item()


def permutation(size: int, rng: torch.Generator) -> NDArray[np.int64]:
    return torch.randperm(size, generator=rng).numpy()


def sources(count: int, height: int, width: int) -> torch.Tensor:
    """Image i is the constant i, so that a pixel tells where it came from; (count, 1, H, W) float64."""
    return (
        torch.arange(float(count), dtype=torch.float64)[:, None, None, None].expand(-1, 1, height, width).contiguous()
    )


def shares(image: torch.Tensor, count: int) -> list[float]:
    """Share of an image's pixels that come from each of `sources`."""
    return [(image == source).double().mean().item() for source in range(count)]
