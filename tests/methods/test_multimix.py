"""MultiMix against a plain loop over combinations, the law of its weights, and special cases."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.multimix import MultiMix
from benchmark.registry import method as make


@pytest.fixture
def problem(linear64, rng):
    """Seven embeddings and their labels."""
    features = torch.randn(7, 5, generator=rng, dtype=torch.float64)
    return linear64, features, torch.tensor([0, 1, 2, 3, 1, 2, 0])


def lambdas_by_loop(seed, size, method):
    """The weights a seed draws, one row at a time: gamma draws over their sum."""
    same = torch.Generator().manual_seed(seed)
    torch.rand((), generator=same, dtype=torch.float64)  # whether to combine
    local = np.random.Generator(np.random.SFC64(torch.randint(2**62, (), generator=same).item()))
    alphas = [local.uniform(method.alpha_low, method.alpha_high) for _ in range(method.combinations)]
    rows = [local.standard_gamma(np.float32(a), size, dtype=np.float32).astype(float) for a in alphas]
    return [row / row.sum() for row in rows]


def one_cross_entropy(network, point, target):
    z = network.weight.detach().numpy() @ point + network.bias.detach().numpy()
    norm = max(z) + math.log(sum(math.exp(v - max(z)) for v in z))
    return -sum(t * (v - norm) for t, v in zip(target, z, strict=True))


@pytest.mark.parametrize("params", [{"combinations": 60}, {"combinations": 3, "alpha_low": 0.1, "alpha_high": 5}])
def test_equals_the_loop_over_combinations(problem, progress, params):
    network, features, labels = problem
    method = MultiMix(probability=1, **params)
    for seed in range(3):
        loss = method.loss(network, features, labels, progress, torch.Generator().manual_seed(seed))
        total = 0.0
        for row in lambdas_by_loop(seed, 7, method):
            point = sum(row[i] * features[i].numpy() for i in range(7))
            target = [sum(row[i] for i in range(7) if labels[i] == k) for k in range(4)]
            total += one_cross_entropy(network, point, target)
        assert loss.item() == pytest.approx(total / method.combinations, rel=1e-6)


def test_other_batches_are_input_mixup(resnet64, batch64, progress):
    images, labels = batch64
    method, mixed = MultiMix(mixup_alpha=0.7), 0
    for seed in range(12):
        same = torch.Generator().manual_seed(seed)
        if draws.uniform(same) < 0.5:
            continue
        mixed += 1
        lam, order = draws.beta(0.7, same), torch.randperm(6, generator=same)
        logits = resnet64(lam * images + (1 - lam) * images[order])
        expected = lam * F.cross_entropy(logits, labels) + (1 - lam) * F.cross_entropy(logits, labels[order])
        loss = method.loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
        torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    assert 0 < mixed < 12


def test_weights_follow_the_dirichlet_law():
    # Dirichlet(a, ..., a) over m = 4: mean 1/4, variance (m - 1) / (m^2 (m a + 1)) = 3 / (16 (4 a + 1)).
    for alpha in (0.3, 2.0):
        method = MultiMix(combinations=40_000, alpha_low=alpha, alpha_high=alpha)
        rows = method.weights(4, torch.Generator().manual_seed(0)).double()
        assert (rows >= 0).all()
        torch.testing.assert_close(rows.sum(dim=1), torch.ones(40_000, dtype=torch.float64), rtol=0, atol=1e-6)
        variance = 3 / (16 * (4 * alpha + 1))
        deviation = 5 * (variance / 40_000) ** 0.5
        torch.testing.assert_close(rows.mean(dim=0), torch.full((4,), 0.25).double(), rtol=0, atol=deviation)
        torch.testing.assert_close(rows.var(dim=0), torch.full((4,), variance).double(), rtol=0.05, atol=0)


def test_alpha_is_drawn_between_its_bounds_for_each_combination():
    # E v = 1/4 and v's mean square is 1/16 + 3 / (16 (4 a + 1)); over a ~ U[1/2, 2] the mean of 1 / (4 a + 1) is
    # ln(9 / 3) / (4 * 3/2) = 0.1831.
    rows = MultiMix(combinations=40_000).weights(4, torch.Generator().manual_seed(0)).double()
    assert rows.square().mean().item() == pytest.approx(1 / 16 + 3 / 16 * math.log(3) / 6, rel=0.01)
    narrow = MultiMix(combinations=40_000, alpha_low=1.25, alpha_high=1.25).weights(4, torch.Generator().manual_seed(0))
    assert rows.square().mean() > narrow.square().mean() * 1.02  # 1 / (4 a + 1) is convex


def test_one_image_is_the_baseline(problem, progress):
    network, features, labels = problem
    for alpha in (0.05, 1.0):
        method = MultiMix(probability=1, alpha_low=alpha, alpha_high=alpha)
        loss = method.loss(network, features[:1], labels[:1], progress, torch.Generator().manual_seed(0))
        torch.testing.assert_close(loss, F.cross_entropy(network.classify(features[:1]), labels[:1]))


def test_targets_keep_mass_one_under_autocast(progress):
    # A head whose logits are all 0 gives ln 4 for any targets of mass 1.
    images = torch.zeros(64, 3, 32, 32)
    labels = torch.arange(64) % 4
    with torch.autocast("cpu", torch.bfloat16):
        loss = MultiMix(probability=1).loss(ZeroLogits(), images, labels, progress, torch.Generator())
    assert loss.item() == pytest.approx(math.log(4), rel=1e-5)


class ZeroLogits:
    """Features and logits of zeros."""

    num_classes = 4

    def features(self, images):
        return torch.zeros(len(images), 5)

    def classify(self, features):
        return torch.zeros(len(features), 4)


@pytest.mark.parametrize(
    "params",
    [{"combinations": 0}, {"alpha_low": 0}, {"alpha_high": -1}, {"probability": 1.5}, {"mixup_alpha": 0}],
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.multimix.{next(iter(params))}"):
        make("multimix", params)
