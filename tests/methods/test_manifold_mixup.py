"""Manifold and midpoint mixup against their formulas."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import backbones
from benchmark import rng as draws
from benchmark.methods.base import Progress, one_hot
from benchmark.methods.manifold_mixup import ManifoldMixup
from benchmark.methods.midpoint_mixup import MidpointMixup

PROGRESS = Progress(0, 0.0, 0.0, torch.ones(3))


@pytest.fixture(scope="module")
def network():
    return backbones.build("test_resnet", {}, 3, 3, 32, seed=0).eval()


@pytest.fixture
def batch(rng):
    return torch.randn(8, 3, 32, 32, generator=rng), torch.randint(0, 3, (8,), generator=rng)


def cross_entropy_by_loop(logits, targets):
    total = 0.0
    for z, t in zip(logits.detach().double().numpy(), targets.double().numpy(), strict=True):
        log_p = z - z.max() - np.log(np.exp(z - z.max()).sum())
        total -= (t * log_p).sum()
    return total / len(logits)


def stage_by_hand(network, images, stage, lam, order):
    """ResNet run module by module, mixed after a stage; -1 is the input."""
    model = network.model
    x = images if stage >= 0 else lam * images + (1 - lam) * images[order]
    x = model.maxpool(model.act1(model.bn1(model.conv1(x))))
    for index, layer in enumerate([model.layer1, model.layer2, model.layer3, model.layer4]):
        x = layer(x)
        if index == stage:
            x = lam * x + (1 - lam) * x[order]
    return model.fc(model.global_pool(x))


def test_manifold_mixup_equals_a_hand_run_at_every_stage(network, batch):
    images, labels = batch
    met = set()
    for seed in range(12):
        loss = ManifoldMixup().loss(network, images, labels, PROGRESS, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        stage = int(torch.randint(3, (), generator=same)) - 1
        lam, order = draws.beta(2.0, same), torch.randperm(8, generator=same)
        y = one_hot(labels, 3)
        logits = stage_by_hand(network, images, stage, lam, order)
        expected = cross_entropy_by_loop(logits, lam * y + (1 - lam) * y[order])
        assert loss.item() == pytest.approx(expected, rel=1e-5)  # logits leave the network in float32
        met.add(stage)
    assert met == {-1, 0, 1}


def test_manifold_mixup_without_stages_mixes_the_input_only(network, batch):
    images, labels = batch
    loss = ManifoldMixup(stages=0).loss(network, images, labels, PROGRESS, torch.Generator().manual_seed(1))
    same = torch.Generator().manual_seed(1)
    torch.randint(1, (), generator=same)
    lam, order = draws.beta(2.0, same), torch.randperm(8, generator=same)
    y = one_hot(labels, 3)
    expected = cross_entropy_by_loop(network(lam * images + (1 - lam) * images[order]), lam * y + (1 - lam) * y[order])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_midpoint_mixup_averages_the_two_one_sided_losses(network, batch):
    # CE at a half-and-half label is the mean of the CEs at the two labels.
    images, labels = batch
    loss = MidpointMixup().loss(network, images, labels, PROGRESS, torch.Generator().manual_seed(3))
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    features = network.features(images)
    logits = network.classify((features + features[order]) / 2)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits, labels[order])) / 2
    torch.testing.assert_close(loss, expected)
