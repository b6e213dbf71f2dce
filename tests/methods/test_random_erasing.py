"""Random erasing against its formula, image by image in NumPy, and its special cases."""

import math

import numpy as np
import pytest
import torch

from benchmark.errors import InputError
from benchmark.methods.random_erasing import RandomErasing
from benchmark.registry import method as make


def one_by_one(images, p, low, high, r1, rng):
    """The official loop with the paper's noise, from the same draws."""
    batch, _, height, width = images.shape
    chance = torch.rand(batch, generator=rng).numpy()
    area_draw, aspect_draw = torch.rand(2, 10, batch, generator=rng, dtype=torch.float64).numpy()
    y_draw, x_draw = torch.rand(2, batch, generator=rng, dtype=torch.float64).numpy()
    words = torch.empty(math.ceil(images.numel() / 8), dtype=torch.int64).random_(-(2**63), None, generator=rng)
    noise = np.frombuffer(words.numpy().tobytes(), np.uint8)[: images.numel()].reshape(images.shape)
    out = images.numpy().copy()
    for i in range(batch):
        if chance[i] >= p:
            continue
        for attempt in range(10):
            area = (low + (high - low) * area_draw[attempt, i]) * height * width
            aspect = r1 + (1 / r1 - r1) * aspect_draw[attempt, i]
            rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if rows < height and columns < width:
                top, left = int(y_draw[i] * (height - rows + 1)), int(x_draw[i] * (width - columns + 1))
                box = (i, slice(None), slice(top, top + rows), slice(left, left + columns))
                out[box] = noise[box]
                break
    return out


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(32, 3, 32, 32), (33, 1, 28, 20), (17, 3, 8, 8), (1, 1, 9, 11)], ids=str)
def test_equals_its_formula(shape, seed, rng):
    images = torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)
    before = images.clone()
    mine = RandomErasing().views(images, torch.Generator().manual_seed(seed))
    theirs = one_by_one(images, 0.5, 0.02, 0.4, 0.3, torch.Generator().manual_seed(seed))
    assert mine.dtype == torch.uint8 and torch.equal(images, before)
    np.testing.assert_array_equal(mine.numpy(), theirs)


def test_chance_zero_is_the_baseline(rng):
    images = torch.randint(0, 256, (9, 3, 8, 8), generator=rng, dtype=torch.uint8)
    assert torch.equal(RandomErasing(probability=0).views(images, rng), images)
    floats, targets = images.float(), torch.eye(9)
    mixed, soft = RandomErasing().mix(floats, targets, rng)
    assert mixed is floats and soft is targets


def test_its_share_of_images_is_erased(rng):
    images = torch.zeros(2000, 1, 16, 16, dtype=torch.uint8)
    erased = (RandomErasing(probability=0.3).views(images, rng) > 0).any(dim=(1, 2, 3)).double().mean()
    assert float(erased) == pytest.approx(0.3, abs=0.05)  # five standard errors


def test_a_quarter_of_the_area_at_aspect_one_is_a_square_anywhere(rng):
    # sqrt(32 * 32 / 4) = 16 rows and columns; 17 places for its upper edge
    images = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    method = RandomErasing(probability=1, area_min=0.25, area_max=0.25, aspect=1)
    noisy = (method.views(images, rng) > 0).any(dim=1)  # (400, 32, 32); all three channels 0 by chance: 2 ** -24
    assert (noisy.sum(dim=(1, 2)) == 256).all()
    assert (noisy.any(dim=2).sum(dim=1) == 16).all()
    tops = noisy.any(dim=2).int().argmax(dim=1)
    assert set(tops.tolist()) == set(range(17))


def test_noise_is_uniform_over_grey_levels(rng):
    method = RandomErasing(probability=1, area_min=0.9, area_max=0.9, aspect=1)
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    noise = method.views(images, rng)[:, :, 2:30, 2:30]  # inside any such rectangle: 30 rows, so rows 2 to 29
    counts = torch.bincount(noise.flatten().long(), minlength=256).double()
    expected = noise.numel() / 256
    assert float(((counts - expected) ** 2 / expected).sum()) < 255 + 5 * math.sqrt(2 * 255)


def test_what_never_fits_is_left_out(rng):
    images = torch.randint(0, 256, (5, 1, 8, 8), generator=rng, dtype=torch.uint8)
    method = RandomErasing(probability=1, area_min=1, area_max=1, aspect=1)
    assert torch.equal(method.views(images, rng), images)


@pytest.mark.parametrize(
    "params", [{"probability": 1.1}, {"area_min": 0}, {"area_max": 1.5}, {"aspect": 0}, {"aspect": 1.2}]
)
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=f"method.random_erasing.{next(iter(params))}"):
        make("random_erasing", params)
