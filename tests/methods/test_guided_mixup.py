"""GuidedMixup: spectral residual, pairing and mixing from their formulas in NumPy, and the special cases."""

import numpy as np
import pytest
import torch

from benchmark.errors import InputError
from benchmark.methods.guided_mixup import GuidedMixup, farthest_cycle, spectral_residual
from benchmark.registry import method as make


def reference_residual(image):
    """(C, H, W) -> (H, W)."""
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2] if len(image) == 3 else image.mean(axis=0)
    spectrum = np.fft.fft2(grey)
    amplitude = np.sqrt(np.abs(spectrum) ** 2 + 1e-10)
    padded = np.pad(np.log(amplitude), 1, mode="edge")
    height, width = grey.shape
    local = sum(padded[dy : dy + height, dx : dx + width] for dy in range(3) for dx in range(3)) / 9
    return np.abs(np.fft.ifft2(spectrum / amplitude * np.exp(np.log(amplitude) - local)))


def reference_blur(values):
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 3.0**2))
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    height, width = values.shape
    padded = np.pad(values, 3, mode="reflect")
    return sum(kernel[y, x] * padded[y : y + height, x : x + width] for y in range(7) for x in range(7))


def reference_cycle(distances):
    """Greedy path from the farthest pair on, over plain lists."""
    count = len(distances)
    pairs = [(-distances[i][j], i, j) for i in range(count) for j in range(count) if i != j]
    start = min(pairs)[1]
    path = [start]
    while len(path) < count:
        path.append(max((k for k in range(count) if k not in path), key=lambda k: distances[path[-1]][k]))
    return [path[(path.index(i) + 1) % count] for i in range(count)]


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 12, 9)])
def test_spectral_residual_equals_the_definition(shape, rng):
    images = torch.randn(3, *shape, generator=rng, dtype=torch.float64)
    expected = np.stack([reference_residual(image) for image in images.numpy()])
    np.testing.assert_allclose(spectral_residual(images).numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 9])
def test_the_cycle_is_the_greedy_one(size, rng):
    for _ in range(5):
        points = torch.rand(size, 4, generator=rng, dtype=torch.float64)
        distances = torch.cdist(points, points)
        assert farthest_cycle(distances).tolist() == reference_cycle(distances.tolist())


def test_the_cycle_by_hand():
    # On a line at 0, 1, 3, 10: the farthest pair is 0 and 3; from 3 (at 10) the farthest left is 1 (9), then 2, then 0.
    points = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    assert farthest_cycle(torch.cdist(points, points)).tolist() == [3, 2, 0, 1]


@pytest.mark.parametrize("seed", range(4))
def test_mix_equals_its_formula(seed):
    generator = torch.Generator().manual_seed(seed)
    images, targets = torch.randn(5, 3, 10, 12, generator=generator, dtype=torch.float64), torch.eye(5).double()
    mixed, soft = GuidedMixup(probability=1).mix(images, targets, generator)
    x = images.numpy()
    maps = [reference_blur(reference_blur(reference_residual(image))) for image in x]
    maps = [values / values.sum() for values in maps]
    order = reference_cycle([[np.linalg.norm(a - b) for b in maps] for a in maps])
    for i, j in enumerate(order):
        share = maps[i] / (maps[i] + maps[j])
        np.testing.assert_allclose(mixed[i].numpy(), share * x[i] + (1 - share) * x[j], rtol=1e-6, atol=1e-9)
        expected = share.mean() * np.eye(5)[i] + (1 - share.mean()) * np.eye(5)[j]
        np.testing.assert_allclose(soft[i].numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_equal_images_come_out_as_they_are(size, rng):
    images = torch.randn(1, 3, 8, 8, generator=rng).expand(size, -1, -1, -1)
    mixed, targets = GuidedMixup(probability=1).mix(images, torch.eye(size), rng)
    torch.testing.assert_close(mixed, images)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(size))
    if size > 1:
        torch.testing.assert_close(targets.diagonal(), torch.full((size,), 0.5))  # nobody is its own partner


def test_black_images_are_finite(rng):
    mixed, targets = GuidedMixup(probability=1).mix(torch.zeros(4, 1, 8, 8), torch.eye(4), rng)
    assert torch.isfinite(mixed).all() and torch.isfinite(targets).all()


def test_mixes_its_share_of_batches(rng):
    images, targets = torch.randn(2, 1, 8, 8, generator=rng), torch.eye(2)
    method = GuidedMixup(probability=0.25)
    untouched = sum(method.mix(images, targets, rng)[1] is targets for _ in range(400))
    assert 260 < untouched < 340  # binomial(400, 3/4): mean 300, four standard deviations are 35


@pytest.mark.parametrize("params", [{"probability": -0.1}, {"probability": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match=r"method.guided_mixup.probability"):
        make("guided_mixup", params)
