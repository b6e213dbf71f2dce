import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import spectrum
from benchmark.collapse.moments import moments, within_root

ROUNDING = 1e-10  # singular values to 1e-15 of the largest, and -s log s is steep near 0


def singular_values(features: Tensor, *, centred: bool) -> Tensor:
    labels = torch.arange(len(features)) % 3  # the classes must not matter
    raw = moments(features, labels)
    return spectrum.singular_values(raw, within_root(features, labels, raw), centred=centred)


def rankme(features: Tensor) -> float:
    return float(spectrum.entropy_rank(singular_values(features, centred=False)))


def effective_rank(features: Tensor) -> float:
    return float(spectrum.entropy_rank(singular_values(features, centred=True)))


def participation_ratio(features: Tensor) -> float:
    return float(spectrum.participation_ratio(singular_values(features, centred=True)))


def spectrum_decay(features: Tensor) -> float:
    return float(spectrum.spectrum_decay(singular_values(features, centred=True)))


# RankMe


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (9, 9), (1, 5), (5, 1)])
def test_equals_the_reference(shape: tuple[int, int], rng: torch.Generator) -> None:
    features = torch.randn(shape, generator=rng, dtype=torch.float64) + 0.5
    assert rankme(features) == pytest.approx(metrics.rankme(features), rel=ROUNDING)
    assert 1 - 1e-12 <= rankme(features) <= min(shape) + 1e-12  # 1e-12: rounding


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


# The centred spectrum


CENTRED = {
    "effective_rank": (effective_rank, metrics.effective_rank),
    "participation_ratio": (participation_ratio, metrics.participation_ratio),
    "spectrum_decay": (spectrum_decay, metrics.spectrum_decay),
}


def with_spectrum(variances: Tensor, rng: torch.Generator, images: int = 150) -> Tensor:
    """Features with exactly these variances along random principal axes, far from the origin."""
    dimensions = len(variances)
    ones = torch.ones(images, 1, dtype=torch.float64)
    noise = torch.randn(images, dimensions, generator=rng, dtype=torch.float64)
    scores = torch.linalg.qr(torch.cat([ones, noise], dim=1)).Q[:, 1:]  # orthonormal, and orthogonal to the ones
    axes = torch.linalg.qr(torch.randn(dimensions, dimensions, generator=rng, dtype=torch.float64)).Q
    return scores * variances.sqrt() @ axes + 3


@pytest.mark.parametrize("name", CENTRED)
@pytest.mark.parametrize("shape", [(40, 8), (200, 120)])
def test_centred_metrics_equal_the_reference(name: str, shape: tuple[int, int], rng: torch.Generator) -> None:
    ours, reference = CENTRED[name]
    features = torch.randn(shape, generator=rng, dtype=torch.float64) * torch.linspace(1, 0.1, shape[1]) + 0.5
    assert ours(features) == pytest.approx(reference(features), rel=ROUNDING)


@pytest.mark.parametrize("name", ["effective_rank", "participation_ratio"])
def test_centred_ranks_with_fewer_images_than_dimensions(name: str, rng: torch.Generator) -> None:
    ours, reference = CENTRED[name]
    features = torch.randn(6, 40, generator=rng, dtype=torch.float64)
    assert ours(features) == pytest.approx(reference(features), rel=1e-9)
    assert ours(features) < 5 + 1e-9  # centring costs one of six


def test_equal_variances_give_the_dimension(rng: torch.Generator) -> None:
    features = with_spectrum(torch.ones(9, dtype=torch.float64), rng)
    assert effective_rank(features) == pytest.approx(9, rel=1e-10)
    assert participation_ratio(features) == pytest.approx(9, rel=1e-10)
    assert spectrum_decay(features) == pytest.approx(0, abs=1e-10)


def test_a_hand_worked_spectrum(rng: torch.Generator) -> None:
    features = with_spectrum(torch.tensor([9.0, 1.0], dtype=torch.float64), rng)
    # deviations 3 and 1, shares 3/4 and 1/4; (9 + 1)² / (81 + 1)
    assert effective_rank(features) == pytest.approx((4 / 3) ** 0.75 * 4**0.25, rel=1e-10)
    assert participation_ratio(features) == pytest.approx(100 / 82, rel=1e-10)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("dimensions", [7, 120])
def test_decay_of_a_power_law_is_its_exponent(exponent: float, dimensions: int, rng: torch.Generator) -> None:
    rank = torch.arange(1, dimensions + 1, dtype=torch.float64)
    assert spectrum_decay(with_spectrum(rank**-exponent, rng)) == pytest.approx(exponent, rel=1e-8)


def test_decay_leaves_out_the_first_three_axes_and_those_beyond_a_hundred(rng: torch.Generator) -> None:
    variances = torch.arange(1, 121, dtype=torch.float64) ** -1.5
    variances[:3] *= 50
    variances[100:] /= 1000
    assert spectrum_decay(with_spectrum(variances, rng)) == pytest.approx(1.5, rel=1e-8)


def test_decay_needs_six_axes(rng: torch.Generator) -> None:
    assert math.isnan(spectrum_decay(torch.randn(30, 5, generator=rng)))
    assert not math.isnan(spectrum_decay(torch.randn(30, 6, generator=rng)))
    assert math.isnan(spectrum_decay(torch.randn(6, 30, generator=rng)))  # six images vary along five axes


@pytest.mark.parametrize("name", CENTRED)
def test_centred_metrics_of_constant_features_are_undefined(name: str) -> None:
    ours, _ = CENTRED[name]
    assert math.isnan(ours(torch.tensor([0.3, -2.0, 1.0]).repeat(7, 3)))
    assert math.isnan(ours(torch.ones(1, 7)))


def test_one_dimension_has_rank_one(rng: torch.Generator) -> None:
    features = torch.randn(8, 1, generator=rng)
    assert effective_rank(features) == pytest.approx(1, rel=1e-12)
    assert participation_ratio(features) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("name", CENTRED)
def test_a_shift_rotation_scale_and_order_leave_the_centred_metrics(name: str, rng: torch.Generator) -> None:
    ours, _ = CENTRED[name]
    features = torch.randn(30, 9, generator=rng, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(9, 9, generator=rng, dtype=torch.float64)).Q
    moved = 0.01 * (features @ rotation)[torch.randperm(30, generator=rng)] + 5
    assert ours(moved) == pytest.approx(ours(features), rel=1e-8)  # the shift is 500 times the spread


@pytest.mark.parametrize("chunk", [1, 7, 29, 30, 31])
def test_the_spectrum_does_not_depend_on_the_chunks(chunk: int, rng: torch.Generator, monkeypatch) -> None:
    features = torch.randn(30, 9, generator=rng)
    whole = singular_values(features, centred=True)
    monkeypatch.setattr("benchmark.collapse.moments.CHUNK", chunk)
    torch.testing.assert_close(singular_values(features, centred=True), whole, rtol=1e-12, atol=1e-13)
