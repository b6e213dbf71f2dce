"""FMix: against Fourier sums written out, the exact share of its masks, their mean and their smoothness."""

import math

import numpy as np
import pytest
import torch
from reference import mixing

from benchmark import rng as draws
from benchmark.errors import InputError
from benchmark.methods.fmix import FMix, highest, low_frequency_noise
from benchmark.registry import method as make

SIZES = [(8, 8), (9, 13), (13, 8), (8, 9), (32, 48)]


def noise_by_sums(height, width, decay, rng):
    """The real inverse transform of a half spectrum, frequency by frequency: twice the real part of all that stand
    for themselves and their mirror image, once of those that are their own (0, and width / 2 if there is one)."""
    parts = torch.randn(height, width // 2 + 1, 2, generator=rng, dtype=torch.float64).numpy()
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    total = np.zeros((height, width))
    for k in range(height):
        for m in range(width // 2 + 1):
            up, right = (k if k < (height + 1) // 2 else k - height) / height, m / width
            scale = max(math.sqrt(up * up + right * right), 1 / max(height, width)) ** -decay
            times = 1 if m in (0, width / 2) else 2
            value = scale * (parts[k, m, 0] + 1j * parts[k, m, 1])
            total += times * (value * np.exp(2j * np.pi * (up * y + right * x))).real
    return total / (height * width)


def mask_by_sorting(noise, lam):
    places = sorted(np.ndindex(noise.shape), key=lambda place: -noise[place])
    mask = np.zeros(noise.shape)
    for place in places[: round(lam * noise.size)]:
        mask[place] = 1
    return mask


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decay", [0.0, 3.0])
def test_noise_equals_its_fourier_sum(size, decay):
    noise = low_frequency_noise(*size, decay, torch.Generator().manual_seed(3))
    expected = noise_by_sums(*size, decay, torch.Generator().manual_seed(3))
    np.testing.assert_allclose(noise.numpy(), expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(5))
def test_loss_equals_the_loop(resnet64, batch64, progress, seed):
    images, labels = batch64
    loss = FMix().loss(resnet64, images, labels, progress, torch.Generator().manual_seed(seed))

    same = torch.Generator().manual_seed(seed)
    lam = draws.beta(1.0, same)
    mask = mask_by_sorting(noise_by_sums(32, 32, 3, same), lam)
    order = mixing.permutation(6, same)
    logits = resnet64(torch.from_numpy(mixing.blend(images, order, mask)))
    expected = mixing.cross_entropy(logits, mixing.blend(mixing.one_hot(labels, 4), order, mask.mean()))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lam", [0.0, 0.004, 0.3, 0.5, 1.0])
def test_masks_are_binary_and_keep_exactly_their_share(size, lam, rng):
    mask = highest(low_frequency_noise(*size, 3, rng), lam)
    assert mask.shape == size and set(mask.unique().tolist()) <= {0.0, 1.0}
    assert mask.sum() == round(lam * size[0] * size[1])


def test_every_pixel_is_kept_with_the_chance_the_mask_promises():
    generator = torch.Generator().manual_seed(0)
    mean = sum(highest(low_frequency_noise(9, 8, 3, generator), 0.25) for _ in range(1000)) / 1000
    # 18 of 72 pixels; a pixel's standard error is sqrt(1/4 * 3/4 / 1000) = 0.0137, five are 0.069
    assert (mean - 0.25).abs().max() < 0.069


def test_the_highest_by_hand():
    # round(0.5 * 4) = 2 of 4 places: those of 3 and 2
    mask = highest(torch.tensor([[0.0, 3.0], [2.0, -1.0]], dtype=torch.float64), 0.5)
    assert mask.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_faster_decay_makes_fewer_edges():
    def edges(decay):
        generator = torch.Generator().manual_seed(0)
        masks = torch.stack([highest(low_frequency_noise(32, 32, decay, generator), 0.5) for _ in range(20)])
        return masks.diff(dim=2).abs().mean().item()

    # white noise: neighbours differ with chance 1/2 (512 / 1023 exactly); the default is far smoother
    assert edges(0.0) == pytest.approx(0.5, abs=0.02)
    assert edges(3.0) < 0.1 < edges(1.0) < edges(0.0)


@pytest.mark.parametrize("seed", range(12))
def test_label_weight_equals_the_pixels_kept(seed):
    mixed, targets = FMix().mix(
        mixing.sources(5, 9, 13), torch.eye(5, dtype=torch.float64), torch.Generator().manual_seed(seed)
    )
    for i in range(5):
        np.testing.assert_allclose(targets[i].numpy(), mixing.shares(mixed[i], 5), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("params", [{"alpha": 0}, {"decay": -1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.fmix.{next(iter(params))}"):
        make("fmix", params)
