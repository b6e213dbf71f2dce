"""Crops, flips and normalisation against a slow reference that works image by image."""

import numpy as np
import pytest
import torch

from benchmark.data import policy

SHAPES = [(7, 3, 16, 16), (1, 1, 8, 8), (5, 3, 16, 24), (4, 1, 6, 6)]


def draw(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)


def augment_slowly(images: torch.Tensor, flips: bool, rng: torch.Generator) -> np.ndarray:
    """Every pixel by its own index: zero outside the image."""
    batch, _, height, width = images.shape
    pad = max(height // 8, 1)
    down, right = torch.randint(0, 2 * pad + 1, (2, batch), generator=rng).tolist()
    flip = (torch.rand(batch, generator=rng) < 0.5).tolist() if flips else [False] * batch
    out = np.zeros(images.shape, np.uint8)
    for i in range(batch):
        for y in range(height):
            for x in range(width):
                column = width - 1 - x if flip[i] else x
                from_y, from_x = y + down[i] - pad, column + right[i] - pad
                if 0 <= from_y < height and 0 <= from_x < width:
                    out[i, :, y, x] = images[i, :, from_y, from_x].numpy()
    return out


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["crop", "crop-flip"])
def test_augment_equals_a_slow_reference_under_the_same_draws(name: str, shape: tuple[int, ...], rng: torch.Generator):
    images = draw(shape, rng)
    before = images.clone()
    found = policy.augment(images, name, torch.Generator().manual_seed(3))
    expected = augment_slowly(images, name == "crop-flip", torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=0, atol=0)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_policy_none_returns_its_input_and_draws_nothing(rng: torch.Generator):
    images = draw((2, 3, 8, 8), rng)
    state = rng.get_state()
    assert policy.augment(images, "none", rng) is images
    assert torch.equal(rng.get_state(), state)


def test_draws_depend_on_the_batch_size_alone(rng: torch.Generator):
    """Paired comparisons need it: content, channels and layout of the images move no draw."""
    states = []
    for images in (draw((6, 3, 16, 16), rng), torch.zeros(6, 1, 16, 16, dtype=torch.uint8)):
        generator = torch.Generator().manual_seed(5)
        policy.augment(images.contiguous(memory_format=torch.channels_last), "crop-flip", generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_every_offset_and_both_flips_occur(rng: torch.Generator):
    images = torch.zeros(600, 1, 8, 8, dtype=torch.uint8)
    images[:, :, 3, 2] = 255  # one bright pixel; pad 1 and a flip move it to 3 rows and 6 columns
    found = torch.nonzero(policy.augment(images, "crop-flip", rng)[:, 0])[:, 1:].tolist()
    assert {tuple(place) for place in found} == {(y, x) for y in (2, 3, 4) for x in (1, 2, 3, 4, 5, 6)}


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_equal_numpy_and_normalise(channels: int, rng: torch.Generator):
    images = draw((40, channels, 9, 7), rng) // torch.arange(1, channels + 1, dtype=torch.uint8).reshape(1, -1, 1, 1)
    before = images.clone()
    mean, std = policy.channel_statistics(images)
    floats = images.numpy().astype(np.float64)
    expected_mean, expected_std = (torch.from_numpy(f(floats, axis=(0, 2, 3))).float() for f in (np.mean, np.std))
    torch.testing.assert_close(mean.flatten(), expected_mean, rtol=1e-5, atol=0)
    torch.testing.assert_close(std.flatten(), expected_std, rtol=1e-5, atol=0)
    normal = policy.normalise(images, mean, std)
    assert (mean.shape, normal.dtype) == ((1, channels, 1, 1), torch.float32)
    assert normal.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(channels), rtol=0, atol=1e-5)
    torch.testing.assert_close(normal.std((0, 2, 3), correction=0), torch.ones(channels), rtol=0, atol=1e-5)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalised_pixels_are_the_plain_formula_in_any_layout(layout, dtype, rng):
    images = draw((5, 3, 6, 4), rng).to(dtype).contiguous(memory_format=layout)
    before = images.clone()
    for mean, std in (
        (torch.rand(1, 3, 1, 1, generator=rng), torch.tensor([1.5, 2.0, 3.0]).reshape(1, 3, 1, 1)),
        (torch.tensor(120.0), torch.tensor(60.0)),
    ):
        assert torch.equal(policy.normalise(images, mean, std), (images.float() - mean) / std)
    assert torch.equal(images, before)


def test_constant_channel_is_centred_and_not_divided_by_zero():
    images = torch.full((4, 1, 8, 8), 37, dtype=torch.uint8)
    normal = policy.normalise(images, *policy.channel_statistics(images))
    torch.testing.assert_close(normal, torch.zeros_like(normal), rtol=0, atol=0)
