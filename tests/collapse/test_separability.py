import math

import pytest
import torch
from reference import metrics
from torch import Tensor

from benchmark.collapse.separability import subclass_separability

ROUNDING = 1e-10  # float64 sums of some hundred terms of order one, ordered differently


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
