"""Small networks and batches in float64, so that a method can be held against its formula to the last digits."""

import pytest
import torch
from torch import nn

from benchmark import backbones
from benchmark.methods.base import Progress

CLASSES = 4


class Linear(nn.Module):
    """A network whose features are its images, given as (B, D); only the head has weights."""

    num_classes = CLASSES
    num_features = 5
    auxiliary = None

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, self.num_features, generator=rng, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(CLASSES, generator=rng, dtype=torch.float64))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return features @ self.weight.T + self.bias


@pytest.fixture
def linear64(rng: torch.Generator) -> Linear:
    return Linear(rng)


@pytest.fixture(scope="session")
def resnet64() -> backbones.Network:
    """timm's smallest ResNet for 32 px and 4 classes; stages of 8, 4, 2 and 1 px; in evaluation mode."""
    return backbones.build("test_resnet", {}, CLASSES, 3, 32, seed=0).double().eval()


@pytest.fixture(scope="session")
def vit64() -> backbones.Network:
    """timm's smallest ViT for 32 px: a class token and 4 x 4 patches of 8 px; in evaluation mode."""
    return backbones.build("test_vit", {"img_size": 32, "patch_size": 8}, CLASSES, 3, 32, seed=0).double().eval()


@pytest.fixture
def batch64(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Six images (6, 3, 32, 32) of classes 0 to 3, each met at least once."""
    images = torch.randn(6, 3, 32, 32, generator=rng, dtype=torch.float64)
    return images, torch.tensor([0, 1, 2, 3, 1, 2])[torch.randperm(6, generator=rng)]


@pytest.fixture
def progress() -> Progress:
    return Progress(epoch=3, fraction=0.5, train_acc=0.6, class_counts=torch.tensor([40, 30, 20, 10]))
