import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse.rank import rankme

ROUNDING = 1e-10  # singular values to 1e-15 of the largest, and -s log s is steep near 0


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (9, 9), (1, 5), (5, 1)])
def test_equals_the_reference(shape: tuple[int, int], rng: torch.Generator) -> None:
    features = torch.randn(shape, generator=rng, dtype=torch.float64) + 0.5
    assert rankme(features) == pytest.approx(metrics.rankme(features), rel=ROUNDING)
    assert 1 - 1e-12 <= rankme(features) <= min(shape) + 1e-12


def test_hand_worked_case() -> None:
    # singular values 3 and 1, shares 3/4 and 1/4: exp(entropy) = (4/3)^(3/4) 4^(1/4)
    features = torch.tensor([[0.0, 3.0], [-1.0, 0.0]])
    assert rankme(features) == pytest.approx((4 / 3) ** 0.75 * 4**0.25, rel=1e-12)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_orthonormal_rows_give_their_number(rank: int, rotation: Tensor) -> None:
    # all singular values are 1: entropy log d
    assert rankme(rotation[:rank]) == pytest.approx(rank, rel=1e-12)


def test_orthonormal_columns_give_the_dimension(rng: torch.Generator) -> None:
    features = torch.linalg.qr(torch.randn(30, 4, generator=rng, dtype=torch.float64)).Q
    assert rankme(features) == pytest.approx(4, rel=1e-12)


def test_a_simplex_loses_one_dimension() -> None:
    # I - 11ᵀ / n has n - 1 singular values of 1 and one of 0; 0 log 0 = 0
    features = torch.eye(6, dtype=torch.float64) - 1 / 6
    assert rankme(features) == pytest.approx(5, rel=1e-9)  # the zero is 1e-16, its entropy 4e-15


def test_constant_features_give_one() -> None:
    # not centred: one direction, one singular value
    assert rankme(torch.tensor([0.3, -2.0, 1.0]).repeat(7, 1)) == pytest.approx(1, rel=1e-6)


def test_features_on_a_line_through_the_origin_give_one() -> None:
    # singular values beyond the first are rounding, 1e-16 with entropy 4e-15
    line = torch.tensor([[1.0], [-2.0], [0.0], [5.0]], dtype=torch.float64) * torch.tensor([[0.3, 0.1, 7.0]])
    assert rankme(line) == pytest.approx(1, rel=1e-9)


def test_zero_features_are_undefined() -> None:
    assert math.isnan(rankme(torch.zeros(4, 3)))
    assert math.isnan(rankme(torch.zeros(2, 3)))


def test_single_zero_features_are_allowed(clouds) -> None:
    padded = torch.cat([clouds.features, torch.zeros(9, 5, dtype=torch.float64)])
    assert rankme(padded) == pytest.approx(rankme(clouds.features), rel=ROUNDING)


def test_rotation_scale_and_order_change_nothing(clouds, rotation: Tensor, shuffle: Tensor) -> None:
    moved = 1e4 * clouds.features[shuffle] @ rotation
    assert rankme(moved) == pytest.approx(rankme(clouds.features), rel=ROUNDING)


def test_every_image_twice_changes_nothing(clouds) -> None:
    # all singular values grow by sqrt(2), their shares stay
    assert rankme(clouds.features.repeat(2, 1)) == pytest.approx(rankme(clouds.features), rel=ROUNDING)


def test_rows_and_columns_may_change_places(clouds) -> None:
    assert rankme(clouds.features.T) == pytest.approx(rankme(clouds.features), rel=ROUNDING)


def test_a_shift_does_count(clouds) -> None:
    # uncentred: a common direction ever longer comes to be the only one
    assert rankme(clouds.features + 1000) < 1.1 < rankme(clouds.features)
