"""ResizeMix: against a slow resize and paste, by hand, its label weights, and where patches land."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark.errors import InputError
from benchmark.methods.resizemix import ResizeMix
from benchmark.registry import method as make


def triangle_weights(old, new):
    """(new, old): how much of each old pixel goes into a new one, a tent as wide as the shrinking."""
    weights = np.zeros((new, old))
    for j in range(new):
        for i in range(old):
            distance = abs((i + 0.5) - (j + 0.5) * old / new) * new / old
            weights[j, i] = max(0.0, 1 - distance)
        weights[j] /= weights[j].sum()
    return weights


def resize_paste(images, order, patch, place):
    rows, columns = patch
    down, across = triangle_weights(images.shape[2], rows), triangle_weights(images.shape[3], columns)
    mixed = images.numpy().copy()
    for i, j in enumerate(order):
        for channel in range(images.shape[1]):
            small = down @ images[j, channel].numpy() @ across.T
            mixed[i, channel, place[0] : place[0] + rows, place[1] : place[1] + columns] = small
    return mixed


@pytest.mark.parametrize("seed", range(8))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = ResizeMix().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    edge = math.floor(32 * (0.1 + 0.7 * mixing.uniform(same)))
    place = [math.floor(mixing.uniform(same) * (33 - edge)) for _ in range(2)]
    order = mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(resize_paste(images, order, (edge, edge), place)))
    lam = 1 - edge**2 / 32**2
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, lam))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_label_weight_equals_the_pixels_kept(seed):
    mixed, targets = ResizeMix().mix(
        mixing.sources(5, 9, 13), torch.eye(5, dtype=torch.float64), torch.Generator().manual_seed(seed)
    )
    for i in range(5):
        np.testing.assert_allclose(targets[i].numpy(), mixing.shares(mixed[i].round(decimals=9), 5), rtol=1e-6)


def test_half_the_edge_by_hand(rng):
    # tau = 1/2 on 4 x 4: a 2 x 2 patch, 4 of 16 pixels, so the pasted image weighs 1/4.
    method = ResizeMix(scale_min=0.5, scale_max=0.5)
    for _ in range(10):
        _, targets = method.mix(mixing.sources(2, 4, 4), torch.eye(2), rng)
        assert targets[0].tolist() in ([1.0, 0.0], [0.75, 0.25])  # paired with itself, or with the other


def test_a_patch_of_full_size_is_the_other_image(rng):
    images, targets = torch.randn(6, 3, 9, 8, generator=rng, dtype=torch.float64), torch.eye(6).double()
    mixed, soft = ResizeMix(scale_min=1, scale_max=1).mix(images, targets, rng)
    order = soft.argmax(dim=1)
    torch.testing.assert_close(soft, targets[order])
    torch.testing.assert_close(mixed, images[order], rtol=1e-12, atol=1e-12)


def test_patches_land_everywhere_with_equal_chance():
    # 2 x 2 on 4 x 4: 3 x 3 places, 900 draws, 100 each; five standard deviations are 47.
    generator, method = torch.Generator().manual_seed(0), ResizeMix(scale_min=0.5, scale_max=0.5)
    places = Counter(method._place(4, 4, generator)[::2] for _ in range(900))
    assert set(places) == {(top, left) for top in range(3) for left in range(3)}
    assert all(53 < count < 147 for count in places.values())


def test_the_smallest_patch_is_one_pixel(rng):
    mixed, _ = ResizeMix(scale_min=0.01, scale_max=0.01).mix(mixing.sources(5, 8, 8), torch.eye(5), rng)
    changed = (mixed != mixing.sources(5, 8, 8)).sum(dim=(1, 2, 3))
    assert changed.max() == 1


@pytest.mark.parametrize("params", [{"scale_min": 0}, {"scale_min": 1.1}, {"scale_max": 0}, {"scale_max": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.resizemix.{next(iter(params))}"):
        make("resizemix", params)
