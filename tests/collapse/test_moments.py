from pathlib import Path

import numpy as np
import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import moments as module
from benchmark.collapse.moments import Moments, chunks, moments, within_root

CHUNKS = [1, 3, 25, 26, 27]


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-13)  # rounding of sums of some dozen terms


def assert_same(actual: Moments, expected: Moments) -> None:
    for name in ("labels", "sizes", "means", "spread", "copies"):
        assert_equal(getattr(actual, name), getattr(expected, name))


def test_moments_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [4.0, 4.0], [3.0, 2.0], [2.0, 1.0]])
    of = moments(features, torch.tensor([9, 2, 9, 9]))
    # label 2: (4, 4); label 9: mean (2, 1), squared distances 2, 2, 0
    assert of.labels.tolist() == [2, 9]
    assert of.sizes.tolist() == [1, 3]
    assert of.copies.tolist() == [1, 3]
    assert_equal(of.means, torch.tensor([[4.0, 4.0], [2.0, 1.0]], dtype=torch.float64))
    assert_equal(of.spread, torch.tensor([0, 4 / 3], dtype=torch.float64))
    assert float(of.energy) == pytest.approx((32 + 1 + 13 + 5) / 4, rel=1e-12)


def test_merged_moments_are_those_of_merged_labels(clouds) -> None:
    to = torch.tensor([0, 0, 1, 1, 1, 2])
    merged = moments(clouds.features, clouds.fine).merged(to)
    assert_same(merged, moments(clouds.features, clouds.coarse))
    centres = moments(clouds.features, clouds.fine).centres(merged, to)
    assert_equal(centres, merged.means[to])


def test_moments_among_some_classes_are_those_of_their_images(clouds) -> None:
    kept = (clouds.fine == 1) | (clouds.fine == 3)
    some = moments(clouds.features, clouds.fine).among(torch.tensor([False, True, False, True, False, False]))
    assert_same(some, moments(clouds.features[kept], clouds.fine[kept]))


def test_small_spreads_far_from_the_origin_keep_their_digits() -> None:
    noise = torch.tensor([[1e-6], [-1e-6], [3e-6], [-3e-6]], dtype=torch.float64)
    of = moments(1000 + noise, torch.zeros(4, dtype=torch.int64))
    # 1000 + 1e-6 is stored to 1e-13, a ten-millionth of the noise; from squares only 1e-10 of 5e-12 would be left
    assert float(of.spread) == pytest.approx(5e-12, rel=1e-6)


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("chunk", CHUNKS)
def test_moments_do_not_depend_on_the_chunks(chunk: int, unit: bool, clouds, monkeypatch) -> None:
    whole = moments(clouds.features, clouds.fine, unit=unit)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert_same(moments(clouds.features, clouds.fine, unit=unit), whole)


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_the_root_squared_is_the_scatter_within(level: str, chunk: int, clouds, monkeypatch) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    labels = getattr(clouds, level)
    means = metrics.class_means(clouds.features, labels)
    residuals = [image - torch.from_numpy(means[int(k)]) for image, k in zip(clouds.features, labels, strict=True)]
    expected = sum(torch.outer(residual, residual) for residual in residuals)
    root = within_root(clouds.features, labels, moments(clouds.features, labels))
    assert root.shape == (5, 5)
    assert_equal(root.T @ root, expected)


def test_unit_features_have_length_one_in_float64(rng: torch.Generator) -> None:
    features = torch.randn(7, 3, generator=rng)
    ((_, unit),) = chunks(features, unit=True)
    assert unit.dtype == torch.float64
    assert_equal(unit.norm(dim=1), torch.ones(7, dtype=torch.float64))
    assert_equal(unit * features.double().norm(dim=1, keepdim=True), features.double())


@pytest.mark.parametrize("length", [1e-30, 1e-13, 1e30])
def test_unit_features_do_not_depend_on_the_scale(length: float) -> None:
    ((_, unit),) = chunks(torch.tensor([[3.0, -4.0]]) * length, unit=True)
    # 3-4-5 triangle; float32 inputs of such lengths are off by their own rounding, 6e-8 relative
    torch.testing.assert_close(unit, torch.tensor([[0.6, -0.8]], dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_features_that_are_not_finite_are_refused(value: float) -> None:
    features = torch.ones(4, 3)
    features[2, 1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        moments(features, torch.tensor([0, 0, 1, 1]))


def test_largest_float32_features_are_finite() -> None:
    features = torch.full((4, 3), torch.finfo(torch.float32).max)
    assert torch.isfinite(moments(features, torch.zeros(4, dtype=torch.int64)).means).all()


def test_zero_features_have_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    features = torch.ones(5, 3)
    features[[1, 4]] = 0
    with pytest.raises(ValueError, match="2 of 5 features are zero"):
        moments(features, torch.zeros(5, dtype=torch.int64), unit=True)


@pytest.mark.parametrize("count", [3, 5])
def test_labels_of_another_length_are_refused(count: int, rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match=r"expected labels \(4,\)"):
        moments(torch.randn(4, 3, generator=rng), torch.arange(count) % 2)


@pytest.mark.parametrize("shape", [(4,), (4, 0), (0, 3), (4, 3, 1)])
def test_features_that_are_no_matrix_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected features \(N, D\)"):
        moments(torch.ones(shape), torch.zeros(shape[0], dtype=torch.int64))


def test_features_may_lie_in_a_file(clouds, tmp_path: Path) -> None:
    stored = np.memmap(tmp_path / "features", np.float32, "w+", shape=(26, 5))
    stored[:] = clouds.features.numpy()
    assert_same(moments(torch.from_numpy(stored), clouds.fine), moments(clouds.features.float(), clouds.fine))
