import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse import separability as module
from benchmark.collapse.moments import moments

ROUNDING = 1e-10  # float64 sums of some hundred terms of order one, ordered differently


def subclass_separability(features: Tensor, fine: Tensor, coarse: Tensor) -> float:
    to_coarse = torch.zeros(int(fine.max()) + 1, dtype=torch.int64)
    to_coarse[fine] = coarse
    return float(module.subclass_separability(moments(features, fine, unit=True), to_coarse))


def class_separation_r2(features: Tensor, labels: Tensor) -> float:
    return float(module.class_separation_r2(moments(features, labels, unit=True)))


def cdnv(features: Tensor, labels: Tensor) -> float:
    return float(module.cdnv(moments(features, labels)))


def simplex(count: int) -> Tensor:
    """The simplex ETF: `count` vectors with all angles equal."""
    return torch.eye(count, dtype=torch.float64) - 1 / count


# Subclass separability


def test_equals_the_reference(clouds) -> None:
    assert subclass_separability(*clouds) == pytest.approx(metrics.subclass_separability(*clouds), rel=ROUNDING)


def test_equals_the_reference_with_fewer_images_than_dimensions(rng: torch.Generator) -> None:
    features = torch.randn(6, 11, generator=rng, dtype=torch.float64)
    fine = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = metrics.subclass_separability(features, fine, fine // 2)
    assert subclass_separability(features, fine, fine // 2) == pytest.approx(expected, rel=ROUNDING)


def test_hand_worked_case() -> None:
    features = torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.0, -3.0], [5.0, 5.0]])
    fine, coarse = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 0, 1])
    # fine means (1/2, 1/2), (0, -1), coarse mean (1/3, 0): between 2 (1/36 + 9/36) + (4/36 + 36/36) = 60/36 = 5/3
    # within: fine 0 has twice 1/2, fine 1 nothing: 1. Superclass 1 is a single image and adds nothing to either
    assert subclass_separability(features, fine, coarse) == pytest.approx(5 / 3, rel=1e-12)


def test_subclasses_with_the_same_features_give_zero() -> None:
    # both subclasses hold (1, 0) and (0, 1) in equal shares: all fine means equal the coarse mean
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(3, 1)
    fine = torch.tensor([0, 0, 1, 1, 1, 1])
    assert subclass_separability(features, fine, torch.zeros_like(fine)) == pytest.approx(0, abs=1e-15)


def test_opposite_subclasses_in_the_plane() -> None:
    # u = (±3/5, ±4/5), the sign of the first coordinate is the subclass: mu_f = (±3/5, 0), mu_c = 0
    # between 4 * 9/25, within 4 * 16/25
    features = torch.tensor([[3.0, 4.0], [3.0, -4.0], [-3.0, 4.0], [-3.0, -4.0]])
    fine = torch.tensor([0, 0, 1, 1])
    assert subclass_separability(features, fine, torch.zeros_like(fine)) == pytest.approx(9 / 16, rel=1e-12)


def test_subclasses_of_one_point_are_infinitely_separable() -> None:
    fine = torch.tensor([0, 0, 0, 1, 1, 2])
    points = torch.tensor([[0.3, 0.7], [0.9, -0.2], [0.1, 0.1]], dtype=torch.float64)
    features = points[fine] * torch.arange(1, 7)[:, None]
    assert subclass_separability(features, fine, torch.tensor([0, 0, 0, 0, 0, 1])) == math.inf


def test_superclasses_of_one_point_are_undefined() -> None:
    fine, coarse = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 0, 0, 0, 1])
    features = torch.tensor([[0.3, 0.7], [0.9, -0.2]], dtype=torch.float64)[coarse]
    features = features * torch.tensor([[1.0], [0.3], [7.0], [1e3], [1e-3]], dtype=torch.float64)
    assert math.isnan(subclass_separability(features, fine, coarse))


def test_a_superclass_of_one_subclass_adds_to_the_scatter_within_only(clouds) -> None:
    other = clouds.coarse != 2  # superclass 2 has the one subclass 5
    alone = subclass_separability(clouds.features[other], clouds.fine[other], clouds.coarse[other])
    assert 0 < subclass_separability(*clouds) < alone


def test_superclasses_of_one_fine_class_have_no_subclasses(clouds) -> None:
    assert math.isnan(subclass_separability(clouds.features, clouds.fine, clouds.fine))


def test_one_dimension_has_two_directions() -> None:
    # u: + + - | -: fine means 1/3 and -1, coarse mean 0: between 3/9 + 1 = 4/3; within 2 (2/3)² + (4/3)² = 24/9
    features = torch.tensor([[1.0], [9.0], [-2.0], [-1.0]])
    fine = torch.tensor([0, 0, 0, 1])
    assert subclass_separability(features, fine, torch.zeros_like(fine)) == pytest.approx(1 / 2, rel=1e-12)


def test_rotation_and_lengths_change_nothing(clouds, rotation: Tensor, rng: torch.Generator) -> None:
    lengths = torch.rand(26, 1, generator=rng, dtype=torch.float64) * 100 + 0.01
    moved = clouds.features @ rotation * lengths
    expected = subclass_separability(*clouds)
    assert subclass_separability(moved, clouds.fine, clouds.coarse) == pytest.approx(expected, rel=ROUNDING)


def test_order_and_names_change_nothing(clouds, shuffle: Tensor, renamed: Tensor) -> None:
    fine, coarse = renamed[clouds.fine[shuffle]], renamed[clouds.coarse[shuffle]]
    expected = subclass_separability(*clouds)
    assert subclass_separability(clouds.features[shuffle], fine, coarse) == pytest.approx(expected, rel=ROUNDING)


# Class separation


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_separation_equals_the_pairwise_reference(level: str, clouds) -> None:
    labels = getattr(clouds, level)
    expected = metrics.class_separation_r2(clouds.features, labels)
    assert class_separation_r2(clouds.features, labels) == pytest.approx(expected, rel=ROUNDING)


def test_separation_of_a_hand_worked_case() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, -3.0]])
    # class 0: mean of u (1/2, 1/2), distance within 1 - 1/2 = 1/2; class 1: one image, 0; mean 1/4
    # between: mean of the class means (1/4, -1/4), 1 - 1/8 = 7/8; R² = 1 - (1/4) / (7/8) = 5/7
    assert class_separation_r2(features, torch.tensor([0, 0, 1])) == pytest.approx(5 / 7, rel=1e-12)


def test_separation_of_collapsed_classes_is_one() -> None:
    features = simplex(3).repeat_interleave(torch.tensor([1, 4, 2]), dim=0)
    # no distance within: 1 - 0 / total
    labels = torch.tensor([0, 1, 1, 1, 1, 2, 2])
    assert class_separation_r2(features, labels) == pytest.approx(1, rel=1e-12)


def test_separation_of_equal_classes_is_zero() -> None:
    # both classes hold (1, 0) and (0, 1) in equal shares: as far within as between
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(3, 1)
    assert class_separation_r2(features, torch.tensor([0, 0, 1, 1, 1, 1])) == pytest.approx(0, abs=1e-12)


def test_separation_of_one_direction_is_undefined() -> None:
    features = torch.tensor([[0.3, 0.7], [0.6, 1.4], [0.9, 2.1]], dtype=torch.float64)
    assert math.isnan(class_separation_r2(features, torch.tensor([0, 0, 1])))


@pytest.mark.parametrize("measure", [class_separation_r2, cdnv])
def test_rotation_scale_order_and_names_change_nothing(measure, clouds, rotation, shuffle, renamed) -> None:
    moved = 300 * (clouds.features @ rotation)[shuffle]
    expected = measure(clouds.features, clouds.fine)
    assert measure(moved, renamed[clouds.fine[shuffle]]) == pytest.approx(expected, rel=ROUNDING)


# Class-distance normalised variance


@pytest.mark.parametrize("level", ["fine", "coarse"])
def test_cdnv_equals_the_reference(level: str, clouds) -> None:
    labels = getattr(clouds, level)
    assert cdnv(clouds.features, labels) == pytest.approx(metrics.cdnv(clouds.features, labels), rel=ROUNDING)


def test_cdnv_with_fewer_images_than_dimensions(rng: torch.Generator) -> None:
    features, labels = torch.randn(6, 11, generator=rng), torch.tensor([0, 0, 1, 1, 2, 2])
    assert cdnv(features, labels) == pytest.approx(metrics.cdnv(features, labels), rel=ROUNDING)


def test_cdnv_of_a_hand_worked_case_in_one_dimension() -> None:
    # means 1, 5, 9 with variances 1, 0, 4: (1 + 0) / (2 * 16), (1 + 4) / (2 * 64), (0 + 4) / (2 * 16)
    features = torch.tensor([[0.0], [2.0], [5.0], [7.0], [11.0]])
    expected = (1 / 32 + 5 / 128 + 4 / 32) / 3
    assert cdnv(features, torch.tensor([0, 0, 1, 2, 2])) == pytest.approx(expected, rel=1e-12)


def test_cdnv_of_isotropic_gaussians() -> None:
    # sigma = 1/2 in 8 dimensions, means 3 apart: 8/4 / 9 = 0.2222; 20,000 images each, off by about 1 %
    draws = torch.randn(40_000, 8, generator=torch.Generator().manual_seed(5)) / 2
    labels = torch.arange(40_000) % 2
    draws[:, 0] += 3 * labels
    assert cdnv(draws, labels) == pytest.approx(2 / 9, rel=0.02)


def test_cdnv_of_classes_of_one_point_is_zero() -> None:
    labels = torch.tensor([0, 0, 1, 2, 2, 2])
    assert 0 <= cdnv(simplex(3)[labels], labels) < 1e-24


def test_cdnv_of_classes_with_the_same_mean_is_infinite() -> None:
    features = torch.tensor([[0.1], [0.3], [0.0], [0.4]], dtype=torch.float64)
    assert cdnv(features, torch.tensor([0, 0, 1, 1])) == math.inf


def test_cdnv_of_constant_features_and_of_one_class_is_undefined(clouds) -> None:
    assert math.isnan(cdnv(torch.full((5, 3), 0.1), torch.tensor([0, 0, 0, 1, 1])))
    assert math.isnan(cdnv(clouds.features, torch.zeros(26, dtype=torch.int64)))


def test_a_shift_leaves_cdnv(clouds) -> None:
    assert cdnv(clouds.features + 100, clouds.fine) == pytest.approx(cdnv(clouds.features, clouds.fine), rel=1e-9)


@pytest.mark.parametrize("rows", [1, 4, 6])
def test_cdnv_does_not_depend_on_the_blocks_of_classes(rows: int, clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cdnv(clouds.features, clouds.fine)
    monkeypatch.setattr(module, "PAIR_ROWS", rows)
    assert cdnv(clouds.features, clouds.fine) == pytest.approx(whole, rel=1e-12)
