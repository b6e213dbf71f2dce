import math

import pytest
import torch
from torch import Tensor

from benchmark.collapse.norms import length_summary, lengths


def summary(features: Tensor) -> tuple[float, float]:
    found = length_summary(lengths(features))
    return float(found["feature_norm"]), float(found["feature_norm_cv"])


def test_hand_worked_case() -> None:
    # lengths 5, 1, 3: mean 3, variance 8/3
    features = torch.tensor([[3.0, 4.0], [0.0, -1.0], [3.0, 0.0]])
    assert summary(features) == pytest.approx((3, math.sqrt(8 / 3) / 3), rel=1e-12)


def test_equals_a_loop(clouds) -> None:
    norms = [math.sqrt(sum(float(value) ** 2 for value in row)) for row in clouds.features]
    mean = sum(norms) / 26
    deviation = math.sqrt(sum((norm - mean) ** 2 for norm in norms) / 26)
    assert summary(clouds.features) == pytest.approx((mean, deviation / mean), rel=1e-12)


def test_gaussian_features_of_many_dimensions_lie_on_a_sphere() -> None:
    # mean of a chi distribution of 400 degrees is 19.9875, its deviation 0.707
    features = torch.randn(4000, 400, generator=torch.Generator().manual_seed(1))
    assert summary(features) == pytest.approx((19.9875, 0.707 / 19.9875), rel=0.03)


def test_constant_features_do_not_vary() -> None:
    assert summary(torch.full((5, 4), 0.5)) == (1, 0)


def test_zero_features_have_no_variation_to_speak_of() -> None:
    norm, variation = summary(torch.zeros(3, 2))
    assert norm == 0
    assert math.isnan(variation)


def test_rotation_order_and_scale(clouds, rotation: Tensor, shuffle: Tensor) -> None:
    norm, variation = summary(clouds.features)
    assert summary(4 * (clouds.features @ rotation)[shuffle]) == pytest.approx((4 * norm, variation), rel=1e-12)


def test_resamples_are_repeated_images(clouds, rng: torch.Generator) -> None:
    weights = torch.randint(3, (4, 26), generator=rng)
    resampled = length_summary(lengths(clouds.features), weights)
    for b, counts in enumerate(weights):
        expected = summary(clouds.features.repeat_interleave(counts, dim=0))
        assert tuple(float(value[b]) for value in resampled.values()) == pytest.approx(expected, rel=1e-12)
