import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import variance as module
from benchmark.collapse.moments import moments

ROUNDING = 1e-10  # float64 sums of some hundred terms of order one, ordered differently


def variance_split(features: Tensor, fine: Tensor, coarse: Tensor) -> tuple[float, float, float]:
    to_coarse = torch.zeros(int(fine.max()) + 1, dtype=torch.int64)
    to_coarse[fine] = coarse
    coarse_share, fine_share, within = module.variance_split(moments(features, fine), to_coarse)
    return float(coarse_share), float(fine_share), float(within)


def test_equals_the_reference_and_sums_to_one(clouds) -> None:
    shares = variance_split(*clouds)
    assert shares == pytest.approx(metrics.variance_split(*clouds), rel=ROUNDING)
    assert sum(shares) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(6, 11), (6, 1)])
def test_equals_the_reference_with_few_images_and_in_one_dimension(shape: tuple[int, int], rng) -> None:
    features, fine = torch.randn(shape, generator=rng), torch.tensor([0, 0, 1, 2, 2, 3])
    expected = metrics.variance_split(features, fine, fine // 2)
    assert variance_split(features, fine, fine // 2) == pytest.approx(expected, rel=ROUNDING)


def test_hand_worked_case() -> None:
    # all: mean 3; superclasses: means 1 and 7, 4 (1 - 3)² + 2 (7 - 3)² = 48; fine classes: means 0, 2 | 7,
    # 2 (0 - 1)² + 2 (2 - 1)² = 4; images: 1 + 1, nothing, 4 + 4 = 10
    features = torch.tensor([[-1.0], [1.0], [2.0], [2.0], [5.0], [9.0]])
    shares = variance_split(features, torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1]))
    assert shares == pytest.approx((48 / 62, 4 / 62, 10 / 62), rel=1e-12)


def test_gaussians_of_known_variance() -> None:
    # variances 9, 1 and 1/4 in one direction each: shares of 10.25, off by sampling of 20,000 images
    fine = torch.arange(20_000) % 4
    features = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(2)) * torch.tensor([0.0, 0.0, 0.5])
    features[:, 0] += 3 * (2 * (fine // 2) - 1)
    features[:, 1] += 2 * (fine % 2) - 1
    assert variance_split(features, fine, fine // 2) == pytest.approx((9 / 10.25, 1 / 10.25, 0.25 / 10.25), rel=0.02)


def test_one_point_for_each_class() -> None:
    fine = torch.tensor([0, 0, 1, 1, 2])
    points = torch.tensor([[0.3, 0.7], [0.9, -0.2], [0.1, 0.1]], dtype=torch.float64)
    assert variance_split(points[fine], fine, fine // 2)[2] == pytest.approx(0, abs=1e-25)
    collapsed = variance_split(points[fine // 2], fine, fine // 2)
    assert collapsed == pytest.approx((1, 0, 0), abs=1e-15)


def test_constant_features_are_undefined() -> None:
    fine = torch.tensor([0, 0, 1, 2])
    assert all(math.isnan(share) for share in variance_split(torch.full((4, 3), 0.1), fine, fine // 2))


def test_superclasses_of_one_fine_class_have_no_share_between(clouds) -> None:
    between, nothing, within = variance_split(clouds.features, clouds.fine, clouds.fine)
    assert math.isnan(nothing)
    assert between + within == pytest.approx(1, abs=1e-12)


def test_rotation_scale_shift_order_and_names_change_nothing(clouds, rotation, shuffle, renamed) -> None:
    moved = (300 * clouds.features @ rotation - 1000)[shuffle]
    shares = variance_split(moved, renamed[clouds.fine[shuffle]], renamed[clouds.coarse[shuffle]])
    assert shares == pytest.approx(variance_split(*clouds), rel=1e-9)
