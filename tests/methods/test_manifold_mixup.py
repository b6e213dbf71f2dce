"""Manifold mixup against a hand run, stage by stage."""

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.manifold_mixup import ManifoldMixup
from benchmark.registry import method as make


def cross_entropy_by_loop(logits, targets):
    total = 0.0
    for z, t in zip(logits.detach().numpy(), targets, strict=True):
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


@pytest.mark.parametrize("stages", [2, 4])
def test_equals_a_hand_run_at_every_stage(resnet64, batch64, progress, stages):
    images, labels = batch64
    met = set()
    for seed in range(20):
        method = ManifoldMixup(stages=stages)
        loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        stage = int(torch.randint(1 + stages, (), generator=same)) - 1
        lam, order = draws.beta(2.0, same), torch.randperm(6, generator=same)
        y = np.eye(4)[labels]
        logits = stage_by_hand(resnet64, images, stage, lam, order)
        expected = cross_entropy_by_loop(logits, lam * y + (1 - lam) * y[order])
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        met.add(stage)
    assert met == set(range(-1, stages))


def test_without_stages_it_mixes_the_input_only(resnet64, batch64, progress):
    images, labels = batch64
    for seed in range(4):
        loss = ManifoldMixup(stages=0).loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        same = torch.Generator().manual_seed(seed)
        torch.randint(1, (), generator=same)
        lam, order = draws.beta(2.0, same), torch.randperm(6, generator=same)
        y = np.eye(4)[labels]
        logits = resnet64(lam * images + (1 - lam) * images[order])
        expected = cross_entropy_by_loop(logits, lam * y + (1 - lam) * y[order])
        assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"stages": -1}, {"stages": 5}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.manifold_mixup.{next(iter(params))}"):
        make("manifold_mixup", params)
