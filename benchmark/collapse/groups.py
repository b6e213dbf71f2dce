"""What all collapse metrics start from: checked features, unit features, sums by class."""

import torch
from torch import Tensor


def checked(features: Tensor) -> Tensor:
    """Features in float64.

    Raises:
        ValueError: unless they are (N, D) with N, D >= 1 and finite.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"expected features (N, D) with N, D >= 1, got {tuple(features.shape)}")
    if not torch.isfinite(features).all():
        raise ValueError("features hold NaN or infinity; the network has diverged")
    return features.double()


def unit(features: Tensor) -> Tensor:
    """Features divided by their L2 norm, (N, D) float64.

    Raises:
        ValueError: if a feature is zero, which has no direction.
    """
    features = checked(features)
    lengths: Tensor = features.norm(dim=1, keepdim=True)
    zeros = int((lengths == 0).sum())
    if zeros:
        raise ValueError(f"{zeros} of {len(features)} features are zero and have no direction; the network is dead")
    return features / lengths  # F.normalize would leave those below 1e-12 too short


def class_means(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means and sizes of the classes that occur, and for each image the position of its class among them.

    Args:
        features: (N, D) float64.
        labels: (N,) int64, any values.

    Returns:
        means (K', D), sizes (K',) float64, positions (N,) int64.

    Raises:
        ValueError: if lengths differ.
    """
    if labels.shape != features.shape[:1]:
        raise ValueError(f"expected labels ({len(features)},), got {tuple(labels.shape)}")
    present, position = labels.unique(return_inverse=True)
    sizes = torch.bincount(position, minlength=len(present)).double()
    sums = torch.zeros(len(present), features.shape[1], dtype=features.dtype).index_add_(0, position, features)
    return sums / sizes[:, None], sizes, position
