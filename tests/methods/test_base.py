"""What methods share: interpolation, losses, saliency, boxes, masks and seeded modules."""

import numpy as np
import pytest
import torch
from reference import mixing
from torch import nn

from benchmark.methods.base import (
    input_saliency,
    interpolate,
    interpolate_each,
    one_hot,
    permuted,
    soft_cross_entropy,
)
from benchmark.methods.shared.boxes import Box, paste, random_box
from benchmark.methods.shared.masks import mix_by_mask
from benchmark.methods.shared.modules import seeded


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_interpolate_equals_the_loop(rng, lam):
    values = torch.randn(7, 2, 3, generator=rng, dtype=torch.float64)
    order = torch.randperm(7, generator=rng)
    expected = mixing.blend(values, order, lam)
    np.testing.assert_allclose(interpolate(values, order, lam).numpy(), expected, rtol=1e-6, atol=1e-12)


def test_interpolate_at_its_ends_is_exact(rng):
    values, order = torch.randn(5, 4, generator=rng), torch.randperm(5, generator=rng)
    assert torch.equal(interpolate(values, order, 1.0), values)
    assert torch.equal(interpolate(values, order, 0.0), values[order])


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 3, 5, 4)])
def test_interpolate_each_equals_the_loop(rng, shape):
    values = torch.randn(*shape, generator=rng, dtype=torch.float64)
    order, lam = torch.randperm(6, generator=rng), torch.rand(6, generator=rng)
    mixed = interpolate_each(values, order, lam)
    for i in range(6):
        weight = float(lam[i])
        expected = weight * values[i].numpy() + (1 - weight) * values[int(order[i])].numpy()
        np.testing.assert_allclose(mixed[i].numpy(), expected, rtol=1e-6, atol=1e-12)
    assert mixed.dtype == torch.float64


def test_soft_cross_entropy_equals_the_loop(rng):
    logits = 5 * torch.randn(8, 4, generator=rng, dtype=torch.float64)
    targets = torch.rand(8, 4, generator=rng, dtype=torch.float64)
    targets /= targets.sum(dim=1, keepdim=True)
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(mixing.cross_entropy(logits, targets), rel=1e-6)


def test_soft_cross_entropy_by_hand_and_at_huge_logits():
    # equal logits: log K whatever the target; a lead of 1000 on the wrong class: 1000
    half = torch.tensor([[0.5, 0.5, 0.0, 0.0]])
    assert soft_cross_entropy(torch.zeros(1, 4), half).item() == pytest.approx(np.log(4))
    assert soft_cross_entropy(torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item() == 1000


def test_one_hot_by_hand():
    targets = one_hot(torch.tensor([2, 0]), 3, torch.float64)
    assert targets.tolist() == [[0, 0, 1], [1, 0, 0]] and targets.dtype == torch.float64
    assert one_hot(torch.tensor([1]), 2).dtype == torch.float32


def test_input_saliency_equals_finite_differences(vit64, batch64):
    images, labels = batch64
    targets = one_hot(labels, 4, torch.float64)
    saliency = input_saliency(vit64, images, targets)
    assert saliency.shape == (6, 32, 32) and (saliency >= 0).all()

    step = 1e-4
    for i, y, x in [(0, 0, 0), (2, 17, 5), (5, 31, 12)]:
        slopes = []
        for channel in range(3):
            ends = []
            for sign in (1, -1):
                moved = images.clone()
                moved[i, channel, y, x] += sign * step
                ends.append(mixing.cross_entropy(vit64(moved), targets))
            slopes.append((ends[0] - ends[1]) / (2 * step))
        expected = np.sqrt(np.mean(np.square(slopes)))
        assert saliency[i, y, x].item() == pytest.approx(expected, rel=1e-6)


def test_input_saliency_leaves_weights_images_and_the_mode_of_gradients_alone(vit64, batch64):
    images, labels = batch64
    targets = one_hot(labels, 4, torch.float64)
    with torch.no_grad():
        inside = input_saliency(vit64, images, targets)
    assert torch.equal(inside, input_saliency(vit64, images, targets))
    assert not inside.requires_grad and not images.requires_grad and images.grad is None
    assert all(parameter.grad is None for parameter in vit64.parameters())


def test_box_share_by_hand():
    # rows 2..5 and columns 1..2: 3 * 1 of 6 * 4 pixels
    assert Box(2, 5, 1, 2).share(6, 4) == 3 / 24
    assert Box(0, 6, 0, 4).share(6, 4) == 1 and Box(3, 3, 0, 4).share(6, 4) == 0


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 14), (32, 32)])
@pytest.mark.parametrize("seed", range(10))
def test_random_box_equals_the_pixels_of_the_formula(height, width, seed):
    area = (seed + 1) / 10
    box = random_box(height, width, area, torch.Generator().manual_seed(seed))
    same = torch.Generator().manual_seed(seed)
    kept = mixing.box_mask(height, width, area, mixing.uniform(same), mixing.uniform(same))
    ours = np.ones((height, width))
    ours[box.top : box.bottom, box.left : box.right] = 0
    np.testing.assert_array_equal(ours, kept)
    assert box.share(height, width) == pytest.approx(1 - kept.mean(), abs=1e-12)


def test_paste_takes_the_box_from_the_other_and_copies(rng):
    images, before = mixing.sources(3, 4, 5), mixing.sources(3, 4, 5)
    mixed = paste(images, torch.tensor([1, 2, 0]), Box(1, 3, 0, 2))
    for i, j in ((0, 1), (1, 2), (2, 0)):
        for y in range(4):
            for x in range(5):
                assert mixed[i, 0, y, x] == (j if 1 <= y < 3 and x < 2 else i)
    assert torch.equal(images, before)


def test_mix_by_mask_equals_the_loop(rng):
    images = torch.randn(5, 3, 4, 6, generator=rng, dtype=torch.float64)
    targets, order = torch.eye(5).double(), torch.randperm(5, generator=rng)
    mask = torch.rand(4, 6, generator=rng, dtype=torch.float64)
    mixed, soft = mix_by_mask(images, targets, order, mask)
    np.testing.assert_allclose(mixed.numpy(), mixing.blend(images, order, mask), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(soft.numpy(), mixing.blend(targets, order, mask.mean()), rtol=1e-6, atol=1e-12)


def test_seeded_modules_come_from_their_generator_alone():
    def made(seed):
        return seeded(lambda: nn.Linear(3, 2), torch.Generator().manual_seed(seed)).weight

    before = torch.get_rng_state()
    first = made(0)
    torch.manual_seed(123)
    again = made(0)
    torch.set_rng_state(before)
    other = made(1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_permuted_has_the_value_and_gradient_of_indexing(rng):
    values = torch.randn(6, 3, 2, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    order, weights = torch.randperm(6, generator=rng), torch.randn(6, 3, 2, 2, generator=rng, dtype=torch.float64)
    ours, theirs = permuted(values, order), values[order]
    assert torch.equal(ours, theirs)
    gradients = [torch.autograd.grad((taken * weights).sum(), values)[0] for taken in (ours, theirs)]
    assert torch.equal(*gradients)
