"""Cutout against its formula, image by image in NumPy, and its special cases."""

import numpy as np
import pytest
import torch

from benchmark.errors import InputError
from benchmark.methods.cutout import Cutout
from benchmark.registry import method as make


def one_by_one(images, edge, rng):
    """Each image with a clipped square of zeros; centres drawn rows first."""
    batch, _, height, width = images.shape
    ys, xs = (torch.randint(size, (batch,), generator=rng).numpy() for size in (height, width))
    out = images.numpy().copy()
    for image, y, x in zip(out, ys, xs, strict=True):
        top, left = y - edge // 2, x - edge // 2
        image[:, max(top, 0) : min(top + edge, height), max(left, 0) : min(left + edge, width)] = 0
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("shape", "edge"), [((6, 3, 32, 32), 8), ((7, 1, 28, 20), 5), ((5, 3, 8, 8), 2), ((1, 3, 28, 28), 7)], ids=str
)
def test_equals_its_formula(shape, edge, seed, rng):
    images, targets = torch.randn(shape, generator=rng, dtype=torch.float64), torch.eye(shape[0])
    before = images.clone()
    mixed, soft = Cutout().mix(images, targets, torch.Generator().manual_seed(seed))
    np.testing.assert_array_equal(mixed.numpy(), one_by_one(images, edge, torch.Generator().manual_seed(seed)))
    assert soft is targets and torch.equal(images, before)


@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_the_cross_entropy_of_the_cut_images(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = Cutout(length=0.5).loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = resnet64(torch.from_numpy(one_by_one(images, 16, torch.Generator().manual_seed(seed)))).numpy()
    expected = np.mean([np.log(np.exp(z).sum()) - z[y] for z, y in zip(logits, labels.numpy(), strict=True)])
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_the_mean_hole_is_the_clipped_square(rng):
    # 8 of 32: a centre at 0, 1, 2, 3 keeps 4, 5, 6, 7 rows, one at 29, 30, 31 keeps 7, 6, 5, the 25 others all 8:
    # (22 + 18 + 200) / 32 = 7.5 rows, and as many columns, independent: 56.25 pixels
    mixed, _ = Cutout().mix(torch.ones(5000, 1, 32, 32), torch.eye(1), rng)
    areas = (mixed == 0).sum(dim=(1, 2, 3)).double()
    assert areas.max() == 64 and areas.min() == 16
    assert float(areas.mean()) == pytest.approx(56.25, abs=0.8)  # five standard errors


def test_a_hole_of_twice_the_image_leaves_nothing(rng):
    mixed, _ = Cutout(length=2).mix(torch.ones(50, 3, 8, 8), torch.eye(1), rng)
    assert not mixed.any()


@pytest.mark.parametrize("length", [0, -0.5, 2.1])
def test_parameters_out_of_range_are_refused(length):
    with pytest.raises(InputError, match=r"method\.cutout\.length"):
        make("cutout", {"length": length})
