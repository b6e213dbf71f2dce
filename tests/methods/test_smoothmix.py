"""SmoothMix: against a loop over pixels, by hand, and its limits."""

import math

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark.errors import InputError
from benchmark.methods.smoothmix import SmoothMix
from benchmark.registry import method as make


def mask_by_loop(height, width, rng):
    sigma = 0.25 + 0.25 * mixing.uniform(rng)
    y, x = math.floor(mixing.uniform(rng) * height), math.floor(mixing.uniform(rng) * width)
    mask = np.zeros((height, width))
    for r in range(height):
        for c in range(width):
            mask[r, c] = math.exp(-((r - y) ** 2) / (2 * (sigma * height) ** 2)) * math.exp(
                -((c - x) ** 2) / (2 * (sigma * width) ** 2)
            )
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = SmoothMix().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    mask = mask_by_loop(32, 32, same)
    order = mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, mask)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, mask.mean()))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_images_that_are_not_square_equal_the_loop(rng, seed):
    images, targets = torch.randn(5, 1, 9, 14, generator=rng, dtype=torch.float64), torch.eye(5).double()
    mixed, soft = SmoothMix().mix(images, targets, torch.Generator().manual_seed(seed))
    same = torch.Generator().manual_seed(seed)
    mask = mask_by_loop(9, 14, same)
    order = mixing.permutation(5, same)
    np.testing.assert_allclose(mixed.numpy(), mixing.blend(images, order, mask), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(soft.numpy(), mixing.blend(targets, order, mask.mean()), rtol=1e-6, atol=1e-12)


def test_the_bump_by_hand():
    # Image 0 is 1 and image 1 is 0, so image 0 mixed with image 1 is the mask itself. sigma = 1/4 of 4 px = 1 px:
    # 1 at the centre, exp(-1/2) beside it, exp(-1) diagonally, and the label's weight is the mean.
    images = torch.tensor([1.0, 0.0], dtype=torch.float64)[:, None, None, None].expand(2, 1, 4, 4)
    method, met = SmoothMix(sigma_min=0.25, sigma_max=0.25), 0
    for seed in range(10):
        mixed, targets = method.mix(images, torch.eye(2).double(), torch.Generator().manual_seed(seed))
        if targets[0, 0] == 1:  # paired with itself
            continue
        mask, met = mixed[0, 0], met + 1
        y, x = divmod(int(mask.argmax()), 4)
        assert mask[y, x] == 1 and (mask == 1).sum() == 1
        assert mask[y, x - 1 if x else 1].item() == pytest.approx(math.exp(-0.5))
        assert mask[y - 1 if y else 1, x - 1 if x else 1].item() == pytest.approx(math.exp(-1))
        assert targets[0].tolist() == pytest.approx([mask.mean().item(), 1 - mask.mean().item()])
    assert met > 2


def test_centres_are_uniform_over_the_pixels():
    # 3 x 3 pixels, 450 draws, 50 each; five standard deviations are 33. Image 0 paired with image 1 is the mask.
    generator, images = (
        torch.Generator().manual_seed(0),
        torch.tensor([1.0, 0.0])[:, None, None, None].expand(2, 1, 3, 3),
    )
    counts = torch.zeros(9)
    while counts.sum() < 450:
        mixed, targets = SmoothMix().mix(images, torch.eye(2), generator)
        if targets[0, 0] < 1:
            counts[mixed[0].argmax()] += 1
    assert counts.min() > 17 and counts.max() < 83


def test_a_very_wide_bump_is_the_baseline(rng):
    images, targets = torch.randn(6, 3, 8, 8, generator=rng, dtype=torch.float64), torch.eye(6).double()
    mixed, soft = SmoothMix(sigma_min=1e6, sigma_max=1e6).mix(images, targets, rng)
    torch.testing.assert_close(mixed, images, rtol=0, atol=1e-10)
    torch.testing.assert_close(soft, targets, rtol=0, atol=1e-10)


@pytest.mark.parametrize("params", [{"sigma_min": 0}, {"sigma_max": 0}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.smoothmix.{next(iter(params))}"):
        make("smoothmix", params)
