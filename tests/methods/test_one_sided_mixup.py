"""One-sided mixup: against a loop over pairs, and as AM-mixup without its schedule."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.am_mixup import AMMixup
from benchmark.methods.one_sided_mixup import OneSidedMixup
from benchmark.registry import method as make


@pytest.fixture
def points(rng):
    return torch.randn(9, 5, generator=rng, dtype=torch.float64), torch.randint(0, 4, (9,), generator=rng)


def cross_entropy(network, point, label):
    z = network.weight.detach().numpy() @ point + network.bias.detach().numpy()
    return np.log(np.exp(z).sum()) - z[label]


@pytest.mark.parametrize("seed", range(6))
def test_equals_a_loop_over_pairs(linear64, points, progress, seed):
    images, labels = points
    loss = OneSidedMixup(alpha=0.7, weight=0.4).loss(
        linear64, images, labels, progress, torch.Generator().manual_seed(seed)
    )
    same = torch.Generator().manual_seed(seed)
    order = torch.randperm(9, generator=same).tolist()
    lam = draws.beta(0.7, same)
    z, y = images.numpy(), labels.numpy()
    clean = np.mean([cross_entropy(linear64, z[i], y[i]) for i in range(9)])
    mixed = []
    for i, j in enumerate(order):
        if y[i] != y[j]:
            nearer, other = (i, j) if lam >= 0.5 else (j, i)
            mixed.append(cross_entropy(linear64, lam * z[i] + (1 - lam) * z[j], y[nearer]))
            mixed.append(cross_entropy(linear64, lam * z[j] + (1 - lam) * z[i], y[other]))
    assert loss.item() == pytest.approx(clean + 0.4 * np.mean(mixed), rel=1e-6)


@pytest.mark.parametrize("stage", range(-1, 4))
@pytest.mark.parametrize("seed", range(3))
def test_is_am_mixup_without_its_schedule(resnet64, batch64, progress, stage, seed):
    losses = [
        method.loss(resnet64, *batch64, progress, torch.Generator().manual_seed(seed))
        for method in (OneSidedMixup(alpha=0.6, stage=stage), AMMixup(beta=0, alpha=0.6, schedule="beta", stage=stage))
    ]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1, 6])
def test_a_batch_of_one_class_is_the_baseline(linear64, points, progress, rng, size):
    images, labels = points[0][:size], torch.full((size,), 2)
    loss = OneSidedMixup().loss(linear64, images, labels, progress, rng)
    torch.testing.assert_close(loss, F.cross_entropy(linear64.classify(images), labels))


def test_a_backbone_without_the_stage_is_refused(resnet64):
    OneSidedMixup(stage=3).check(resnet64)
    with pytest.raises(InputError, match=r"hidden stage 3 is needed.*has 3"):
        OneSidedMixup(stage=3).check(SimpleNamespace(num_stages=3))


@pytest.mark.parametrize("params", [{"alpha": 0}, {"weight": -1}, {"stage": 4}, {"stage": -2}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.one_sided_mixup.{next(iter(params))}"):
        make("one_sided_mixup", params)
