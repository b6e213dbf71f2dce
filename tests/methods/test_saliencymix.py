"""SaliencyMix: the detector and the pasting pixel by pixel from their formulas, and the special cases."""

import numpy as np
import pytest
import torch

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods import saliencymix
from benchmark.methods.saliencymix import SaliencyMix, salient_boxes
from benchmark.methods.shared.saliency import centre_surround
from benchmark.registry import method as make


def reference_saliency(image):
    """Pixel by pixel, (C, H, W) -> (H, W)."""
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2] if len(image) == 3 else image.mean(axis=0)
    height, width = grey.shape
    for _ in range(2):
        padded, smooth = np.pad(grey, 1, mode="reflect"), np.zeros_like(grey)
        for dy, wy in enumerate((1, 2, 1)):
            for dx, wx in enumerate((1, 2, 1)):
                smooth += wy * wx / 16 * padded[dy : dy + height, dx : dx + width]
        grey = smooth
    on, off = np.zeros_like(grey), np.zeros_like(grey)
    for y in range(height):
        for x in range(width):
            for r in (12, 24, 48, 28, 56, 112):
                window = grey[max(y - r + 1, 0) : y + r + 1, max(x - r + 1, 0) : x + r + 1]
                others = (window.sum() - grey[y, x]) / (window.size - 1)
                on[y, x] += max(grey[y, x] - others, 0)
                off[y, x] += max(others - grey[y, x], 0)
    return on / on.max() + off / off.max()


@pytest.mark.parametrize("shape", [(3, 9, 8), (1, 30, 17), (4, 16, 26)])
def test_saliency_equals_the_definition(shape, rng):
    images = torch.randn(2, *shape, generator=rng, dtype=torch.float64)
    expected = np.stack([reference_saliency(image) for image in images.numpy()])
    np.testing.assert_allclose(centre_surround(images).numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_mix_equals_its_formula(seed, rng):
    images, targets = torch.randn(5, 3, 12, 10, generator=rng, dtype=torch.float64), torch.eye(5, dtype=torch.float64)
    mixed, soft = SaliencyMix(probability=1, alpha=0.8).mix(images, targets, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    draws.uniform(same)
    lam, order = draws.beta(0.8, same), torch.randperm(5, generator=same).numpy()
    half_y, half_x = int(12 * (1 - lam) ** 0.5) // 2, int(10 * (1 - lam) ** 0.5) // 2
    x = images.numpy()
    for i in range(5):
        j = order[i]
        y, c = np.unravel_index(reference_saliency(x[j]).argmax(), (12, 10))
        top, bottom, left, right = max(y - half_y, 0), min(y + half_y, 12), max(c - half_x, 0), min(c + half_x, 10)
        expected = x[i].copy()
        expected[:, top:bottom, left:right] = x[j][:, top:bottom, left:right]
        np.testing.assert_array_equal(mixed[i].numpy(), expected)
        kept = 1 - (bottom - top) * (right - left) / 120
        np.testing.assert_allclose(soft[i].numpy(), kept * np.eye(5)[i] + (1 - kept) * np.eye(5)[j], atol=1e-6)


def test_the_box_is_around_the_most_salient_pixel(monkeypatch):
    monkeypatch.setattr(saliencymix, "centre_surround", lambda images: images[:, 0])
    images = torch.zeros(2, 1, 16, 16)
    images[0, 0, 3, 9] = images[1, 0, 12, 15] = 1.0
    boxes = salient_boxes(images, 0.5)  # edge 16 * 0.5 = 8, half 4
    assert boxes[0, 0:7, 5:13].all() and boxes[0].sum() == 7 * 8  # rows -1 to 7 and columns 5 to 13, cut at the top
    assert boxes[1, 8:16, 11:16].all() and boxes[1].sum() == 8 * 5  # rows 8 to 16, columns 11 to 19, cut at the right


def test_a_box_without_area_leaves_the_batch(rng):
    assert not salient_boxes(torch.randn(3, 3, 8, 8, generator=rng), 0.0).any()


def test_constant_images_are_mixed_without_failing(rng):
    mixed, targets = SaliencyMix(probability=1).mix(torch.zeros(3, 1, 8, 8), torch.eye(3), rng)
    assert torch.isfinite(mixed).all() and torch.isfinite(targets).all()


def test_mixes_its_share_of_batches(rng):
    images, targets = torch.randn(2, 1, 8, 8, generator=rng), torch.eye(2)
    method = SaliencyMix(probability=0.25)
    untouched = sum(method.mix(images, targets, rng)[1] is targets for _ in range(400))
    assert 260 < untouched < 340  # binomial(400, 3/4): mean 300, four standard deviations are 35


@pytest.mark.parametrize("params", [{"alpha": 0}, {"probability": -0.1}, {"probability": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.saliencymix.{next(iter(params))}"):
        make("saliencymix", params)
