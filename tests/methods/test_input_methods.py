"""Input methods against their papers' formulas, image by image in NumPy, and their special cases."""

import numpy as np
import pytest
import torch

from benchmark import registry
from benchmark import rng as draws
from benchmark.methods.base import one_hot
from benchmark.methods.cutmix import CutMix
from benchmark.methods.label_smoothing import LabelSmoothing
from benchmark.methods.mixup import Mixup


def test_baseline_leaves_the_batch_alone(rng):
    images, targets = torch.randn(5, 3, 8, 8, generator=rng), torch.eye(5)
    mixed, soft = registry.method("baseline", {}).mix(images, targets, rng)
    assert mixed is images and soft is targets


def test_label_smoothing_by_hand():
    # K = 4, e = 0.2: 0.8 * 1 + 0.2 / 4 = 0.85 for the class, 0.05 for each other
    _, targets = LabelSmoothing(epsilon=0.2).mix(torch.zeros(1, 1, 2, 2), torch.eye(4)[:1], torch.Generator())
    torch.testing.assert_close(targets, torch.tensor([[0.85, 0.05, 0.05, 0.05]]))


def test_mixup_equals_its_formula(rng):
    images = torch.randn(6, 3, 8, 8, generator=rng)
    targets = one_hot(torch.tensor([0, 1, 2, 0, 1, 2]), 3)
    mixed, soft = Mixup(alpha=0.7).mix(images, targets, torch.Generator().manual_seed(5))

    same = torch.Generator().manual_seed(5)
    lam, order = draws.beta(0.7, same), torch.randperm(6, generator=same).numpy()
    x, y = images.double().numpy(), targets.double().numpy()
    expected_x = np.stack([lam * x[i] + (1 - lam) * x[order[i]] for i in range(6)])
    expected_y = np.stack([lam * y[i] + (1 - lam) * y[order[i]] for i in range(6)])
    np.testing.assert_allclose(mixed.numpy(), expected_x, rtol=1e-5, atol=1e-6)  # float32
    np.testing.assert_allclose(soft.numpy(), expected_y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_cutmix_label_weight_equals_the_pixels_kept(seed):
    # Image i is the constant i, so a pixel tells where it came from.
    images = torch.arange(5.0)[:, None, None, None].expand(5, 1, 9, 7).contiguous()
    mixed, targets = CutMix(probability=1).mix(images, torch.eye(5), torch.Generator().manual_seed(seed))
    for i in range(5):
        shares = [float((mixed[i] == source).double().mean()) for source in range(5)]
        np.testing.assert_allclose(targets[i].numpy(), shares, atol=1e-6)


def test_cutmix_pastes_one_box(rng):
    images = torch.arange(4.0)[:, None, None, None].expand(4, 1, 16, 16).contiguous()
    for seed in range(20):
        mixed, _ = CutMix(probability=1).mix(images, torch.eye(4), torch.Generator().manual_seed(seed))
        foreign = (mixed[:, 0] != images[:, 0]).any(dim=0)  # (H, W)
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns[None, :])


def test_cutmix_mixes_its_share_of_batches():
    images, targets = torch.arange(4.0)[:, None, None, None].expand(4, 1, 16, 16).contiguous(), torch.eye(4)
    generator = torch.Generator().manual_seed(0)
    untouched = sum(CutMix(probability=0.5).mix(images, targets, generator)[1] is targets for _ in range(1000))
    assert 440 < untouched < 560  # binomial(1000, 1/2): four standard deviations are 63


def test_cutmix_mean_area_follows_beta():
    # alpha = 1: lam is uniform, so half the area is pasted before clipping at the edges, which only keeps more.
    generator = torch.Generator().manual_seed(0)
    images, targets = torch.zeros(2, 1, 64, 64), torch.eye(2)
    kept = [float(CutMix(probability=1).mix(images, targets, generator)[1][0].max()) for _ in range(400)]
    assert 0.5 < np.mean(kept) < 0.9
