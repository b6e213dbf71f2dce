import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse.neural_collapse import nc1

ROUNDING = 1e-8  # the reference inverts S_B, whose condition number is the square of that of the centred means


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_equals_the_reference_with_a_pseudo_inverse(level: str, clouds) -> None:
    labels = getattr(clouds, level)  # coarse: rank K - 1 = 2 of 5; fine: full rank 5
    assert nc1(clouds.features, labels) == pytest.approx(metrics.nc1(clouds.features, labels), rel=ROUNDING)


def test_equals_the_reference_with_fewer_images_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(7, 12, generator=rng, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 0, 0, 1, 2])
    assert nc1(features, labels) == pytest.approx(metrics.nc1(features, labels), rel=ROUNDING)


def test_equals_the_reference_with_more_classes_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(30, 2, generator=rng, dtype=torch.float64)
    labels = torch.arange(30) % 7
    assert nc1(features, labels) == pytest.approx(metrics.nc1(features, labels), rel=ROUNDING)


def test_hand_worked_case_in_one_dimension() -> None:
    # means 1 and 5, their mean 3 (not 7/3, the mean of images); S_W = (1 + 1 + 0) / 3 = 2/3
    # S_B = ((1 - 3)² + (5 - 3)²) / 2 = 4; (2/3) / 4 / K = 1/12
    features = torch.tensor([[0.0], [2.0], [5.0]])
    assert nc1(features, torch.tensor([0, 0, 1])) == pytest.approx(1 / 12, rel=1e-12)


def test_simplex_means_with_equal_noise_in_every_direction() -> None:
    # class k: a e_k ± b e_j for j = 1, 2, 3. S_W = (2 b² / 6) I = (b² / K) I
    # S_B = (a² / K) (I - 11ᵀ / K) has K - 1 eigenvalues a² / K; the trace is (K - 1) b² / a²
    # a = 2, b = 1/2, K = 3: 2/3 * (1/4) / 4 = 1/24
    noise = torch.cat([torch.eye(3), -torch.eye(3)]) / 2
    features = torch.cat([2 * row + noise for row in torch.eye(3)])
    assert nc1(features, torch.arange(3).repeat_interleave(6)) == pytest.approx(1 / 24, rel=1e-12)


def test_classes_of_one_point_give_zero(rng: torch.Generator) -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    points = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    assert 0 <= nc1(points[labels], labels) < 1e-25  # squared rounding errors of three equal terms


def test_spread_outside_the_span_of_the_means_does_not_count(clouds, rng: torch.Generator) -> None:
    # a further dimension with the same mean, 0, in each class: S_B⁺ is zero there
    extra = torch.randn(26, 1, generator=rng, dtype=torch.float64)
    for label in range(3):
        extra[clouds.coarse == label] -= extra[clouds.coarse == label].mean()
    wider = torch.cat([clouds.features, extra], dim=1)
    assert nc1(wider, clouds.coarse) == pytest.approx(nc1(clouds.features, clouds.coarse), rel=ROUNDING)


def test_means_on_a_line_use_only_the_line() -> None:
    # means (-3, 0), (0, 0), (3, 0), two images each at ±(1, 10): S_W along the line 1, S_B = 18/3 = 6; 1/6 / K = 1/18
    spread = torch.tensor([[1.0, 10.0], [-1.0, -10.0]])
    features = torch.cat([spread + torch.tensor([x, 0.0]) for x in (-3.0, 0.0, 3.0)])
    assert nc1(features, torch.tensor([0, 0, 1, 1, 2, 2])) == pytest.approx(1 / 18, rel=1e-12)


def test_a_class_of_one_image_has_a_mean_and_no_spread(clouds) -> None:
    features = clouds.features.clone()
    single = int((clouds.fine == 4).nonzero())
    features[single] += 100
    # farther away it adds to the scatter between and nothing to the scatter within
    assert 0 < nc1(features, clouds.fine) < nc1(clouds.features, clouds.fine)


def test_one_class_is_undefined(rng: torch.Generator) -> None:
    assert math.isnan(nc1(torch.randn(5, 3, generator=rng), torch.zeros(5, dtype=torch.int64)))


@pytest.mark.parametrize("offset", [0.0, 1.0, 1000.0])
def test_coinciding_means_are_undefined(offset: float, rng: torch.Generator) -> None:
    half = torch.randn(6, 3, generator=rng, dtype=torch.float64) + offset
    # the same images in another order: the means agree up to rounding only
    features = torch.cat([half, half.flip(0)])
    assert math.isnan(nc1(features, torch.arange(2).repeat_interleave(6)))


def test_constant_features_are_undefined() -> None:
    assert math.isnan(nc1(torch.full((6, 3), 0.1), torch.tensor([0, 0, 0, 0, 1, 1])))
    assert math.isnan(nc1(torch.zeros(6, 3), torch.tensor([0, 0, 0, 0, 1, 1])))


def test_rotation_and_scale_and_shift_change_nothing(clouds, rotation: Tensor) -> None:
    moved = 1e-3 * clouds.features @ rotation + 5
    # the shift is 5,000 times the spread, which costs four digits
    assert nc1(moved, clouds.coarse) == pytest.approx(nc1(clouds.features, clouds.coarse), rel=1e-8)


def test_a_linear_map_changes_nothing_at_full_rank(clouds, rng: torch.Generator) -> None:
    # S_W -> A S_W Aᵀ and S_B⁻¹ -> A⁻ᵀ S_B⁻¹ A⁻¹ leave the trace; needs K - 1 >= D: 5 and 5
    skew = torch.eye(5, dtype=torch.float64) + 0.1 * torch.randn(5, 5, generator=rng, dtype=torch.float64)
    expected = nc1(clouds.features, clouds.fine)
    assert nc1(clouds.features @ skew, clouds.fine) == pytest.approx(expected, rel=ROUNDING)


def test_order_and_names_change_nothing(clouds, shuffle: Tensor, renamed: Tensor) -> None:
    other = nc1(clouds.features[shuffle], renamed[clouds.fine[shuffle]])
    assert other == pytest.approx(nc1(clouds.features, clouds.fine), rel=ROUNDING)
