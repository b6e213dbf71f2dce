"""Unbalanced clouds of features, a rotation, and a relabelling."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

FINE_TO_COARSE = torch.tensor([0, 0, 1, 1, 1, 2])
FINE_SIZES = torch.tensor([2, 5, 3, 9, 1, 6])  # 26 images; fine class 4 has one


class Clouds(NamedTuple):
    features: Tensor  # (26, 5) float64
    fine: Tensor
    coarse: Tensor


@pytest.fixture
def clouds(rng: torch.Generator) -> Clouds:
    """Overlapping clouds around a random centre for each fine class, far from the origin, in random order."""
    fine = torch.arange(6).repeat_interleave(FINE_SIZES)[torch.randperm(26, generator=rng)]
    centres = torch.randn(6, 5, generator=rng, dtype=torch.float64)
    noise = torch.randn(26, 5, generator=rng, dtype=torch.float64)
    return Clouds(1 + centres[fine] + 0.7 * noise, fine, FINE_TO_COARSE[fine])


@pytest.fixture
def rotation(rng: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(5, 5, generator=rng, dtype=torch.float64)).Q


@pytest.fixture
def shuffle(rng: torch.Generator) -> Tensor:
    """A new order of the images."""
    return torch.randperm(26, generator=rng)


@pytest.fixture
def renamed() -> Tensor:
    """Other labels for classes 0 to 5: another order, with gaps."""
    return torch.tensor([40, 7, 12, 3, 99, 0])
