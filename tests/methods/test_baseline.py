"""The baseline against the definition of cross-entropy."""

import pytest
import torch
from reference import mixing

from benchmark import registry


def test_baseline_leaves_the_batch_alone(rng):
    images, targets = torch.randn(5, 3, 8, 8, generator=rng), torch.eye(5)
    mixed, soft = registry.method("baseline", {}).mix(images, targets, rng)
    assert mixed is images and soft is targets


def test_loss_equals_the_loop(resnet64, batch64, progress, rng):
    images, labels = batch64
    loss = registry.method("baseline", {}).loss(resnet64, images, labels, progress, rng)
    expected = mixing.cross_entropy(resnet64(images), mixing.one_hot(labels, 4))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
