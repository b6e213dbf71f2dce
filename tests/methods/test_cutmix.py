"""CutMix against its formula, its box, its label weights and the share of batches it mixes."""

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.cutmix import CutMix
from benchmark.registry import method as make


@pytest.mark.parametrize("seed", range(8))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = CutMix(probability=1).loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    mixing.uniform(same)  # whether to mix
    lam = draws.beta(1.0, same)
    mask = mixing.box_mask(32, 32, 1 - lam, mixing.uniform(same), mixing.uniform(same))
    order = mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, mask)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, mask.mean()))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_cutmix_label_weight_equals_the_pixels_kept(seed):
    images, targets = mixing.sources(5, 9, 7), torch.eye(5, dtype=torch.float64)
    mixed, targets = CutMix(probability=1).mix(images, targets, torch.Generator().manual_seed(seed))
    for i in range(5):
        np.testing.assert_allclose(targets[i].numpy(), mixing.shares(mixed[i], 5), rtol=1e-6, atol=1e-12)


def test_cutmix_pastes_one_box(rng):
    images = mixing.sources(4, 16, 16)
    for seed in range(20):
        mixed, _ = CutMix(probability=1).mix(images, torch.eye(4), torch.Generator().manual_seed(seed))
        foreign = (mixed[:, 0] != images[:, 0]).any(dim=0)  # (H, W)
        rows, columns = foreign.any(dim=1), foreign.any(dim=0)
        assert torch.equal(foreign, rows[:, None] & columns[None, :])


def test_cutmix_mixes_its_share_of_batches():
    images, targets = mixing.sources(4, 16, 16), torch.eye(4)
    generator = torch.Generator().manual_seed(0)
    untouched = sum(CutMix(probability=0.5).mix(images, targets, generator)[1] is targets for _ in range(1000))
    assert 440 < untouched < 560  # binomial(1000, 1/2): four standard deviations are 63


def test_cutmix_mean_area_follows_beta():
    # alpha = 1: lam is uniform, so half the area is pasted before clipping at the edges, which only keeps more.
    generator = torch.Generator().manual_seed(0)
    images, targets = torch.zeros(2, 1, 64, 64), torch.eye(2)
    kept = [float(CutMix(probability=1).mix(images, targets, generator)[1][0].max()) for _ in range(400)]
    assert 0.5 < np.mean(kept) < 0.9


@pytest.mark.parametrize("params", [{"alpha": 0}, {"probability": 1.1}, {"probability": -0.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.cutmix.{next(iter(params))}"):
        make("cutmix", params)
